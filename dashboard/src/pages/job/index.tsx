import { useParams } from "@tanstack/react-router";
import { Link } from "@tanstack/react-router";
import { useQuery } from "@tanstack/react-query";
import { ChevronRight } from "lucide-react";
import { get, type Schemas } from "@/api/client";
import { asApiError } from "@/api/errors";
import { StatusBadge, isHeld } from "@/components/Badge";
import { Button } from "@/components/Button";
import { Copy } from "@/components/Copy";
import { Facts, PageHeader, Panel } from "@/components/Panel";
import { EmptyState, ErrorState, Skeleton } from "@/components/States";
import { Duration, Time } from "@/components/Time";
import { count, duration, number } from "@/lib/format";
import { Actions } from "./Actions";
import { Artifacts } from "./Artifacts";
import { Failure, reasonInWords } from "./Failure";
import { Family } from "./Family";
import { Awaited, Hanging } from "./Hanging";
import { Logs } from "./Logs";
import { Payload } from "./Payload";
import { Timeline } from "./Timeline";

type Job = Schemas["JobDetail"];

export default function JobPage() {
  const { id } = useParams({ from: "/layout/jobs/$id" });
  // With a key of its own each job begins anew: nothing of the one before is left open.
  return <JobOf key={id} id={id} />;
}

function JobOf({ id }: { id: string }) {
  const job = useQuery(get("/api/v1/jobs/{job_id}", { params: { path: { job_id: id } } }));
  const isGone = job.isError && asApiError(job.error).status === 404;
  if (isGone || (job.isError && !job.data)) {
    return (
      <>
        <Crumbs />
        <PageHeader title={isGone ? "No such job" : "Job"} />
        {isGone ? <Gone id={id} /> : <ErrorState error={job.error} onRetry={() => void job.refetch()} />}
      </>
    );
  }
  if (!job.data) return <Loading />;
  return <Shown job={job.data} />;
}

function Shown({ job }: { job: Job }) {
  const attempts = useQuery(get("/api/v1/jobs/{job_id}/attempts", { params: { path: { job_id: job.id } } }));
  const isFinished = job.finished_at !== null;
  const isAlone = job.parent_id === null && job.root_id === null;
  const name = `${job.function.replaceAll(/[^\w.-]+/g, "_").slice(0, 60)}-${job.id.slice(0, 36)}`;
  return (
    <>
      <Crumbs />
      <PageHeader
        title={<bdi>{job.function}</bdi>}
        badge={<span role="status"><StatusBadge status={job.status} cancelling={job.cancel_requested} held={isHeld(job)} /></span>}
        actions={<Actions job={job} />}
      >
        <span className="inline-flex max-w-full items-center gap-1 align-middle font-mono text-sm">
          <bdi className="min-w-0 truncate">{job.id}</bdi>
          <Copy text={job.id} label="Copy the id" />
        </span>
      </PageHeader>
      {job.status === "running" && job.progress !== null && <Progress job={job} />}
      <div className="grid grid-cols-1 items-start gap-4 lg:grid-cols-[minmax(0,1fr)_20rem]">
        <div className="flex min-w-0 flex-col gap-4">
          {job.error && <Failure error={job.error} reason={job.reason} {...(job.status === "failed" ? {} : { note: job.status === "scheduled" ? "It is tried again." : "This was an earlier attempt." })} />}
          {!job.error && job.reason && <Ended job={job} />}
          {job.status === "blocked" && <Awaited job={job} />}
          {job.status === "completed" && <Payload title="Result" value={job.result} fileName={`${name}-result`} />}
          <Payload title="Arguments" value={job.args} fileName={`${name}-arguments`} empty="None." />
          <Hanging job={job} />
          {attempts.data ? <Timeline job={job} attempts={attempts.data.items} /> : attempts.isError ? <Panel title="Timeline"><ErrorState error={attempts.error} onRetry={() => void attempts.refetch()} /></Panel> : <Panel title="Timeline"><Skeleton className="h-12" /></Panel>}
          <Logs jobId={job.id} isFinished={isFinished} attempts={attempts.data?.items ?? []} />
          <Artifacts jobId={job.id} />
        </div>
        <div className="flex min-w-0 flex-col gap-4">
          <About job={job} />
          <Family jobId={job.id} isAlone={isAlone} />
          {isSomething(job.metadata) && <Payload title="Metadata" value={job.metadata} fileName={`${name}-metadata`} />}
          {isSomething(job.headers) && <Payload title="Headers" value={job.headers} fileName={`${name}-headers`} />}
          {isSomething(job.checkpoint) && <Payload title="Checkpoint" value={job.checkpoint} fileName={`${name}-checkpoint`} />}
          {isSomething(job.steps) && <Payload title="Steps" value={job.steps} fileName={`${name}-steps`} />}
        </div>
      </div>
    </>
  );
}

function isSomething(value: unknown): boolean {
  return value !== null && JSON.stringify(value) !== "{}";
}

function Crumbs() {
  return (
    <nav aria-label="Where you are" className="mb-1 flex items-center gap-1 text-sm text-muted">
      <Link to="/jobs" className="rounded hover:text-ink hover:underline">Jobs</Link>
      <ChevronRight className="size-3.5" aria-hidden />
    </nav>
  );
}

