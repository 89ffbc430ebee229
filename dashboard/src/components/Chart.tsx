import { useEffect, useRef, useState } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { useZone } from "@/app/settings";
import { clock, compact, exact, type Zone } from "@/lib/format";
import { cx } from "@/lib/cx";
import { alone } from "@/lib/gaps";

export type Colour = "accent" | "green" | "red" | "amber" | "blue" | "violet" | "gray";

export interface Line {
  label: string;
  colour: Colour;
  /** One for each time; null where there is none. */
  values: readonly (number | null)[];
  kind?: "line" | "area" | "bars";
  /** What the legend tells in place of `values`, where lines are drawn on top of each other. */
  told?: readonly (number | null)[];
}

interface Props {
  /** What it shows, for those who can't see it. */
  label: string;
  /** Milliseconds since the epoch, rising. */
  times: readonly number[];
  lines: readonly Line[];
  format?: (value: number) => string;
  /** Where the axis ends, though some values lie beyond. */
  top?: number | undefined;
  height?: number;
  className?: string;
}

/** Lines over time. Its legend tells the values under the cursor. */
export function Chart({ label, times, lines, format = compact, top, height = 160, className }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const zone = useZone();
  const [at, setAt] = useState<number | null>(null);
  const shape = JSON.stringify([lines.map(({ label: name, colour: tone, kind }) => [name, tone, kind]), zone, height]);
  const latest = useRef({ times, lines, format, top });
  latest.current = { times, lines, format, top };

  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const width = () => Math.max(element.clientWidth, 100);
    const draw = () => {
      plot.current?.destroy();
      const { lines: drawn, format: tell } = latest.current;
      const made = options(drawn, zone, width(), height, tell, () => latest.current.top, (index) => setAt(index));
      plot.current = new uPlot(made, data(latest.current), element);
    };
    draw();
    // The canvas has its colours from the theme, so it is drawn anew with it.
    const themes = new MutationObserver(draw);
    themes.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    const sizes = new ResizeObserver(() => plot.current?.setSize({ width: width(), height }));
    sizes.observe(element);
    return () => {
      themes.disconnect();
      sizes.disconnect();
      plot.current?.destroy();
      plot.current = null;
    };
    // `shape` stands for all of the lines that isn't data.
  }, [shape]);

  useEffect(() => {
    plot.current?.setData(data({ times, lines }));
  }, [times, lines]);

  const time = at === null ? undefined : times[at];
  const most = top === undefined ? undefined : Math.max(...lines.flatMap((line) => line.values.map((value) => value ?? 0)));
  const isEmpty = lines.every((line) => line.values.every((value) => !value));
  return (
    <figure className={cx("relative min-w-0", className)}>
      {isEmpty && <p className="absolute inset-x-0 top-[38%] z-10 text-center text-muted">Nothing in this time</p>}
      <div ref={box} role="img" aria-label={label} className="w-full overflow-hidden" style={{ height }} />
      <figcaption className="flex h-5 items-center gap-4 overflow-hidden pl-11.5 text-xs whitespace-nowrap text-muted">
        {lines.toReversed().map((line) => (
          <span key={line.label} className="flex items-center gap-1.5">
            <span aria-hidden className={cx("size-2 rounded-xs", MARKERS[line.colour])} />
            {line.label}
            {at !== null && <span className="text-ink">{told(line, at, format)}</span>}
          </span>
        ))}
        {time === undefined && most !== undefined && <span className="ml-auto">beyond the top: up to {format(most)}</span>}
        {time !== undefined && <span className="ml-auto">{exact(time, zone).slice(0, 16)}</span>}
      </figcaption>
    </figure>
  );
}

const MARKERS: Record<Colour, string> = {
  accent: "bg-accent",
  green: "bg-green",
  red: "bg-red",
  amber: "bg-amber",
  blue: "bg-blue",
  violet: "bg-violet",
  gray: "bg-gray",
};

function told(line: Line, at: number, format: (value: number) => string): string {
  const value = (line.told ?? line.values)[at];
  return value === null || value === undefined ? "–" : format(value);
}

function data({ times, lines }: Pick<Props, "times" | "lines">): uPlot.AlignedData {
  return [times.map((time) => time / 1000), ...lines.map((line) => [...line.values])];
}

