import { Link } from "@tanstack/react-router";
import { CircleCheck } from "lucide-react";
import type { Schemas } from "@/api/client";
import { Badge } from "@/components/Badge";
import { Button } from "@/components/Button";
import { Panel } from "@/components/Panel";
import { Skeleton } from "@/components/States";
import { Time } from "@/components/Time";
import { groupFailures } from "@/lib/failures";
import { count } from "@/lib/format";
import { REACH, type Span } from "@/lib/spans";

const MOST = 6;

/** What fails at present, by function and error, newest first. */
export function Failing({ span, stats, jobs }: { span: Span; stats: Schemas["StatsView"] | undefined; jobs: readonly Schemas["JobSummary"][] | undefined }) {
  const after = stats ? Date.parse(stats.after) : 0;
  const groups = jobs && groupFailures(jobs.filter((job) => Date.parse(job.finished_at ?? "") >= after));
  return (
    <Panel
      title="Failing"
      flush
      actions={
        groups && groups.length > 0 ? (
          <Button asChild size="small" kind="quiet">
            <Link to="/jobs" search={{ status: ["failed"] }}>All failed jobs</Link>
          </Button>
        ) : undefined
      }
    >
      {!groups && <Skeleton className="mx-4 mb-4 h-10" />}
      {groups?.length === 0 && (
        <p className="flex items-center gap-2 px-4 pb-4 text-muted">
          <CircleCheck className="size-4 text-green" aria-hidden />
          No job has failed in the last {REACH[span].words}.
        </p>
      )}
      {groups && groups.length > 0 && (
        <ul className="border-t border-line">
          {groups.slice(0, MOST).map((group) => (
            <li key={`${group.function}\n${group.type}`} className="border-b border-line last:border-0">
              <Link to="/jobs/$id" params={{ id: group.last.id }} className="flex flex-wrap items-center gap-x-3 gap-y-0.5 px-4 py-2 hover:bg-hover md:flex-nowrap">
                <bdi className="max-w-56 shrink-0 truncate font-medium">{group.function}</bdi>
                <Badge tone="red" className="max-w-56 shrink-0">
                  <bdi className="truncate">{group.type}</bdi>
                </Badge>
                <bdi className="order-last min-w-0 basis-full truncate text-muted md:order-none md:flex-1 md:basis-0">{group.message}</bdi>
                <span className="ml-auto shrink-0 text-muted" title="Of the 50 latest">
                  {count(group.many, "job")} · <Time at={group.last.finished_at} />
                </span>
              </Link>
            </li>
          ))}
        </ul>
      )}
    </Panel>
  );
}
