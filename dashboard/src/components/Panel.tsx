import type { ReactNode } from "react";
import { useTitle } from "@/app/title";
import { cx } from "@/lib/cx";

/** A part of a page with a heading of its own. */
export function Panel({ title, actions, children, className, flush = false }: {
  title?: ReactNode;
  actions?: ReactNode;
  children: ReactNode;
  className?: string;
  /** The contents reach the edges, as a table's do. */
  flush?: boolean;
}) {
  return (
    <section className={cx("min-w-0 rounded-lg border border-line bg-surface", className)}>
      {(title || actions) && (
        <div className="flex min-h-11 items-center gap-2 px-4 py-2">
          <h2 className="min-w-0 flex-1 font-semibold">{title}</h2>
          {actions}
        </div>
      )}
      <div className={flush ? "" : cx("px-4 pb-4", !title && !actions && "pt-4")}>{children}</div>
    </section>
  );
}

/** The top of a page: its name, what can be done with it, and a line about it. */
export function PageHeader({ title, badge, actions, children }: { title: ReactNode; badge?: ReactNode; actions?: ReactNode; children?: ReactNode }) {
  useTitle(typeof title === "string" ? title : undefined);
  return (
    <header className="mb-5 flex flex-wrap items-center gap-x-4 gap-y-2">
      <div className="min-w-0 flex-1">
        <div className="flex min-h-8 min-w-0 flex-wrap items-center gap-2.5">
          <h1 className="min-w-0 text-lg font-semibold tracking-tight break-words">{title}</h1>
          {badge}
        </div>
        {children && <p className="text-muted">{children}</p>}
      </div>
      {actions && <div className="flex flex-wrap items-center gap-2">{actions}</div>}
    </header>
  );
}

/** Names and values, below each other. Those without a value are left out. */
export function Facts({ items, className }: { items: readonly (readonly [name: string, value: ReactNode])[]; className?: string }) {
  return (
    <dl className={cx("grid grid-cols-[auto_minmax(0,1fr)] gap-x-6 gap-y-1.5", className)}>
      {items
        .filter(([, value]) => value !== null && value !== undefined && value !== "")
        .map(([name, value]) => (
          <div key={name} className="contents">
            <dt className="text-muted">{name}</dt>
            <dd className="min-w-0 break-words">{value}</dd>
          </div>
        ))}
    </dl>
  );
}