function colour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

/** How wide the axis of values has to be, in pixels: a letter of its font takes 7 at most. */
function room(labels: readonly string[] | null): number {
  return Math.max(46, ...(labels ?? []).map((label) => 14 + 7 * label.length));
}

function options(
  lines: readonly Line[],
  zone: Zone,
  width: number,
  height: number,
  format: (value: number) => string,
  top: () => number | undefined,
  onCursor: (index: number | null) => void,
): uPlot.Options {
  const axis = {
    stroke: colour("faint"),
    font: "11px Inter, system-ui, sans-serif",
    ticks: { show: false },
    grid: { stroke: colour("line"), width: 1 },
  };
  const bars = lines.some((line) => line.kind === "bars");
  return {
    width,
    height,
    padding: [8, 18, 0, 0],
    cursor: { y: false, points: { size: 6 }, drag: { x: false, y: false } },
    scales: { x: { range: (made, min, max) => (bars ? widened(made, min, max) : [min, max]) }, y: { range: (_, __, max) => [0, top() ?? (max > 0 ? max * 1.1 : 1)] } },
    axes: [
      { ...axis, grid: { show: false }, space: 70, size: 26, values: (_, splits) => tickLabels(splits, zone) },
      { ...axis, size: (_, labels) => room(labels), space: 36, values: (_, splits) => distinct(splits.map((each) => format(each))) },
    ],
    series: [
      {},
      ...lines.map((line): uPlot.Series => {
        const stroke = colour(line.colour);
        const filled = line.kind === "area" || line.kind === "bars";
        return {
          label: line.label,
          stroke,
          width: line.kind === "bars" ? 0 : 1.5,
          ...(filled ? { fill: line.kind === "bars" ? stroke : `color-mix(in srgb, ${stroke} 14%, transparent)` } : {}),
          ...(line.kind === "bars" && uPlot.paths.bars ? { paths: uPlot.paths.bars({ size: [0.7, 40], radius: 0.15 }) } : {}),
          points: { show: false, size: 4, fill: stroke, filter: (made, index) => (line.kind === "bars" ? null : alone(made.data[index] ?? [])) },
        };
      }),
    ],
    legend: { show: false },
    hooks: { setCursor: [(made) => onCursor(made.cursor.idx ?? null)] },
  };
}

/** Counts between 0 and 2 would be told as "0, 1, 1, 2, 2": each label stands there once. */
function distinct(labels: readonly string[]): string[] {
  return labels.map((label, index) => (label === labels[index - 1] ? "" : label));
}

/** Half a bucket more on both sides, where the outer halves of the first and last bars are. */
function widened(made: uPlot, min: number, max: number): [number, number] {
  const [first, second] = made.data[0];
  const half = first !== undefined && second !== undefined ? (second - first) / 2 : 0;
  return [min - half, max + half];
}

function tickLabels(splits: readonly number[], zone: Zone): string[] {
  const step = ((splits[1] ?? 0) - (splits[0] ?? 0)) * 1000;
  return splits.map((each) => {
    const text = exact(each * 1000, zone);
    if (step >= 86_400_000) return text.slice(5, 10);
    return clock(each * 1000, zone, step < 60_000);
  });
}

/** A line of a few points, without axes. `label` says what it shows; `className` gives its size. */
export function Sparkline({ values, colour: name = "accent", label, className }: { values: readonly (number | null)[]; colour?: Colour; label: string; className?: string }) {
  const most = Math.max(1e-9, ...values.map((value) => value ?? 0));
  const step = 100 / Math.max(1, values.length - 1);
  const points = values.map((value, index) => `${(index * step).toFixed(2)},${(29 - ((value ?? 0) / most) * 27).toFixed(2)}`);
  return (
    <svg role="img" aria-label={label} viewBox="0 0 100 30" preserveAspectRatio="none" className={cx("h-5 w-20 shrink-0", className)}>
      <polygon points={`0,30 ${points.join(" ")} 100,30`} fill={`var(--${name})`} opacity="0.13" />
      <polyline points={points.join(" ")} fill="none" stroke={`var(--${name})`} strokeWidth="1.5" strokeLinejoin="round" vectorEffect="non-scaling-stroke" />
    </svg>
  );
}
