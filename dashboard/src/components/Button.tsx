import type { ComponentProps, ReactNode } from "react";
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

interface Props extends ComponentProps<"button"> {
  kind?: keyof typeof KINDS;
  size?: "small" | "normal";
  icon?: LucideIcon;
  /** The action is under way: the button can't be pressed, and shows it. */
  busy?: boolean;
  /** The only child, a link as a rule, looks like the button. */
  asChild?: boolean;
}

export function Button({ kind = "plain", size = "normal", icon: Icon, busy = false, asChild = false, className, children, disabled, ...rest }: Props) {
  const classes = cx(
    "inline-flex shrink-0 items-center justify-center gap-1.5 rounded-md border font-medium whitespace-nowrap transition-colors select-none",
    "disabled:cursor-not-allowed disabled:opacity-50",
    size === "small" ? "h-7 px-2 text-sm" : "h-8 px-3",
    KINDS[kind],
    className,
  );
  if (asChild) return <Slot.Root className={classes} {...rest}>{children}</Slot.Root>;
  return (
    <button type="button" className={classes} disabled={disabled || busy} aria-busy={busy || undefined} {...rest}>
      {busy ? <LoaderCircle className="size-3.5 animate-spin" aria-hidden /> : Icon && <Icon className="size-3.5" aria-hidden />}
      {children}
    </button>
  );
}

/** A button that shows an icon only. `label` is read out, and shown on hover with its key. */
export function IconButton({ label, icon: Icon, keys, kind = "quiet", className, ...rest }: Omit<Props, "icon" | "children"> & { label: string; icon: LucideIcon; keys?: ReactNode }) {
  return (
    <Tooltip text={label} keys={keys}>
      <button
        type="button"
        aria-label={label}
        className={cx("inline-flex size-8 shrink-0 items-center justify-center rounded-md border transition-colors disabled:cursor-not-allowed disabled:opacity-50", KINDS[kind], className)}
        {...rest}
      >
        <Icon className="size-4" aria-hidden />
      </button>
    </Tooltip>
  );
}
