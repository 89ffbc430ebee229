import { useId, type ComponentProps, type ReactElement, type ReactNode, cloneElement } from "react";
import { ChevronDown, Search, X } from "lucide-react";
import { cx } from "@/lib/cx";

const BOX = "w-full rounded-md border border-line-strong/60 bg-surface px-2.5 text-ink disabled:opacity-60 aria-invalid:border-red";

export function Input({ className, ...rest }: ComponentProps<"input">) {
  return <input className={cx(BOX, "h-8", className)} {...rest} />;
}

export function TextArea({ className, ...rest }: ComponentProps<"textarea">) {
  return <textarea className={cx(BOX, "min-h-20 py-1.5 font-mono text-sm", className)} {...rest} />;
}

/** The system's own list: it works with every keyboard, screen reader and phone. */
export function Select({ className, children, ...rest }: ComponentProps<"select">) {
  return (
    <span className={cx("relative inline-block", className)}>
      <select className={cx(BOX, "h-8 appearance-none pr-7")} {...rest}>{children}</select>
      <ChevronDown className="pointer-events-none absolute top-2 right-2 size-4 text-muted" aria-hidden />
    </span>
  );
}

/** A field with its name, a hint, and what is wrong with its value. */
export function Field({ label, hint, error, children }: { label: ReactNode; hint?: ReactNode; error?: ReactNode; children: ReactElement<{ id?: string; "aria-describedby"?: string; "aria-invalid"?: boolean }> }) {
  const id = useId();
  const note = error ?? hint;
  return (
    <div className="flex flex-col gap-1">
      <label htmlFor={id} className="font-medium">{label}</label>
      {cloneElement(children, { id, "aria-describedby": note ? `${id}-note` : undefined, "aria-invalid": Boolean(error) || undefined })}
      {note && <p id={`${id}-note`} className={cx("text-sm", error ? "text-red" : "text-muted")}>{note}</p>}
    </div>
  );
}

/** A field to search with. `/` puts the cursor into the last one on the page. */
export function SearchInput({ value, onChange, label, className, ...rest }: Omit<ComponentProps<"input">, "onChange" | "value"> & { value: string; onChange: (value: string) => void; label: string }) {
  return (
    <div className={cx("relative", className)}>
      <Search className="pointer-events-none absolute top-2 left-2.5 size-4 text-muted" aria-hidden />
      <input
        type="search"
        data-search
        aria-label={label}
        value={value}
        onChange={(event) => onChange(event.target.value)}
        onKeyDown={(event) => event.key === "Escape" && event.currentTarget.blur()}
        className={cx(BOX, "h-8 px-8 [&::-webkit-search-cancel-button]:hidden")}
        {...rest}
      />
      {value && (
        <button type="button" aria-label="Clear the search" onClick={() => onChange("")} className="absolute top-0.5 right-0.5 rounded p-1.5 text-muted hover:text-ink">
          <X className="size-4" aria-hidden />
        </button>
      )}
    </div>
  );
}
