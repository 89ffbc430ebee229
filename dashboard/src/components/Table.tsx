import { useEffect, useRef, type ComponentProps, type MouseEvent, type ReactNode } from "react";
import { ArrowDown, ArrowUp } from "lucide-react";
import { cx } from "@/lib/cx";

/** A dense table that scrolls sideways by itself where it is too wide for the screen. */
export function Table({ label, className, children }: { label: string; className?: string; children: ReactNode }) {
  return (
    <div className={cx("relative overflow-x-auto rounded-lg border border-line bg-surface", className)} tabIndex={0} role="region" aria-label={label}>
      <table className="w-full border-collapse text-left">{children}</table>
    </div>
  );
}

export function Head({ children }: { children: ReactNode }) {
  return (
    <thead className="border-b border-line text-xs text-muted">
      <tr>{children}</tr>
    </thead>
  );
}

interface HeadCellProps extends ComponentProps<"th"> {
  /** How the table is sorted by this column; `null` where it could be and isn't. */
  sorted?: "asc" | "desc" | null;
  onSort?: () => void;
  /** Numbers stand on the right. */
  numeric?: boolean;
}

export function HeadCell({ sorted, onSort, numeric = false, className, children, ...rest }: HeadCellProps) {
  const Arrow = sorted === "asc" ? ArrowUp : ArrowDown;
  return (
    <th
      scope="col"
      aria-sort={sorted ? (sorted === "asc" ? "ascending" : "descending") : undefined}
      className={cx("h-8 px-3 max-sm:px-2 font-medium whitespace-nowrap", numeric && "text-right", className)}
      {...rest}
    >
      {onSort ? (
        <button type="button" onClick={onSort} className={cx("group inline-flex items-center gap-1 hover:text-ink", numeric && "flex-row-reverse")}>
          {children}
          <Arrow className={cx("size-3", !sorted && "opacity-0 group-hover:opacity-60")} aria-hidden />
        </button>
      ) : (
        children
      )}
    </th>
  );
}

interface RowProps extends Omit<ComponentProps<"tr">, "onClick"> {
  /** Where `j` and `k` have got to; see `keyboard/useRowKeys.ts`. */
  marked?: boolean;
  selected?: boolean;
  /** A click anywhere but on something that has a click of its own. Give a cell a link, too. */
  onOpen?: () => void;
}

export function Row({ marked = false, selected = false, onOpen, className, ...rest }: RowProps) {
  const row = useRef<HTMLTableRowElement>(null);
  useEffect(() => {
    if (marked) row.current?.scrollIntoView({ block: "nearest" });
  }, [marked]);
  const click = (event: MouseEvent) => {
    // A dialog that belongs to the row lies elsewhere on the page, and its clicks come here, too.
    if (!(event.target instanceof Element) || !event.currentTarget.contains(event.target)) return;
    if (event.target.closest("a, button, input, label")) return;
    if (getSelection()?.isCollapsed !== false) onOpen?.();
  };
  return (
    <tr
      ref={row}
      data-marked={marked || undefined}
      aria-selected={selected || undefined}
      onClick={onOpen && click}
      className={cx(
        "border-b border-line bg-surface last:border-0",
        onOpen && "cursor-pointer hover:bg-hover",
        selected && "bg-selected hover:bg-selected",
        marked && "shadow-[inset_2px_0_0_var(--accent)] bg-hover",
        className,
      )}
      {...rest}
    />
  );
}

export function Cell({ numeric = false, className, ...rest }: ComponentProps<"td"> & { numeric?: boolean }) {
  return <td className={cx("h-9 px-3 py-1.5 max-sm:px-2", numeric && "text-right whitespace-nowrap", className)} {...rest} />;
}

/** A row's buttons, which stay in sight where the table is wider than the screen. */
export function ActionCell({ className, ...rest }: ComponentProps<"td">) {
  return <td className={cx("sticky right-0 h-9 bg-inherit px-3 max-sm:px-2 text-right whitespace-nowrap", className)} {...rest} />;
}

/** Rows in the shape of those that will come. */
export function SkeletonRows({ rows = 8, columns }: { rows?: number; columns: number }) {
  return Array.from({ length: rows }, (_, row) => (
    <tr key={row} aria-hidden className="border-b border-line last:border-0">
      {Array.from({ length: columns }, (_, column) => (
        <td key={column} className="h-9 px-3">
          <div className="h-3 animate-pulse rounded bg-hover" style={{ width: `${40 + ((row * 7 + column * 13) % 5) * 10}%` }} />
        </td>
      ))}
    </tr>
  ));
}
