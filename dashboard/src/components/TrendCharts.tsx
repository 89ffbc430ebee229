import { useMemo } from "react";
import type { Schemas } from "@/api/client";
import { compact, duration } from "@/lib/format";
import { topOf } from "@/lib/outliers";
import { REACH, type Span } from "@/lib/spans";
import { Chart } from "./Chart";
import { Panel } from "./Panel";
import { ErrorState, Skeleton } from "./States";

/** What happened over time: how many, how long they waited, how long they ran. */
export function TrendCharts({ span, trends, error }: { span: Span; trends: Schemas["TrendsView"] | undefined; error: unknown }) {
  const words = REACH[span].words;
  return (
    <div className="grid min-w-0 gap-4 md:grid-cols-2">
      <Panel title="Finished jobs" className="md:col-span-2">
        {error ? <ErrorState error={error} /> : trends ? <Finished trends={trends} words={words} /> : <Skeleton className="h-45" />}
      </Panel>
      <Panel title="Wait">{trends ? <Spent trends={trends} of="wait_ms" words={words} /> : <Skeleton className="h-[150px]" />}</Panel>
      <Panel title="Run">{trends ? <Spent trends={trends} of="run_ms" words={words} /> : <Skeleton className="h-[150px]" />}</Panel>
    </div>
  );
}

function Finished({ trends, words }: { trends: Schemas["TrendsView"]; words: string }) {
  const { times, lines } = useMemo(() => {
    const ended = trends.items.map((each) => each.ended);
    const completed = ended.map((each) => each.completed);
    const failed = ended.map((each) => each.failed);
    return {
      times: trends.items.map((each) => Date.parse(each.at)),
      // Drawn on top of each other: the failed ones look out above the completed ones.
      lines: [
        { label: "failed", colour: "red", kind: "bars", values: ended.map((each) => each.completed + each.failed), told: failed },
        { label: "completed", colour: "accent", kind: "bars", values: completed },
      ] as const,
    };
  }, [trends]);
  return <Chart label={`Jobs completed and failed over the last ${words}`} times={times} lines={lines} format={compact} />;
}

function Spent({ trends, of, words }: { trends: Schemas["TrendsView"]; of: "wait_ms" | "run_ms"; words: string }) {
  const { times, lines, top } = useMemo(() => {
    const spent = trends.items.map((each) => each.ended[of]);
    return {
      times: trends.items.map((each) => Date.parse(each.at)),
      top: topOf(spent.flatMap((each) => [each.p50, each.p95, each.p99])),
      lines: [
        { label: "p99", colour: "gray", values: spent.map((each) => each.p99) },
        { label: "p95", colour: of === "wait_ms" ? "amber" : "blue", values: spent.map((each) => each.p95) },
        { label: "p50", colour: "accent", kind: "area", values: spent.map((each) => each.p50) },
      ] as const,
    };
  }, [trends, of]);
  const what = of === "wait_ms" ? "waited" : "ran";
  return <Chart label={`How long jobs ${what} over the last ${words}: half, 95 % and 99 % within`} times={times} lines={lines} top={top} format={duration} height={130} />;
}
