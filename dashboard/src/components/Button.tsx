import type { ComponentProps, MouseEvent, ReactNode } from "react";
import { LoaderCircle, type LucideIcon } from "lucide-react";
import { Slot } from "radix-ui";
import { cx } from "@/lib/cx";
import { Tooltip } from "./Tooltip";

const KINDS = {
  primary: "bg-accent text-accent-ink hover:bg-accent-strong border-transparent",
  plain: "bg-surface text-ink border-line hover:bg-hover",
  quiet: "border-transparent text-muted hover:bg-hover hover:text-ink",
  danger: "bg-surface text-red border-line hover:bg-red-soft",
} as const;

const UNABLE = "disabled:cursor-not-allowed disabled:opacity-50 aria-disabled:cursor-not-allowed aria-disabled:opacity-50";

interface Props extends ComponentProps<"button"> {
  kind?: keyof typeof KINDS;
  size?: "small" | "normal";
  icon?: LucideIcon;
  /** The action is under way: the button can't be pressed, and shows it. */
  busy?: boolean;
  /** Why it can't be pressed, told on hover and focus. See `useRefusal`. */
  refused?: string | undefined;
  /** The only child, a link as a rule, looks like the button. */
  asChild?: boolean;
}

export function Button({ kind = "plain", size = "normal", icon: Icon, busy = false, refused, asChild = false, className, children, disabled, ...rest }: Props) {
  const classes = cx(
    "inline-flex shrink-0 items-center justify-center gap-1.5 rounded-md border font-medium whitespace-nowrap transition-colors select-none",
    UNABLE,
    size === "small" ? "h-7 px-2 text-sm" : "h-8 px-3",
    KINDS[kind],
    className,
  );
  if (asChild) return <Slot.Root className={classes} {...rest}>{children}</Slot.Root>;
  const button = (
    <button type="button" className={classes} disabled={disabled || busy} aria-busy={busy || undefined} {...rest} {...refusing(refused)}>
      {busy ? <LoaderCircle className="size-3.5 animate-spin" aria-hidden /> : Icon && <Icon className="size-3.5" aria-hidden />}
      {children}
    </button>
  );
  return refused ? <Tooltip text={refused}>{button}</Tooltip> : button;
}

/** It keeps its place among those that can be tabbed to, so that the reason can be read there. */
function refusing(refused: string | undefined) {
  return refused ? { "aria-disabled": true, disabled: false, onClick: (event: MouseEvent) => event.preventDefault() } : {};
}

/** A button that shows an icon only. `label` is read out, and shown on hover with its key. */
export function IconButton({ label, icon: Icon, keys, kind = "quiet", refused, className, ...rest }: Omit<Props, "icon" | "children"> & { label: string; icon: LucideIcon; keys?: ReactNode }) {
  return (
    <Tooltip text={refused ? `${label}: ${refused}` : label} keys={keys}>
      <button
        type="button"
        aria-label={label}
        className={cx("inline-flex size-8 shrink-0 items-center justify-center rounded-md border transition-colors", UNABLE, KINDS[kind], className)}
        {...rest}
        {...refusing(refused)}
      >
        <Icon className="size-4" aria-hidden />
      </button>
    </Tooltip>
  );
}
