import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import type { Schemas } from "@/api/client";
import { Badge, STATUS_NAMES, STATUSES } from "@/components/Badge";
import { Button } from "@/components/Button";
import { Panel } from "@/components/Panel";
import { ErrorState, Skeleton } from "@/components/States";
import { Duration, Time } from "@/components/Time";
import { compact, number } from "@/lib/format";
import { cx } from "@/lib/cx";

const MOST = 8;
const COLOURS = { gray: "bg-gray", green: "bg-green", red: "bg-red", amber: "bg-amber", blue: "bg-blue", violet: "bg-violet" };

/** All jobs that are kept, by status. */
export function NowPanel({ stats }: { stats: Schemas["StatsView"] | undefined }) {
  const counts = stats?.statuses as Partial<Record<string, number>> | undefined;
  const total = Object.values(counts ?? {}).reduce<number>((sum, each) => sum + (each ?? 0), 0);
  return (
    <Panel title="All jobs" flush>
      <ul className="px-2 pb-2">
        {STATUS_NAMES.map((status) => {
          const { icon: Icon, label, tone } = STATUSES[status];
          const many = counts?.[status] ?? 0;
          return (
            <li key={status}>
              <Link to="/jobs" search={{ status: [status] }} className="flex flex-col gap-1 rounded-md px-2 py-1.5 hover:bg-hover">
                <span className="flex items-center gap-2">
                  <Icon className={cx("size-4 shrink-0", TEXTS[tone])} aria-hidden />
                  <span className="flex-1">{label}</span>
                  {counts ? <span className={cx("font-medium", many === 0 && "text-faint")}>{number(many)}</span> : <Skeleton className="w-8" />}
                </span>
                <span aria-hidden className="ml-6 h-1 overflow-hidden rounded-full bg-hover">
                  <span className={cx("block h-full rounded-full", COLOURS[tone])} style={{ width: `${total && many ? Math.max(2, (many / total) * 100) : 0}%` }} />
                </span>
              </Link>
            </li>
          );
        })}
      </ul>
    </Panel>
  );
}

const TEXTS = { gray: "text-gray", green: "text-green", red: "text-red", amber: "text-amber", blue: "text-blue", violet: "text-violet" };

export function QueuesPanel({ queues, error }: { queues: Schemas["QueuesView"] | undefined; error: unknown }) {
  const items = [...(queues?.items ?? [])].sort((one, other) => other.queued - one.queued || one.name.localeCompare(other.name));
  return (
    <ListPanel title="Queues" all={<Link to="/queues">All queues</Link>} error={queues ? null : error} pending={!queues} empty="No queue has had a job yet.">
      {items.slice(0, MOST).map((queue) => (
        <li key={queue.name} className="border-t border-line">
          <Link to="/jobs" search={{ queue: [queue.name], status: ["queued", "running"] }} className="flex h-10 items-center gap-3 px-4 hover:bg-hover">
            <bdi className="min-w-0 truncate font-medium">{queue.name}</bdi>
            {queue.paused && <Badge tone="amber">Paused</Badge>}
            <span className="min-w-0 flex-1 truncate text-right text-muted">
              {queue.oldest_at && queue.queued > 0 && <span className="max-sm:hidden">oldest <Duration from={queue.oldest_at} /></span>}
            </span>
            <span className="w-24 shrink-0 text-right"><span className="font-medium">{compact(queue.queued)}</span> <span className="text-muted">waiting</span></span>
            <span className="w-20 shrink-0 text-right"><span className="font-medium">{compact(queue.running)}</span> <span className="text-muted">running</span></span>
          </Link>
        </li>
      ))}
    </ListPanel>
  );
}

export function WorkersPanel({ workers, error }: { workers: Schemas["WorkersView"] | undefined; error: unknown }) {
  const items = [...(workers?.items ?? [])].sort((one, other) => other.running / other.concurrency - one.running / one.concurrency || one.name.localeCompare(other.name));
  return (
    <ListPanel title="Workers" all={<Link to="/workers">All workers</Link>} error={workers ? null : error} pending={!workers} empty="No worker is running. Start one with `conduit run FILE`.">
      {items.slice(0, MOST).map((worker) => (
        <li key={worker.id} className="border-t border-line">
          <Link to="/workers" className="flex h-10 items-center gap-3 px-4 hover:bg-hover">
            <bdi className="truncate font-medium">{worker.name}</bdi>
            <span className="truncate text-muted max-sm:hidden">{worker.host} · {worker.pid}</span>
            <span className="ml-auto shrink-0 text-muted"><Time at={worker.seen_at} /></span>
            <Load running={worker.running} slots={worker.concurrency} />
          </Link>
        </li>
      ))}
    </ListPanel>
  );
}

/** How much of a worker is busy. */
function Load({ running, slots }: { running: number; slots: number }) {
  const share = slots > 0 ? Math.min(1, running / slots) : 0;
  return (
    <span className="flex w-28 shrink-0 items-center gap-2" title={`${running} of ${slots} at a time`}>
      <span aria-hidden className="h-1.5 flex-1 overflow-hidden rounded-full bg-hover">
        <span className={cx("block h-full rounded-full", share > 0.9 ? "bg-amber" : "bg-accent")} style={{ width: `${share * 100}%` }} />
      </span>
      <span className="w-12 text-right">{running}/{slots}</span>
    </span>
  );
}

function ListPanel({ title, all, error, pending, empty, children }: { title: string; all: ReactNode; error: unknown; pending: boolean; empty: string; children: ReactNode[] }) {
  return (
    <Panel title={title} flush actions={<Button asChild size="small" kind="quiet">{all}</Button>}>
      {error ? <ErrorState error={error} className="py-6" /> : pending ? <Skeleton className="mx-4 mb-4 h-16" /> : children.length === 0 ? <p className="px-4 pb-4 text-muted">{empty}</p> : <ul>{children}</ul>}
    </Panel>
  );
}
