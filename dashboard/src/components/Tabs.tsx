import type { ReactNode } from "react";
import { Tabs as Radix } from "radix-ui";
import { cx } from "@/lib/cx";

interface Tab<T extends string> {
  value: T;
  label: ReactNode;
  content: ReactNode;
}

/** Parts of a page, one at a time; arrow keys move between them. Keep `value` in the address. */
export function Tabs<T extends string>({ label, value, onChange, tabs, className }: { label: string; value: T; onChange: (value: T) => void; tabs: readonly Tab<T>[]; className?: string }) {
  return (
    <Radix.Root value={value} onValueChange={(next) => onChange(next as T)} className={className}>
      <Radix.List aria-label={label} className="mb-4 flex gap-1 overflow-x-auto border-b border-line">
        {tabs.map((tab) => (
          <Radix.Trigger
            key={tab.value}
            value={tab.value}
            className="-mb-px h-9 shrink-0 border-b-2 border-transparent px-3 font-medium text-muted hover:text-ink data-[state=active]:border-accent data-[state=active]:text-ink"
          >
            {tab.label}
          </Radix.Trigger>
        ))}
      </Radix.List>
      {tabs.map((tab) => (
        <Radix.Content key={tab.value} value={tab.value} tabIndex={-1} className="outline-none">
          {tab.content}
        </Radix.Content>
      ))}
    </Radix.Root>
  );
}

/** A choice of a few, all visible: the span of a chart, say. */
export function Segments<T extends string>({ label, value, onChange, options, className }: { label: string; value: T; onChange: (value: T) => void; options: readonly { value: T; label: ReactNode }[]; className?: string }) {
  return (
    <div role="radiogroup" aria-label={label} className={cx("inline-flex h-8 items-center rounded-md border border-line bg-surface p-0.5", className)}>
      {options.map((option) => (
        <button
          key={option.value}
          type="button"
          role="radio"
          aria-checked={option.value === value}
          onClick={() => onChange(option.value)}
          className={cx(
            "h-full rounded px-2.5 text-sm font-medium text-muted transition-colors hover:text-ink",
            option.value === value && "bg-selected text-ink",
          )}
        >
          {option.label}
        </button>
      ))}
    </div>
  );
}
