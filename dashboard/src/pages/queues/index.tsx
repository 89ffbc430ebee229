import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { useQuery } from "@tanstack/react-query";
import { CirclePause, Inbox, SearchX, UserX } from "lucide-react";
import { get, type Schemas } from "@/api/client";
import { activity } from "@/api/statistics";
import { ActivityBars } from "@/components/ActivityBars";
import { Badge } from "@/components/Badge";
import { Button } from "@/components/Button";
import { CodeBlock } from "@/components/Code";
import { SearchInput } from "@/components/Field";
import { FilterBar } from "@/components/FilterBar";
import { PageHeader } from "@/components/Panel";
import { PauseSwitch } from "@/components/PauseSwitch";
import { SpanSwitch } from "@/components/SpanSwitch";
import { EmptyState, ErrorState, StaleNotice } from "@/components/States";
import { ActionCell, Cell, Head, HeadCell, Row, SkeletonRows, Table } from "@/components/Table";
import { Duration, Time } from "@/components/Time";
import { useRowKeys } from "@/keyboard/useRowKeys";
import { useTicking } from "@/lib/clock";
import { cx } from "@/lib/cx";
import { compact, count, number, percent, rate } from "@/lib/format";
import { REACH, type Span } from "@/lib/spans";
import type { QueuesSearch } from "./search";
import { servedBy, throughput } from "./served";

const EXAMPLE = `mails = conduit.Worker("mails", queues={"mail": 3, "default": 1})

@mails.task(queue="mail")
async def send_mail(to: str) -> None: ...`;

/** A job that has waited this long, in milliseconds, is worth a look. */
const LONG_WAIT = 60_000;

/** What waits, for how long, and how fast it is worked off. */
export default function Queues() {
  const search = useSearch({ from: "/layout/queues" });
  const navigate = useNavigate();
  const set = (changes: Partial<QueuesSearch>) => void navigate({ to: "/queues", search: { ...search, ...changes }, replace: true });
  const span: Span = search.span ?? "1h";
  const queues = useQuery(get("/api/v1/queues"));
  const workers = useQuery(get("/api/v1/workers"));
  const over = useQuery(activity(span, "queue"));
  const rows = queues.data?.items.filter(({ name }) => name.toLowerCase().includes((search.q ?? "").toLowerCase()));
  const open = (name: string) => void navigate({ to: "/jobs", search: { queue: [name], status: ["queued", "running", "scheduled", "blocked"] } });
  const { marked } = useRowKeys({ count: rows?.length ?? 0, onOpen: (index) => rows?.[index] && open(rows[index].name) });
  if (queues.isError && !queues.data) {
    return (
      <>
        <PageHeader title="Queues" />
        <ErrorState error={queues.error} onRetry={() => void queues.refetch()} />
      </>
    );
  }
  const deepest = Math.max(1, ...(rows ?? []).map((each) => each.queued + each.running + each.scheduled + each.blocked));
  return (
    <>
      <PageHeader title="Queues" actions={<SpanSwitch value={span} onChange={(next) => set({ span: next === "1h" ? undefined : next })} />}>
        {queues.data ? total(queues.data.items) : " "}
      </PageHeader>
      <StaleNotice stale={queues.data?.stale ?? false}>
        <Time at={queues.data?.at} />
      </StaleNotice>
      {queues.data?.items.length === 0 ? (
        <div className="rounded-lg border border-line bg-surface">
          <EmptyState icon={Inbox} title="No queue has had a job yet" className="pb-6">
            A queue comes into being with its first job. Functions say which one is theirs, workers which they serve, and with what weight.
          </EmptyState>
          <div className="mx-auto max-w-2xl px-4 pb-8">
            <CodeBlock label="A worker of two queues" code={EXAMPLE} />
          </div>
        </div>
      ) : (
        <>
          <FilterBar onClear={search.q ? () => set({ q: undefined }) : undefined}>
            <SearchInput label="Search queues" placeholder="Name" value={search.q ?? ""} onChange={(q) => set({ q: q || undefined })} className="w-64 max-w-full" />
          </FilterBar>
          {rows?.length === 0 ? (
            <EmptyState icon={SearchX} title="No queue is called that" action={<Button onClick={() => set({ q: undefined })}>Show all {queues.data?.items.length}</Button>} />
          ) : (
            <Table label="Queues">
              <Head>
                <HeadCell>Queue</HeadCell>
                <HeadCell className="max-2xl:hidden">Depth</HeadCell>
                <HeadCell numeric>Waiting</HeadCell>
                <HeadCell numeric className="max-sm:hidden">Oldest</HeadCell>
                <HeadCell numeric>Running</HeadCell>
                <HeadCell numeric className="max-sm:hidden">Scheduled</HeadCell>
                <HeadCell numeric className="max-lg:hidden">Blocked</HeadCell>
                <HeadCell className="max-sm:hidden">Throughput</HeadCell>
                <HeadCell className="max-md:hidden">Served by</HeadCell>
                <HeadCell><span className="sr-only">Actions</span></HeadCell>
              </Head>
              <tbody>
                {!rows && <SkeletonRows rows={4} columns={10} />}
                {rows?.map((queue, index) => (
                  <QueueLine
                    key={queue.name}
                    queue={queue}
                    deepest={deepest}
                    span={span}
                    series={over.data?.items[queue.name]}
                    bucketMs={over.data?.bucket_ms ?? REACH[span].bucket * 1000}
                    workers={workers.data && !workers.data.stale ? workers.data.items : undefined}
                    marked={index === marked}
                    onOpen={() => open(queue.name)}
                  />
                ))}
              </tbody>
            </Table>
          )}
        </>
      )}
    </>
  );
}

