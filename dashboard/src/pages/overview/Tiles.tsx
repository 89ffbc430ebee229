import type { ReactNode } from "react";
import { Link, type LinkProps } from "@tanstack/react-router";
import type { Schemas } from "@/api/client";
import { Sparkline, type Colour } from "@/components/Chart";
import { Skeleton } from "@/components/States";
import { compact, duration, percent, rate } from "@/lib/format";
import { cx } from "@/lib/cx";
import { REACH, type Span } from "@/lib/spans";

interface Props {
  span: Span;
  stats: Schemas["StatsView"] | undefined;
  trends: Schemas["TrendsView"] | undefined;
  queues: Schemas["QueuesView"] | undefined;
  workers: Schemas["WorkersView"] | undefined;
  /** The numbers are of this span, and not of the one before. */
  fresh: boolean;
}

/** The numbers that matter most, each with where to find more. */
export function Tiles({ span, stats, trends, queues, workers, fresh }: Props) {
  const overall = stats?.overall;
  const line = (of: (bucket: Schemas["BucketView"]) => number | null) => trends?.items.map(of);
  const sum = (of: (queue: Schemas["QueueView"]) => number) => queues?.items.reduce((total, each) => total + of(each), 0);
  const slots = workers?.items.reduce((total, each) => total + each.concurrency, 0);
  return (
    <div className={cx("grid grid-cols-2 gap-3 md:grid-cols-3 xl:grid-cols-6", !fresh && "opacity-70")}>
      <Tile
        name="Throughput"
        note={overall && `${compact(overall.total)} finished`}
        value={overall && rate(overall.per_second)}
        trend={line((each) => each.ended.total)}
        words={`Jobs finished over the last ${REACH[span].words}`}
        link={{ to: "/jobs" }}
      />
      <Tile
        name="Failed"
        note={overall && (overall.error_rate === null ? "nothing finished" : `${percent(overall.error_rate)} of all`)}
        value={overall && compact(overall.failed)}
        tone={overall && overall.failed > 0 ? "red" : undefined}
        trend={line((each) => each.ended.failed)}
        colour="red"
        words={`Jobs failed over the last ${REACH[span].words}`}
        link={{ to: "/jobs", search: { status: ["failed"] } }}
      />
      <Tile
        name="Wait, p95"
        note={overall && half(overall.wait_ms.p50)}
        value={overall && spent(overall.wait_ms.p95)}
        trend={line((each) => each.ended.wait_ms.p95)}
        colour="amber"
        words={`What 95 % of jobs waited at most, over the last ${REACH[span].words}`}
        link={{ to: "/queues" }}
      />
      <Tile
        name="Run, p95"
        note={overall && half(overall.run_ms.p50)}
        value={overall && spent(overall.run_ms.p95)}
        trend={line((each) => each.ended.run_ms.p95)}
        colour="blue"
        words={`What 95 % of jobs ran at most, over the last ${REACH[span].words}`}
        link={{ to: "/functions" }}
      />
      <Tile
        name="Waiting now"
        note={queues && `${compact(sum((each) => each.scheduled) ?? 0)} scheduled`}
        value={queues && compact(sum((each) => each.queued) ?? 0)}
        link={{ to: "/jobs", search: { status: ["queued"] } }}
      />
      <Tile
        name="Running now"
        note={workers && `of ${compact(slots ?? 0)} at ${workers.items.length === 1 ? "1 worker" : `${workers.items.length} workers`}`}
        value={queues && compact(sum((each) => each.running) ?? 0)}
        link={{ to: "/workers" }}
      />
    </div>
  );
}

function spent(ms: number | null): string {
  return ms === null ? "–" : duration(ms);
}

function half(ms: number | null): string {
  return ms === null ? "nothing ran" : `half within ${duration(ms)}`;
}

interface TileProps {
  name: string;
  value: string | undefined;
  note: ReactNode;
  link: LinkProps;
  tone?: "red" | undefined;
  trend?: readonly (number | null)[] | undefined;
  colour?: Colour;
  words?: string;
}

function Tile({ name, value, note, link, tone, trend, colour = "accent", words = "" }: TileProps) {
  return (
    <Link {...link} className="group relative flex h-29 min-w-0 flex-col overflow-hidden rounded-lg border border-line bg-surface px-4 py-3 transition-colors hover:border-line-strong/60">
      <span className="text-sm font-medium text-muted">{name}</span>
      {value === undefined ? <Skeleton className="mt-2 h-6 w-16" /> : <span className={cx("mt-0.5 text-2xl leading-8 font-semibold tracking-tight whitespace-nowrap", tone === "red" && "text-red")}>{value}</span>}
      <span className="truncate text-sm text-muted">{note ?? " "}</span>
      {trend && trend.some((each) => (each ?? 0) > 0) && <Sparkline values={trend} colour={colour} label={words} className="pointer-events-none absolute inset-x-0 bottom-0 h-6 w-full" />}
    </Link>
  );
}
