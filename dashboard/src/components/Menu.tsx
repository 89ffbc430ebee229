import type { ReactElement, ReactNode } from "react";
import { Check, type LucideIcon } from "lucide-react";
import { DropdownMenu as Radix } from "radix-ui";
import { cx } from "@/lib/cx";

/** A menu that opens at its button. */
export function Menu({ trigger, children, align = "end", className }: { trigger: ReactElement; children: ReactNode; align?: "start" | "end"; className?: string }) {
  return (
    <Radix.Root modal={false}>
      <Radix.Trigger asChild>{trigger}</Radix.Trigger>
      <Radix.Portal>
        <Radix.Content
          align={align}
          sideOffset={6}
          collisionPadding={8}
          className={cx("animate-appear z-50 max-h-[min(28rem,var(--radix-dropdown-menu-content-available-height))] min-w-44 overflow-auto rounded-lg border border-line bg-raised p-1 text-ink shadow-float", className)}
        >
          {children}
        </Radix.Content>
      </Radix.Portal>
    </Radix.Root>
  );
}

const ITEM = "flex h-8 cursor-pointer items-center gap-2 rounded-md px-2 outline-none data-disabled:cursor-not-allowed data-disabled:opacity-50 data-highlighted:bg-hover";

export function MenuItem({ icon: Icon, danger = false, disabled = false, onSelect, children }: { icon?: LucideIcon; danger?: boolean; disabled?: boolean; onSelect: () => void; children: ReactNode }) {
  return (
    <Radix.Item disabled={disabled} onSelect={onSelect} className={cx(ITEM, danger && "text-red")}>
      {Icon && <Icon className="size-4 shrink-0 opacity-80" aria-hidden />}
      {children}
    </Radix.Item>
  );
}

/** An item that is on or off. The menu stays open, so that several can be chosen, unless told. */
export function MenuCheck({ checked, onChange, closes = false, children }: { checked: boolean; onChange: (checked: boolean) => void; closes?: boolean; children: ReactNode }) {
  return (
    <Radix.CheckboxItem checked={checked} onCheckedChange={onChange} onSelect={(event) => !closes && event.preventDefault()} className={ITEM}>
      <Check className={cx("size-4 shrink-0 text-accent", !checked && "opacity-0")} aria-hidden />
      {children}
    </Radix.CheckboxItem>
  );
}

export function MenuLabel({ children }: { children: ReactNode }) {
  return <Radix.Label className="px-2 py-1 text-xs font-medium text-muted">{children}</Radix.Label>;
}

export function MenuLine() {
  return <Radix.Separator className="my-1 h-px bg-line" />;
}
