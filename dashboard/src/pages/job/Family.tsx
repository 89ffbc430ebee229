import { useState } from "react";
import { Link } from "@tanstack/react-router";
import { useQuery } from "@tanstack/react-query";
import { get } from "@/api/client";
import { STATUSES, STATUS_NAMES, StatusIcon } from "@/components/Badge";
import { Panel } from "@/components/Panel";
import { Duration, Time } from "@/components/Time";
import { cx } from "@/lib/cx";
import { number } from "@/lib/format";
import { branches } from "./tree";

const AT_FIRST = 30;
/** Deeper ones aren't indented further, so that they stay on the screen. */
const DEEPEST = 8;

/** The jobs that a job came of, and those that came of it. Nothing where it is alone. */
export function Family({ jobId, isAlone }: { jobId: string; isAlone: boolean }) {
  const [limit, setLimit] = useState(AT_FIRST);
  const { data } = useQuery(get("/api/v1/jobs/{job_id}/tree", { params: { path: { job_id: jobId } } }));
  if (!data || (data.items.length < 2 && isAlone)) return null;
  const rows = branches(data.items);
  const own = rows.findIndex((row) => row.job.id === jobId);
  const counts = STATUS_NAMES.map((name) => [name, data.items.filter((job) => job.status === name).length] as const).filter(([, count]) => count > 0);
  const shown = Math.max(limit, own + 5);
  return (
    <Panel
      title="Family"
      actions={
        <Link to="/jobs" search={{ root_id: data.root_id }} className="rounded text-sm text-accent hover:underline">
          In the list
        </Link>
      }
    >
      <p className="mb-2 text-sm text-muted">
        {number(data.items.length)}{data.truncated && "+"} jobs: {counts.map(([name, count]) => `${number(count)} ${STATUSES[name].label.toLowerCase()}`).join(", ")}
      </p>
      <ol aria-label="Jobs of the family">
        {rows.slice(0, shown).map(({ job, depth }) => (
          <li key={job.id} aria-current={job.id === jobId || undefined} className={cx("flex items-center gap-2 rounded px-1.5 py-1", job.id === jobId && "bg-selected")}>
            <span className="flex min-w-0 flex-1 items-center gap-2" style={{ paddingLeft: `${Math.min(depth, DEEPEST) * 1.1}rem` }}>
              {depth > 0 && <span aria-hidden className="-ml-3 h-3 w-2.5 shrink-0 -translate-y-1 rounded-bl border-b border-l border-line-strong/60" />}
              <StatusIcon status={job.status} />
              {job.id === jobId ? (
                <bdi className="min-w-0 truncate font-medium">{job.function}</bdi>
              ) : (
                <Link to="/jobs/$id" params={{ id: job.id }} title={job.id} className="min-w-0 truncate rounded font-medium hover:underline">
                  <bdi>{job.function}</bdi>
                </Link>
              )}
            </span>
            <span className="shrink-0 text-sm text-muted">
              {job.started_at && (job.finished_at ?? (job.status === "running" ? true : null)) ? <Duration from={job.started_at} until={job.finished_at} /> : <Time at={job.submitted_at} />}
            </span>
          </li>
        ))}
      </ol>
      {rows.length > shown && (
        <button type="button" onClick={() => setLimit(limit + 10 * AT_FIRST)} className="mt-2 rounded text-sm text-accent hover:underline">
          Show more of {number(rows.length)}
        </button>
      )}
      {data.truncated && <p className="mt-2 text-sm text-muted">There are more: the list shows all.</p>}
    </Panel>
  );
}
