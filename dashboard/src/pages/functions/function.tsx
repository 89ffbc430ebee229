import { Link, useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { useQuery } from "@tanstack/react-query";
import { ArrowLeft, CircleCheck, CirclePause, Play, Zap } from "lucide-react";
import { get, type Schemas } from "@/api/client";
import { asApiError } from "@/api/errors";
import { useRefusal } from "@/api/role";
import { stats, trends } from "@/api/statistics";
import { useTitle } from "@/app/title";
import { Badge } from "@/components/Badge";
import { Button } from "@/components/Button";
import { Facts, PageHeader, Panel } from "@/components/Panel";
import { PauseSwitch } from "@/components/PauseSwitch";
import { RecentJobs } from "@/components/RecentJobs";
import { SpanSwitch } from "@/components/SpanSwitch";
import { ErrorState, Skeleton } from "@/components/States";
import { Time } from "@/components/Time";
import { TrendCharts } from "@/components/TrendCharts";
import { useShortcuts } from "@/keyboard/shortcuts";
import { cx } from "@/lib/cx";
import { groupFailures } from "@/lib/failures";
import { compact, count, duration, percent, rate } from "@/lib/format";
import type { Span } from "@/lib/spans";
import { isRegistered } from "./rows";
import { RunDialog } from "./RunDialog";
import type { FunctionSearch } from "./search";

/** One function: how it goes, what goes wrong, and a form to run it. */
export default function FunctionPage() {
  const { name } = useParams({ from: "/layout/functions/$name" });
  useTitle(name);
  const search = useSearch({ from: "/layout/functions/$name" });
  const navigate = useNavigate();
  const set = (changes: Partial<FunctionSearch>) => void navigate({ to: "/functions/$name", params: { name }, search: { ...search, ...changes }, replace: true });
  const span: Span = search.span ?? "1h";
  const { data: info, error, isPending, refetch } = useQuery(get("/api/v1/functions/{name}", { params: { path: { name } } }));
  const done = useQuery(stats(span, { function: [name] }));
  const over = useQuery(trends(span, { function: [name] }));
  // What a function did is worth a page, also when no worker has it any more.
  const isGone = !info && error !== null && asApiError(error).status === 404;
  const hasRun = (done.data?.overall.total ?? 0) > 0 || Object.values(done.data?.statuses ?? {}).some((many) => many > 0);
  if (error && !info && !(isGone && (hasRun || done.isPending))) {
    return (
      <>
        <Back />
        <PageHeader title={<bdi>{name}</bdi>} />
        <ErrorState error={error} onRetry={() => void refetch()} />
      </>
    );
  }
  return (
    <>
      <Back />
      <PageHeader
        title={<bdi>{name}</bdi>}
        badge={
          <>
            {info?.paused && <Badge tone="amber" icon={CirclePause}>Paused</Badge>}
            {info?.event && <Badge tone="violet" icon={Zap}>Handles <bdi>{info.event}</bdi></Badge>}
            {!isPending && !isRegistered(info) && <Badge>No worker has it</Badge>}
          </>
        }
        actions={
          <>
            <SpanSwitch value={span} onChange={(next) => set({ span: next === "1h" ? undefined : next })} />
            {info && <Actions info={info} onRun={() => set({ run: "now" })} />}
          </>
        }
      >
        {isPending ? " " : info?.doc ? <bdi className="whitespace-pre-line">{info.doc}</bdi> : !isRegistered(info) ? "It isn't registered by any worker: this is what it did before." : "Its docstring would stand here."}
      </PageHeader>
      <div className="flex flex-col gap-4">
        <Numbers ended={done.data?.overall} fresh={!done.isPlaceholderData} />
        <TrendCharts span={span} trends={over.data} error={over.isError && !over.data ? over.error : null} />
        <div className="grid items-start gap-4 lg:grid-cols-[minmax(0,1fr)_20rem]">
          <div className="flex min-w-0 flex-col gap-4">
            <LastErrors name={name} />
            <LastJobs name={name} />
          </div>
          <About info={isRegistered(info) ? info : undefined} pending={isPending} />
        </div>
      </div>
      {info && isRegistered(info) && <RunDialog info={info} open={search.run === "now"} onOpenChange={(open) => set({ run: open ? "now" : undefined })} />}
    </>
  );
}

function Back() {
  return (
    <Link to="/functions" className="mb-2 inline-flex items-center gap-1 rounded text-sm text-muted hover:text-ink">
      <ArrowLeft className="size-3.5" aria-hidden />
      Functions
    </Link>
  );
}

function Actions({ info, onRun }: { info: Schemas["FunctionView"]; onRun: () => void }) {
  const refused = useRefusal("operate");
  useShortcuts([{ keys: "r", label: "Run now", group: "Function", run: () => !refused && isRegistered(info) && onRun() }]);
  return (
    <>
      <PauseSwitch kind="function" name={info.name} paused={info.paused} description="Its jobs wait from now on, also those that are submitted later. Those that run go on, and other functions of its queue aren't affected." keys="p" />
      {isRegistered(info) && <Button kind="primary" icon={Play} refused={refused} onClick={onRun}>Run now</Button>}
    </>
  );
}

/** The numbers of the span. */
function Numbers({ ended, fresh }: { ended: Schemas["EndedView"] | undefined; fresh: boolean }) {
  const spent = (ms: number | null | undefined) => (ms === null || ms === undefined ? "–" : duration(ms));
  const items: [name: string, value: string | undefined, note: string | undefined, bad?: boolean][] = [
    ["Finished", ended && compact(ended.total), ended && rate(ended.per_second)],
    ["Failed", ended && compact(ended.failed), ended && (ended.error_rate === null ? "nothing finished" : `${percent(ended.error_rate)} of all`), (ended?.failed ?? 0) > 0],
    ["Wait, p95", ended && spent(ended.wait_ms.p95), ended && `half within ${spent(ended.wait_ms.p50)}`],
    ["Run, p50", ended && spent(ended.run_ms.p50), "half ran no longer"],
    ["Run, p95", ended && spent(ended.run_ms.p95), "95 % ran no longer"],
    ["Run, p99", ended && spent(ended.run_ms.p99), "99 % ran no longer"],
  ];
  return (
    <dl className={cx("grid grid-cols-2 gap-px overflow-hidden rounded-lg border border-line bg-line sm:grid-cols-3 xl:grid-cols-6", !fresh && "opacity-70")}>
      {items.map(([name, value, note, bad]) => (
        <div key={name} className="flex flex-col bg-surface px-4 py-3">
          <dt className="text-sm font-medium text-muted">{name}</dt>
          <dd className="flex flex-col">
            {value === undefined ? <Skeleton className="my-1 h-6 w-16" /> : <span className={cx("text-xl leading-8 font-semibold tracking-tight", bad && "text-red")}>{value}</span>}
            <span className="text-sm text-muted">{note ?? " "}</span>
          </dd>
        </div>
      ))}
    </dl>
  );
}

function LastErrors({ name }: { name: string }) {
  const failed = useQuery(get("/api/v1/jobs", { params: { query: { function: [name], status: ["failed"], sort: "-finished_at", limit: 50 } } }));
  const groups = failed.data && groupFailures(failed.data.items);
  return (
    <Panel
      title="Last errors"
      flush
      actions={
        groups && groups.length > 0 && (
          <Button asChild size="small" kind="quiet">
            <Link to="/jobs" search={{ function: [name], status: ["failed"] }}>{count(failed.data?.total ?? 0, "failed job")}</Link>
          </Button>
        )
      }
    >
      {failed.isError && !failed.data ? <ErrorState error={failed.error} className="py-6" /> : !groups && <Skeleton className="mx-4 mb-4 h-10" />}
      {groups?.length === 0 && (
        <p className="flex items-center gap-2 px-4 pb-4 text-muted">
          <CircleCheck className="size-4 text-green" aria-hidden />
          No job of this function has failed.
        </p>
      )}
      {groups && groups.length > 0 && (
        <ul className="border-t border-line">
          {groups.slice(0, 5).map((group) => (
            <li key={group.type} className="border-b border-line last:border-0">
              <Link to="/jobs/$id" params={{ id: group.last.id }} className="flex flex-wrap items-center gap-x-3 gap-y-0.5 px-4 py-2 hover:bg-hover md:flex-nowrap">
                <Badge tone="red" className="max-w-56 shrink-0"><bdi className="truncate">{group.type}</bdi></Badge>
                <bdi className="order-last min-w-0 basis-full truncate text-muted md:order-none md:flex-1 md:basis-0">{group.message}</bdi>
                <span className="ml-auto shrink-0 text-muted" title="Of the 50 latest">{count(group.many, "job")} · <Time at={group.last.finished_at} /></span>
              </Link>
            </li>
          ))}
        </ul>
      )}
    </Panel>
  );
}

function LastJobs({ name }: { name: string }) {
  const latest = useQuery(get("/api/v1/jobs", { params: { query: { function: [name], limit: 10 } } }));
  return (
    <Panel
      title="Latest jobs"
      flush
      actions={
        <Button asChild size="small" kind="quiet">
          <Link to="/jobs" search={{ function: [name] }}>All its jobs</Link>
        </Button>
      }
    >
      {latest.isError && !latest.data ? <ErrorState error={latest.error} className="py-6" /> : <RecentJobs label="Latest jobs" jobs={latest.data?.items} rows={10} empty="It has had no job yet. Run it now to see how it does." />}
    </Panel>
  );
}

function About({ info, pending }: { info: Schemas["FunctionView"] | undefined; pending: boolean }) {
  if (pending) return <Skeleton className="h-64" />;
  if (!info) return null;
  return (
    <Panel title="As registered">
      <code className="mb-3 block rounded-md bg-hover px-2.5 py-2 font-mono text-sm break-words">{info.signature}</code>
      <Facts
        items={[
          ["Worker", <bdi key="worker">{info.worker}</bdi>],
          ["Queue", <Link key="queue" to="/queues" className="hover:underline"><bdi>{info.queue}</bdi></Link>],
          ["Retries", info.retries === 0 ? "none" : `up to ${info.retries}`],
          ["Timeout", info.timeout_ms === null ? "none" : duration(info.timeout_ms)],
          ["Priority", info.priority === 0 ? "0, the usual one" : String(info.priority)],
          ["Deliveries", `at most ${info.max_deliveries}`],
          ["Event", info.event && <Link key="event" to="/events" className="hover:underline"><bdi>{info.event}</bdi></Link>],
        ]}
      />
    </Panel>
  );
}
