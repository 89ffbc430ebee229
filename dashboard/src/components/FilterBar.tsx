import type { ReactNode } from "react";
import { ChevronDown, X } from "lucide-react";
import { cx } from "@/lib/cx";
import { Button } from "./Button";
import { Menu, MenuCheck } from "./Menu";

/** What stands above a table: its search, its filters, and a way to drop them all. */
export function FilterBar({ children, onClear, className }: { children: ReactNode; onClear?: (() => void) | undefined; className?: string }) {
  return (
    <div role="search" className={cx("mb-3 flex flex-wrap items-center gap-2", className)}>
      {children}
      {onClear && <Button kind="quiet" size="small" icon={X} onClick={onClear}>Clear filters</Button>}
    </div>
  );
}

/** A filter of which several values may be chosen. */
export function FilterMenu<T extends string>({ label, options, chosen, onChange }: {
  label: string;
  options: readonly { value: T; label: ReactNode }[];
  chosen: readonly T[];
  onChange: (chosen: T[]) => void;
}) {
  const names = options.filter(({ value }) => chosen.includes(value)).map((each) => each.label);
  return (
    <Menu
      align="start"
      trigger={
        <Button size="normal" className={cx("font-normal", chosen.length > 0 && "border-accent")}>
          <span className={cx(chosen.length > 0 && "text-muted")}>{label}</span>
          {chosen.length > 0 && <span className="font-medium">{chosen.length === 1 ? (names[0] ?? chosen[0]) : chosen.length}</span>}
          <ChevronDown className="size-3.5 text-muted" aria-hidden />
        </Button>
      }
    >
      {options.length === 0 && <p className="px-2 py-1 text-muted">None so far</p>}
      {options.map(({ value, label: name }) => (
        <MenuCheck
          key={value}
          checked={chosen.includes(value)}
          onChange={(checked) => onChange(checked ? [...chosen, value] : chosen.filter((each) => each !== value))}
        >
          {name}
        </MenuCheck>
      ))}
    </Menu>
  );
}
