import { lazy, Suspense } from "react";
import { Link } from "@tanstack/react-router";
import { useQuery } from "@tanstack/react-query";
import { get, type Schemas } from "@/api/client";
import { StatusBadge, isHeld } from "@/components/Badge";
import { Panel } from "@/components/Panel";
import { Skeleton } from "@/components/States";
import { number } from "@/lib/format";

const Graph = lazy(() => import("./Graph"));
const MOST = 10;

type Job = Schemas["JobDetail"];

function useGraph(jobId: string) {
  return useQuery(get("/api/v1/jobs/{job_id}/graph", { params: { path: { job_id: jobId } } }));
}

/** The graph of all that hangs together with a job; nothing where it is alone. */
export function Hanging({ job }: { job: Job }) {
  const { data, isPending } = useGraph(job.id);
  const isAlone = job.after.length === 0 && job.parent_id === null;
  const place = <Panel title="Graph"><Skeleton className="h-32" /></Panel>;
  return (
    <>
      {isPending && !isAlone && <div aria-busy>{place}</div>}
      {data && data.nodes.length > 1 && (
        <Suspense fallback={<div aria-busy>{place}</div>}>
          <Graph jobId={job.id} graph={data} />
        </Suspense>
      )}
    </>
  );
}

/** Which jobs a blocked one still waits for. */
export function Awaited({ job }: { job: Job }) {
  const { data } = useGraph(job.id);
  const known = new Map(data?.nodes.map((node) => [node.id, node]));
  const left = job.after.filter((id) => known.get(id)?.status !== "completed");
  return (
    <Panel title={`Waits for ${number(left.length)} of ${number(job.after.length)} ${job.after.length === 1 ? "job" : "jobs"}`}>
      <ul className="flex flex-col gap-1.5">
        {left.slice(0, MOST).map((id) => {
          const node = known.get(id);
          return (
            <li key={id} className="flex min-w-0 flex-wrap items-center gap-x-3 gap-y-1">
              <Link to="/jobs/$id" params={{ id }} className="min-w-0 truncate rounded text-accent hover:underline">
                <bdi className={node ? "font-medium" : "font-mono text-sm"}>{node?.function ?? id}</bdi>
              </Link>
              {node && <StatusBadge status={node.status} held={isHeld(node)} />}
              {node && <bdi className="min-w-0 truncate font-mono text-xs text-muted">{id}</bdi>}
            </li>
          );
        })}
      </ul>
      {left.length > MOST && <p className="mt-2 text-sm text-muted">and {number(left.length - MOST)} more</p>}
    </Panel>
  );
}
