import type { ReactNode } from "react";
import { CloudOff, Lock, SearchX, TriangleAlert, type LucideIcon } from "lucide-react";
import { asApiError } from "@/api/errors";
import { cx } from "@/lib/cx";
import { Button } from "./Button";

/** What stands where there is nothing yet: what would be here, and how it gets here. */
export function EmptyState({ icon: Icon = SearchX, title, children, action, className }: { icon?: LucideIcon; title: string; children?: ReactNode; action?: ReactNode; className?: string }) {
  return (
    <div className={cx("flex flex-col items-center gap-2 px-6 py-14 text-center", className)}>
      <div className="mb-1 flex size-10 items-center justify-center rounded-full bg-hover">
        <Icon className="size-5 text-muted" aria-hidden />
      </div>
      <h2 className="font-semibold">{title}</h2>
      {children && <div className="max-w-prose text-muted">{children}</div>}
      {action && <div className="mt-3">{action}</div>}
    </div>
  );
}

/** What stands where something couldn't be loaded: what, why, and what to do. */
export function ErrorState({ error, onRetry, className }: { error: unknown; onRetry?: () => void; className?: string }) {
  const { title, detail, advice, status } = asApiError(error);
  const Icon = status === 404 ? SearchX : status === 401 || status === 403 ? Lock : status === 0 || status === 503 ? CloudOff : TriangleAlert;
  return (
    <div role="alert" className={cx("flex flex-col items-center gap-2 px-6 py-14 text-center", className)}>
      <div className="mb-1 flex size-10 items-center justify-center rounded-full bg-red-soft">
        <Icon className="size-5 text-red" aria-hidden />
      </div>
      <h2 className="font-semibold">{title}</h2>
      {detail && <p className="max-w-prose break-words">{detail}</p>}
      <p className="max-w-prose text-muted">{advice}</p>
      {onRetry && <Button className="mt-3" onClick={onRetry}>Try again</Button>}
    </div>
  );
}

/** A place that something will fill; give it the size of that, so that nothing moves. */
export function Skeleton({ className }: { className?: string }) {
  return <div aria-hidden className={cx("h-4 animate-pulse rounded bg-hover", className)} />;
}

/** Listings of what the queue knows, while the queue is out of reach. */
export function StaleNotice({ stale, children }: { stale: boolean; children: ReactNode }) {
  if (!stale) return null;
  return (
    <p role="status" className="mb-4 flex items-center gap-2 rounded-md bg-amber-soft px-3 py-2 text-amber">
      <CloudOff className="size-4 shrink-0" aria-hidden />
      <span>The queue can't be reached: this is how it was {children}. It is tried again by itself.</span>
    </p>
  );
}
