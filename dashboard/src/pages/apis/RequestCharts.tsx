import { useMemo } from "react";
import type { Schemas } from "@/api/client";
import { Chart, type Line } from "@/components/Chart";
import { Panel } from "@/components/Panel";
import { Skeleton } from "@/components/States";
import { compact, duration } from "@/lib/format";
import { REACH, type Span } from "@/lib/spans";
import { stacked } from "./stacked";

const HEIGHT = 140;

/** How often an API was asked over time, what it answered, and how fast. */
export function RequestCharts({ span, buckets }: { span: Span; buckets: readonly Schemas["ApiBucketView"][] | undefined }) {
  const { words } = REACH[span];
  const drawn = useMemo(() => {
    if (!buckets) return undefined;
    const latency = (name: "p50" | "p95" | "p99") => buckets.map(({ latency_ms }) => latency_ms[name]);
    const spent: Line[] = [
      { label: "p99", colour: "gray", values: latency("p99") },
      { label: "p95", colour: "blue", values: latency("p95") },
      { label: "p50", colour: "accent", kind: "area", values: latency("p50") },
    ];
    return { times: buckets.map(({ at }) => Date.parse(at)), requests: stacked(buckets), spent };
  }, [buckets]);
  const room = <Skeleton className="h-[160px]" />;
  return (
    <div className="grid min-w-0 gap-4 md:grid-cols-2">
      <Panel title="Requests">
        {drawn ? <Chart label={`Requests over the last ${words}: those that were served, refused and failed`} times={drawn.times} lines={drawn.requests} format={compact} height={HEIGHT} /> : room}
      </Panel>
      <Panel title="Latency">
        {drawn ? <Chart label={`Latency over the last ${words}: half, 95 % and 99 % within`} times={drawn.times} lines={drawn.spent} format={duration} height={HEIGHT} /> : room}
      </Panel>
    </div>
  );
}
