import { useEffect, useRef } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { theme, useZone } from "@/app/settings";
import { clock, compact, exact, type Zone } from "@/lib/format";
import { useStore } from "@/lib/store";
import { cx } from "@/lib/cx";

export type Colour = "accent" | "green" | "red" | "amber" | "blue" | "violet" | "gray";

export interface Line {
  label: string;
  colour: Colour;
  /** One for each time; null where there is none. */
  values: readonly (number | null)[];
  kind?: "line" | "area" | "bars";
}

interface Props {
  /** What it shows, for those who can't see it. */
  label: string;
  /** Milliseconds since the epoch, rising. */
  times: readonly number[];
  lines: readonly Line[];
  format?: (value: number) => string;
  height?: number;
  className?: string;
}

/** Lines over time. Its legend shows the values under the cursor. */
export function Chart({ label, times, lines, format = compact, height = 160, className }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const zone = useZone();
  const chosenTheme = useStore(theme);
  const shape = JSON.stringify([lines.map(({ label: name, colour, kind }) => [name, colour, kind]), zone, height, chosenTheme]);
  const latest = useRef({ times, lines, format });
  latest.current = { times, lines, format };
  const plot = useRef<uPlot | null>(null);

  useEffect(() => {
    const element = box.current;
    if (!element) return;
    let made: uPlot | null = null;
    const draw = () => {
      made?.destroy();
      const width = Math.max(element.clientWidth, 100);
      made = new uPlot(options(latest.current.lines, zone, width, height, (value) => latest.current.format(value)), data(latest.current), element);
      plot.current = made;
    };
    draw();
    const themes = new MutationObserver(draw);
    themes.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    const sizes = new ResizeObserver(() => made?.setSize({ width: Math.max(element.clientWidth, 100), height }));
    sizes.observe(element);
    return () => {
      themes.disconnect();
      sizes.disconnect();
      made?.destroy();
      plot.current = null;
    };
    // `shape` stands for all of the lines that isn't data.
  }, [shape]);

  useEffect(() => {
    plot.current?.setData(data({ times, lines }));
  }, [times, lines]);

  // The legend comes below: room is kept for it, so that nothing moves once it is there.
  return <div ref={box} role="img" aria-label={label} className={cx("w-full overflow-hidden", className)} style={{ minHeight: height + 26 }} />;
}

function data({ times, lines }: Pick<Props, "times" | "lines">): uPlot.AlignedData {
  return [times.map((time) => time / 1000), ...lines.map((line) => [...line.values])];
}

function colour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

function options(lines: readonly Line[], zone: Zone, width: number, height: number, format: (value: number) => string): uPlot.Options {
  const axis = {
    stroke: colour("faint"),
    font: "11px Inter, system-ui, sans-serif",
    ticks: { show: false },
    grid: { stroke: colour("line"), width: 1 },
  };
  return {
    width,
    height,
    padding: [8, 8, 0, 0],
    cursor: { y: false, points: { size: 6 }, drag: { x: false, y: false } },
    scales: { y: { range: (_, __, max) => [0, max > 0 ? max * 1.1 : 1] } },
    axes: [
      { ...axis, grid: { show: false }, space: 70, values: (_, splits) => tickLabels(splits, zone) },
      { ...axis, size: 52, space: 36, values: (_, splits) => splits.map((each) => format(each)) },
    ],
    series: [
      { value: (_, value) => (value === null ? "" : exact(value * 1000, zone).replace(/\.000/, "")) },
      ...lines.map((line): uPlot.Series => {
        const stroke = colour(line.colour);
        const filled = line.kind === "area" || line.kind === "bars";
        return {
          label: line.label,
          stroke,
          width: line.kind === "bars" ? 0 : 1.5,
          ...(filled ? { fill: line.kind === "bars" ? stroke : `color-mix(in srgb, ${stroke} 14%, transparent)` } : {}),
          ...(line.kind === "bars" && uPlot.paths.bars ? { paths: uPlot.paths.bars({ size: [0.7, 40], radius: 0.15 }) } : {}),
          points: { show: false },
          value: (_, value) => (value === null ? "–" : format(value)),
        };
      }),
    ],
    legend: { live: true },
  };
}

function tickLabels(splits: readonly number[], zone: Zone): string[] {
  const step = ((splits[1] ?? 0) - (splits[0] ?? 0)) * 1000;
  return splits.map((each) => {
    const text = exact(each * 1000, zone);
    if (step >= 86_400_000) return text.slice(5, 10);
    return clock(each * 1000, zone, step < 60_000);
  });
}

/** A line of a few points, the size of a word. `label` says what it shows. */
export function Sparkline({ values, colour: name = "accent", label, width = 80, height = 20, className }: { values: readonly (number | null)[]; colour?: Colour; label: string; width?: number; height?: number; className?: string }) {
  const most = Math.max(1e-9, ...values.map((value) => value ?? 0));
  const step = width / Math.max(1, values.length - 1);
  const points = values.map((value, index) => `${(index * step).toFixed(1)},${(height - 1.5 - ((value ?? 0) / most) * (height - 3)).toFixed(1)}`);
  return (
    <svg role="img" aria-label={label} width={width} height={height} viewBox={`0 0 ${width} ${height}`} className={cx("shrink-0 overflow-visible", className)}>
      <polygon points={`0,${height} ${points.join(" ")} ${width},${height}`} fill={`var(--${name})`} opacity="0.12" />
      <polyline points={points.join(" ")} fill="none" stroke={`var(--${name})`} strokeWidth="1.5" strokeLinejoin="round" />
    </svg>
  );
}