function total(queues: readonly Schemas["QueueView"][]): string {
  const sum = (of: (queue: Schemas["QueueView"]) => number) => number(queues.reduce((all, each) => all + of(each), 0));
  return `${sum((each) => each.queued)} waiting, ${sum((each) => each.running)} running, ${sum((each) => each.scheduled)} scheduled, ${sum((each) => each.blocked)} blocked`;
}

interface LineProps {
  queue: Schemas["QueueView"];
  deepest: number;
  span: Span;
  series: Schemas["SeriesView"] | undefined;
  bucketMs: number;
  /** Undefined while they aren't known. */
  workers: readonly Schemas["WorkerView"][] | undefined;
  marked: boolean;
  onOpen: () => void;
}

function QueueLine({ queue, deepest, span, series, bucketMs, workers, marked, onOpen }: LineProps) {
  const { name } = queue;
  const served = workers && servedBy(workers, name);
  const done = throughput(series, bucketMs);
  const none = Array.from({ length: Math.round(REACH[span].ms / bucketMs) }, () => 0);
  const isLate = useTicking((now) => queue.queued > 0 && queue.oldest_at !== null && now - Date.parse(queue.oldest_at) > LONG_WAIT);
  return (
    <Row marked={marked} onOpen={onOpen}>
      <Cell className="max-w-60 max-sm:max-w-36">
        <span className="flex items-center gap-2 max-sm:flex-wrap max-sm:gap-y-0.5">
          <Link to="/jobs" search={{ queue: [name], status: ["queued", "running", "scheduled", "blocked"] }} className="truncate font-medium hover:underline" title={name}><bdi>{name}</bdi></Link>
          {queue.paused && <Badge tone="amber" icon={CirclePause}>Paused</Badge>}
        </span>
        {queue.queued > 0 && queue.oldest_at && <span className="block text-sm text-muted sm:hidden">oldest <Duration from={queue.oldest_at} /></span>}
      </Cell>
      <Cell className="max-2xl:hidden"><Depth queue={queue} deepest={deepest} /></Cell>
      <Cell numeric><Count many={queue.queued} queue={name} status="queued" /></Cell>
      <Cell numeric className={cx("max-sm:hidden", isLate && !queue.paused ? "text-amber" : "text-muted")}>{queue.queued > 0 && queue.oldest_at ? <Duration from={queue.oldest_at} /> : <span className="text-faint">–</span>}</Cell>
      <Cell numeric><Count many={queue.running} queue={name} status="running" /></Cell>
      <Cell numeric className="max-sm:hidden"><Count many={queue.scheduled} queue={name} status="scheduled" /></Cell>
      <Cell numeric className="max-lg:hidden"><Count many={queue.blocked} queue={name} status="blocked" /></Cell>
      <Cell className="max-sm:hidden">
        <span className="flex items-center gap-3 whitespace-nowrap">
          <ActivityBars completed={series?.completed ?? none} failed={series?.failed ?? none} label={`Jobs finished over the last ${REACH[span].words}`} />
          <span title={`${number(done.total)} finished in the last ${REACH[span].words}`}>{rate(done.perSecond)}</span>
          {done.failed > 0 && <span className="text-red">{percent(done.failed / done.total)} failed</span>}
        </span>
      </Cell>
      <Cell className="whitespace-nowrap text-muted max-md:hidden">
        {served === undefined ? "–" : served.workers > 0 ? <Link to="/workers" className="hover:underline">{count(served.workers, "worker")}, {compact(served.slots)} at a time</Link> : <Badge tone={queue.queued > 0 ? "red" : "gray"} icon={UserX}>No worker</Badge>}
      </Cell>
      <ActionCell><PauseSwitch kind="queue" name={name} paused={queue.paused} description={ifPaused(queue)} size="small" /></ActionCell>
    </Row>
  );
}

function ifPaused({ queued }: Schemas["QueueView"]): string {
  const those = queued > 0 ? `The ${count(queued, "job")} in it ${queued === 1 ? "waits" : "wait"}` : "Its jobs wait";
  return `${those} until it is resumed, and so do those that are submitted meanwhile. Jobs that run go on to their end.`;
}

function Count({ many, queue, status }: { many: number; queue: string; status: "queued" | "running" | "scheduled" | "blocked" }) {
  if (many === 0) return <span className="text-faint">0</span>;
  return <Link to="/jobs" search={{ queue: [queue], status: [status] }} className="font-medium hover:underline">{compact(many)}</Link>;
}

/** What is in it, beside the fullest of all. */
function Depth({ queue, deepest }: { queue: Schemas["QueueView"]; deepest: number }) {
  const parts = [
    ["running", queue.running, "bg-blue"],
    ["waiting", queue.queued, "bg-amber"],
    ["scheduled", queue.scheduled, "bg-violet"],
    ["blocked", queue.blocked, "bg-gray"],
  ] as const;
  return (
    <span role="img" aria-label={parts.map(([name, many]) => `${many} ${name}`).join(", ")} title={parts.map(([name, many]) => `${many} ${name}`).join(", ")} className="flex h-1.5 w-32 gap-px overflow-hidden rounded-full bg-hover">
      {parts.map(([name, many, colour]) => many > 0 && <span key={name} className={cx("h-full", colour)} style={{ width: `${Math.max(3, (many / deepest) * 100)}%` }} />)}
    </span>
  );
}
