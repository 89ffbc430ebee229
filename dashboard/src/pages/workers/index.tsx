import type { ReactNode } from "react";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { useQuery } from "@tanstack/react-query";
import { LogOut, SearchX, Server, Unplug } from "lucide-react";
import { get, type Schemas } from "@/api/client";
import { Badge } from "@/components/Badge";
import { Button } from "@/components/Button";
import { CodeBlock } from "@/components/Code";
import { Copy } from "@/components/Copy";
import { SearchInput } from "@/components/Field";
import { FilterBar } from "@/components/FilterBar";
import { Meter } from "@/components/Meter";
import { PageHeader, Panel } from "@/components/Panel";
import { EmptyState, ErrorState, Skeleton, StaleNotice } from "@/components/States";
import { Cell, Head, HeadCell, Row, Table } from "@/components/Table";
import { Duration, Time } from "@/components/Time";
import { useTicking } from "@/lib/clock";
import { cx } from "@/lib/cx";
import { count, number, percent, shortId } from "@/lib/format";
import { matching, parted, wasLost } from "./silence";

/** How many of a worker's jobs are shown here; the list has them all. */
const MOST = 6;

/** Who works, on what, and who has gone silent. */
export default function Workers() {
  const { q } = useSearch({ from: "/layout/workers" });
  const navigate = useNavigate();
  const search = (text: string) => void navigate({ to: "/workers", search: { q: text || undefined }, replace: true });
  // A heartbeat is no change that the stream tells of.
  const workers = useQuery({ ...get("/api/v1/workers"), refetchInterval: 5_000 });
  const running = useQuery(get("/api/v1/jobs", { params: { query: { status: ["running"], sort: "started_at", limit: 200 } } }));
  const now = useTicking((at) => Math.floor(at / 1000) * 1000);
  if (workers.isError && !workers.data) {
    return (
      <>
        <PageHeader title="Workers" />
        <ErrorState error={workers.error} onRetry={() => void workers.refetch()} />
      </>
    );
  }
  const all = workers.data?.items;
  const { present, silent } = parted(matching(all ?? [], q), workers.data?.stale ? Date.parse(workers.data.at) : now);
  const gone = workers.data?.gone ?? [];
  const versions = new Set(all?.map(({ version }) => version));
  const jobsOf = (id: string) => running.data?.items.filter((job) => job.worker_id === id) ?? [];
  return (
    <>
      <PageHeader title="Workers" badge={versions.size > 1 && <Badge tone="amber">{versions.size} versions</Badge>}>
        {all ? total(all) : " "}
      </PageHeader>
      <StaleNotice stale={workers.data?.stale ?? false}>
        <Time at={workers.data?.at} />
      </StaleNotice>
      {!all && <div className="grid gap-4 xl:grid-cols-2">{[1, 2].map((each) => <Skeleton key={each} className="h-44 rounded-lg" />)}</div>}
      {all?.length === 0 && (
        <div className="rounded-lg border border-line bg-surface">
          <EmptyState icon={Server} title="No worker is running" className="pb-6">
            Jobs wait in their queues until one is. A worker runs wherever it reaches the queue: start as many as there is work for.
          </EmptyState>
          <div className="mx-auto max-w-2xl px-4 pb-8">
            <CodeBlock label="A command" code="conduit run service.py" />
          </div>
        </div>
      )}
      {all && all.length > 0 && (
        <>
          <FilterBar onClear={q ? () => search("") : undefined}>
            <SearchInput label="Search workers" placeholder="Name, host, queue or version" value={q ?? ""} onChange={search} className="w-72 max-w-full" />
          </FilterBar>
          {present.length + silent.length === 0 && <EmptyState icon={SearchX} title="No worker is like that" action={<Button onClick={() => search("")}>Show all {all.length}</Button>} />}
          <ul aria-label="Workers" className="grid gap-4 xl:grid-cols-2">
            {present.map((worker) => <li key={worker.id} className="min-w-0"><WorkerCard worker={worker} jobs={jobsOf(worker.id)} /></li>)}
          </ul>
          {silent.length > 0 && (
            <section aria-labelledby="silent" className={cx(present.length > 0 && "mt-6")}>
              <h2 id="silent" className="flex items-center gap-2 font-semibold">
                <Unplug className="size-4 text-amber" aria-hidden />
                Not heard of
              </h2>
              <p className="mb-3 text-muted">They should have told of themselves every five seconds. Their jobs are given to others; a worker that comes back finds out by itself.</p>
              <ul aria-label="Workers not heard of" className="grid gap-4 xl:grid-cols-2">
                {silent.map((worker) => <li key={worker.id} className="min-w-0"><WorkerCard worker={worker} jobs={jobsOf(worker.id)} silent /></li>)}
              </ul>
            </section>
          )}
        </>
      )}
      {gone.length > 0 && (
        <section aria-labelledby="gone" className="mt-6">
          <h2 id="gone" className="mb-3 font-semibold">Gone within the last hour</h2>
          <Table label="Workers that have gone">
            <Head>
              <HeadCell>Worker</HeadCell>
              <HeadCell>How</HeadCell>
              <HeadCell>Host</HeadCell>
              <HeadCell className="max-md:hidden">Version</HeadCell>
              <HeadCell className="max-md:hidden">Was up for</HeadCell>
              <HeadCell>Gone</HeadCell>
            </Head>
            <tbody>
              {gone.map((worker) => <GoneLine key={worker.id} worker={worker} />)}
            </tbody>
          </Table>
        </section>
      )}
    </>
  );
}