function Progress({ job }: { job: Job }) {
  const percent = Math.round(Math.max(0, Math.min(1, job.progress ?? 0)) * 100);
  return (
    <div className="mb-4 rounded-lg border border-line bg-surface px-4 py-3">
      <div className="mb-1.5 flex items-baseline justify-between gap-4">
        <bdi className="min-w-0 truncate text-muted">{job.progress_message ?? "Progress"}</bdi>
        <span className="font-medium">{percent} %</span>
      </div>
      <div role="progressbar" aria-label="Progress" aria-valuenow={percent} aria-valuemin={0} aria-valuemax={100} className="h-2 overflow-hidden rounded-full bg-gray-soft">
        <div className="h-full rounded-full bg-blue transition-[width] duration-300" style={{ width: `${percent}%` }} />
      </div>
    </div>
  );
}

/** Why a job without an error ended: a cancel's words, say. */
function Ended({ job }: { job: Job }) {
  return (
    <Panel title={job.cancel_requested && job.finished_at === null ? "Asked to stop" : job.status === "cancelled" ? "Cancelled" : "Reason"}>
      <p dir="auto" className="break-words">{reasonInWords(job.reason ?? "")}</p>
    </Panel>
  );
}

function About({ job }: { job: Job }) {
  const link = "rounded text-accent hover:underline";
  const isWaiting = job.started_at === null || job.status === "queued";
  return (
    <Panel title="About">
      <Facts
        items={[
          ["Function", <Link to="/functions/$name" params={{ name: job.function }} className={link}><bdi className="break-all">{job.function}</bdi></Link>],
          ["Queue", <Link to="/jobs" search={{ queue: [job.queue] }} className={link}><bdi className="break-all">{job.queue}</bdi></Link>],
          ["Key", job.key && <Link to="/jobs" search={{ key: job.key }} className={link}><bdi className="break-all">{job.key}</bdi></Link>],
          ["Worker", job.worker_id && <Link to="/jobs" search={{ worker_id: [job.worker_id] }} className={link}><bdi className="break-all">{job.worker_id}</bdi></Link>],
          ["Parent", job.parent_id && <Link to="/jobs/$id" params={{ id: job.parent_id }} className={`${link} font-mono text-sm break-all`}>{job.parent_id}</Link>],
          ["After", job.after.length > 0 && <After ids={job.after} />],
          ["Attempt", job.attempt > 0 && `${number(job.attempt)}${job.retries === null ? "" : ` of ${number(job.retries + 1)}`}`],
          ["Failures", job.failures > 0 && count(job.failures, "failed attempt")],
          ["Rescued", job.rescues > 0 && `${count(job.rescues, "time")}: its worker was lost`],
          ["Retried", job.generation > 1 && `by hand, ${count(job.generation - 1, "time")}`],
          ["Priority", job.priority !== 0 && number(job.priority)],
          ["Timeout", job.timeout_ms !== null && (job.timeout_ms === 0 ? "none" : duration(job.timeout_ms))],
          ["Submitted", <Time at={job.submitted_at} />],
          ["Due", job.run_at !== job.submitted_at && <Time at={job.run_at} />],
          ["Expires", job.expires_at && !job.finished_at && <Time at={job.expires_at} />],
          ["Held since", isHeld(job) && job.claimed_at && <Time at={job.claimed_at} />],
          ["Started", job.started_at && <Time at={job.started_at} />],
          ["Finished", job.finished_at && <Time at={job.finished_at} />],
          ["Waited", job.status === "queued" ? <Duration from={job.run_at} /> : !isWaiting && Date.parse(job.started_at ?? "") >= Date.parse(job.run_at) && <Duration from={job.run_at} until={job.started_at} />],
          ["Ran", job.started_at && (job.finished_at !== null || job.status === "running") && <Duration from={job.started_at} until={job.finished_at} />],
        ].map(([name, value]) => [name as string, value || null] as const)}
      />
    </Panel>
  );
}

const MOST_AFTER = 5;

/** The jobs that it was submitted to wait for. */
function After({ ids }: { ids: readonly string[] }) {
  return (
    <ul>
      {ids.slice(0, MOST_AFTER).map((id) => (
        <li key={id}><Link to="/jobs/$id" params={{ id }} className="rounded font-mono text-sm break-all text-accent hover:underline">{id}</Link></li>
      ))}
      {ids.length > MOST_AFTER && <li className="text-muted">and {number(ids.length - MOST_AFTER)} more</li>}
    </ul>
  );
}

function Gone({ id }: { id: string }) {
  return (
    <div role="alert">
      <EmptyState
        title="This job isn't there"
        action={<Button asChild><Link to="/jobs">To all jobs</Link></Button>}
      >
        <p>Neither the queue nor the history has a job with the id</p>
        <p className="my-1 font-mono text-sm break-all text-ink"><bdi>{id}</bdi></p>
        <p>It was deleted, or it ended so long ago that it isn't kept any more, or the address is mistyped.</p>
      </EmptyState>
    </div>
  );
}

function Loading() {
  return (
    <div aria-busy>
      <Crumbs />
      <PageHeader title="Job"><span aria-hidden className="inline-block h-4 w-72 max-w-full animate-pulse rounded bg-hover" /></PageHeader>
      <div className="grid grid-cols-1 gap-4 lg:grid-cols-[minmax(0,1fr)_20rem]">
        <div className="flex flex-col gap-4"><Skeleton className="h-40" /><Skeleton className="h-24" /><Skeleton className="h-40" /></div>
        <Skeleton className="h-72" />
      </div>
    </div>
  );
}
