import { useNavigate, useSearch } from "@tanstack/react-router";
import { PageHeader } from "@/components/Panel";
import { SpanSwitch } from "@/components/SpanSwitch";
import { ErrorState, Skeleton, StaleNotice } from "@/components/States";
import { Time } from "@/components/Time";
import { TrendCharts } from "@/components/TrendCharts";
import { useTicking } from "@/lib/clock";
import type { Span } from "@/lib/spans";
import { useOverview } from "./data";
import { Failing } from "./Failing";
import { FirstSteps } from "./FirstSteps";
import { NowPanel, QueuesPanel, WorkersPanel } from "./Panels";
import { Tiles } from "./Tiles";
import { Verdict } from "./Verdict";

/** Whether all is well, in five seconds; where to look if it isn't. */
export default function Overview() {
  const span: Span = useSearch({ from: "/layout/" }).span ?? "1h";
  const navigate = useNavigate();
  const known = useOverview(span);
  // Judged anew every five seconds, for waiting and silence grow by themselves.
  const now = useTicking((at) => Math.floor(at / 5000) * 5000);
  const { stats, recent, trends, queues, workers, failed, letters, ready } = known;
  if (stats.isError && !stats.data) {
    return (
      <>
        <PageHeader title="Overview" />
        <ErrorState error={stats.error} onRetry={() => void stats.refetch()} />
      </>
    );
  }
  // The verdict comes all at once, and first: what follows it would move otherwise.
  const pending = [recent, queues, workers, letters, ready].some((each) => each.isPending);
  const isNew = stats.data && workers.data?.items.length === 0 && Object.values(stats.data.statuses).every((many) => many === 0);
  return (
    <>
      <PageHeader
        title="Overview"
        actions={
          <SpanSwitch value={span} onChange={(next) => void navigate({ to: "/", search: { span: next === "1h" ? undefined : next }, replace: true })} />
        }
      />
      <StaleNotice stale={queues.data?.stale ?? false}>
        <Time at={queues.data?.at} />
      </StaleNotice>
      {pending ? (
        <Loading />
      ) : isNew ? (
        <FirstSteps />
      ) : (
        <div className="flex flex-col gap-4">
          <Verdict known={{ now, stats: recent.data, queues: queues.data, workers: workers.data, letters: letters.data, ready: ready.data }} />
          <Tiles span={span} stats={stats.data} trends={trends.data} queues={queues.data} workers={workers.data} fresh={!stats.isPlaceholderData} />
          <div className="grid gap-4 lg:grid-cols-[minmax(0,1fr)_17rem]">
            <TrendCharts span={span} trends={trends.data} error={trends.isError && !trends.data ? trends.error : null} />
            <NowPanel stats={stats.data} />
          </div>
          <Failing span={span} stats={stats.data} jobs={failed.data?.items} />
          <div className="grid gap-4 lg:grid-cols-2">
            <QueuesPanel queues={queues.data} error={queues.error} />
            <WorkersPanel workers={workers.data} error={workers.error} />
          </div>
        </div>
      )}
    </>
  );
}

/** The page's shape until its first answers are there. */
function Loading() {
  return (
    <div className="flex flex-col gap-4" aria-busy="true">
      <Skeleton className="h-16 rounded-lg" />
      <div className="grid grid-cols-2 gap-3 md:grid-cols-3 xl:grid-cols-6">
        {Array.from({ length: 6 }, (_, index) => (
          <Skeleton key={index} className="h-29 rounded-lg" />
        ))}
      </div>
      <Skeleton className="h-96 rounded-lg" />
    </div>
  );
}