function GoneLine({ worker }: { worker: Schemas["GoneWorkerView"] }) {
  return (
    <Row>
      <Cell>
        <Link to="/jobs" search={{ worker_id: [worker.id] }} title={`What ${worker.id} has run`} className="font-medium hover:underline"><bdi>{worker.name}</bdi></Link>
      </Cell>
      <Cell>{wasLost(worker) ? <Badge tone="amber" icon={Unplug}>Lost</Badge> : <Badge icon={LogOut}>Stopped</Badge>}</Cell>
      <Cell className="text-muted"><bdi>{worker.host}</bdi> · {worker.pid}</Cell>
      <Cell className="text-muted max-md:hidden">{worker.version}</Cell>
      <Cell className="text-muted max-md:hidden"><Duration from={worker.started_at} until={worker.seen_at} /></Cell>
      <Cell className="text-muted"><Time at={worker.seen_at} /></Cell>
    </Row>
  );
}

function total(workers: readonly Schemas["WorkerView"][]): string {
  const sum = (of: (worker: Schemas["WorkerView"]) => number) => workers.reduce((all, each) => all + of(each), 0);
  const [running, slots] = [sum((each) => each.running), sum((each) => each.concurrency)];
  return `${count(workers.length, "worker")}, running ${number(running)} of ${count(slots, "job")} at a time${slots > 0 ? ` (${percent(running / slots)})` : ""}`;
}

function WorkerCard({ worker, jobs, silent = false }: { worker: Schemas["WorkerView"]; jobs: readonly Schemas["JobSummary"][]; silent?: boolean }) {
  return (
    <Panel
      className={cx("h-full", silent && "border-amber")}
      title={
        <span className="flex min-w-0 flex-wrap items-center gap-x-2">
          <bdi className="truncate">{worker.name}</bdi>
          {silent && <Badge tone="amber" icon={Unplug}>Silent</Badge>}
          <span className="truncate font-normal text-muted" title={worker.id}><bdi>{worker.host}</bdi> · pid {worker.pid}</span>
          <Copy text={worker.id} label="Copy the id" />
        </span>
      }
      actions={<Meter used={worker.running} of={worker.concurrency} label={`Load of ${worker.name}`} />}
    >
      <dl className="flex flex-wrap gap-x-6 gap-y-2 text-sm">
        <Fact name="Heartbeat"><span className={silent ? "text-amber" : ""}><Time at={worker.seen_at} /></span></Fact>
        <Fact name="Up for"><Duration from={worker.started_at} /></Fact>
        <Fact name="Version">{worker.version}</Fact>
        <Fact name="Queues">{worker.queues.map((queue, index) => <span key={queue}>{index > 0 && ", "}<Link to="/jobs" search={{ queue: [queue] }} className="hover:underline"><bdi>{queue}</bdi></Link></span>)}</Fact>
      </dl>
      <div className="mt-3 border-t border-line pt-2">
        {jobs.length === 0 ? (
          <p className="text-muted">{worker.running > 0 ? "Its jobs have just begun." : "Nothing to do at present."} <Link to="/jobs" search={{ worker_id: [worker.id] }} className="text-accent underline">What it has run</Link></p>
        ) : (
          <>
            <ul aria-label={`Jobs that ${worker.name} runs`}>
              {jobs.slice(0, MOST).map((job) => <Running key={job.id} job={job} />)}
            </ul>
            {(worker.running > MOST || jobs.length > MOST) && (
              <Link to="/jobs" search={{ worker_id: [worker.id], status: ["running"] }} className="text-accent hover:underline">All {number(Math.max(worker.running, jobs.length))} that it runs</Link>
            )}
          </>
        )}
      </div>
    </Panel>
  );
}

function Running({ job }: { job: Schemas["JobSummary"] }) {
  return (
    <li>
      <Link to="/jobs/$id" params={{ id: job.id }} className="-mx-2 flex items-center gap-3 rounded-md px-2 py-1 hover:bg-hover">
        <bdi className="truncate font-medium">{job.function}</bdi>
        <code className="shrink-0 font-mono text-sm text-muted max-sm:hidden">{shortId(job.id)}</code>
        <bdi className="min-w-0 truncate text-sm text-muted">{job.progress !== null && percent(job.progress)} {job.progress_message}</bdi>
        {job.cancel_requested && <Badge tone="amber">Cancelling</Badge>}
        <span className="ml-auto shrink-0">{job.started_at ? <Duration from={job.started_at} /> : <span className="text-muted">held, not begun</span>}</span>
      </Link>
    </li>
  );
}

function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <div className="min-w-0">
      <dt className="text-muted">{name}</dt>
      <dd className="min-w-0">{children}</dd>
    </div>
  );
}
