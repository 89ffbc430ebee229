import { useEffect, useMemo, useRef, useState, type KeyboardEvent, type Ref } from "react";
import { Link } from "@tanstack/react-router";
import type { Schemas } from "@/api/client";
import { STATUSES, STATUS_NAMES, StatusIcon, TEXTS, type Tone } from "@/components/Badge";
import { Panel } from "@/components/Panel";
import { Duration } from "@/components/Time";
import { cx } from "@/lib/cx";
import { number } from "@/lib/format";
import { BOX, drawingOf, layoutOf, pathOf, stepFrom, type Box, type Layout } from "./drawing";

const EDGES: Record<Tone, string> = { gray: "border-l-gray", green: "border-l-green", red: "border-l-red", amber: "border-l-amber", blue: "border-l-blue", violet: "border-l-violet" };
const LOOK = "flex size-full items-center gap-2 rounded-md border border-l-[3px] border-line bg-surface px-2.5 text-left hover:bg-hover";
const MOST_NAMED = 5;

/** The jobs that a job hangs together with, as a drawing whose boxes lead to them. */
export default function Graph({ jobId, graph }: { jobId: string; graph: Schemas["GraphView"] }) {
  const [unfolded, setUnfolded] = useState<ReadonlySet<string>>(new Set());
  const [at, setAt] = useState(jobId);
  const drawing = useMemo(() => drawingOf(graph, jobId, unfolded), [graph, jobId, unfolded]);
  // Statuses change all the time, places only with what there is.
  const shape = JSON.stringify([drawing.boxes.map((box) => box.key), drawing.lines]);
  // eslint-disable-next-line react-hooks/exhaustive-deps
  const layout = useMemo(() => layoutOf(drawing), [shape]);
  const boxes = useRef(new Map<string, HTMLElement>());
  const frame = useRef<HTMLDivElement>(null);
  useEffect(() => show(frame.current, boxes.current.get(jobId)), [jobId]);

  const walk = (event: KeyboardEvent) => {
    const next = stepFrom(at, event.key, layout);
    if (next === undefined) return;
    event.preventDefault();
    boxes.current.get(next)?.focus();
  };
  const unfold = (key: string, first: string) => {
    setUnfolded(new Set([...unfolded, key]));
    setAt(first);
    requestAnimationFrame(() => boxes.current.get(first)?.focus());
  };
  return (
    <Panel
      title="Graph"
      actions={unfolded.size > 0 && <button type="button" onClick={() => { setUnfolded(new Set()); setAt(jobId); }} className="rounded text-sm text-accent hover:underline">Fold again</button>}
    >
      <Summary graph={graph} />
      <div ref={frame} className="scroll-hint -mx-4 max-h-96 overflow-auto px-4 py-2" onKeyDown={walk}>
        <div className="relative" style={{ width: layout.width, height: layout.height }}>
          <Lines layout={layout} />
          <ol aria-label="Jobs of the graph; arrow keys lead from one to the next">
            {drawing.boxes.map((box) => (
              <Placed key={box.key} box={box} layout={layout} drawing={drawing} onFocus={() => setAt(box.key)}>
                <Drawn
                  box={box}
                  isOwn={box.key === jobId}
                  tabIndex={box.key === at ? 0 : -1}
                  refer={(element) => void (element ? boxes.current.set(box.key, element) : boxes.current.delete(box.key))}
                  onUnfold={() => unfold(box.key, box.jobs[0].id)}
                />
              </Placed>
            ))}
          </ol>
        </div>
      </div>
      <Legend drawing={drawing} truncated={graph.truncated} many={graph.nodes.length} />
    </Panel>
  );
}

/** Scroll the drawing, and nothing else, so that a box is in its middle. */
function show(frame: HTMLElement | null, box: HTMLElement | undefined): void {
  const place = box?.parentElement;
  if (!frame || !place) return;
  frame.scrollTo({ left: place.offsetLeft + BOX.width / 2 - frame.clientWidth / 2, top: place.offsetTop + BOX.height / 2 - frame.clientHeight / 2 });
}

function Summary({ graph }: { graph: Schemas["GraphView"] }) {
  return (
    <p className="mb-1 text-sm text-muted">
      {number(graph.nodes.length)}{graph.truncated && "+"} jobs: {countsOf(graph.nodes).map(([name, many]) => `${number(many)} ${STATUSES[name].label.toLowerCase()}`).join(", ")}
    </p>
  );
}

function countsOf(nodes: readonly Schemas["GraphNode"][]) {
  return STATUS_NAMES.map((name) => [name, nodes.filter((node) => node.status === name).length] as const).filter(([, many]) => many > 0);
}

function Lines({ layout }: { layout: Layout }) {
  return (
    <svg aria-hidden width={layout.width} height={layout.height} className="pointer-events-none absolute inset-0 overflow-visible fill-none stroke-line-strong">
      {layout.paths.map(({ line, points }) => (
        <g key={`${line.source}\n${line.target}`}>
          <path d={pathOf(points)} strokeWidth={1.25} strokeDasharray={line.kind === "child" ? "3 4" : undefined} />
          <Tip {...points.at(-1)} />
        </g>
      ))}
    </svg>
  );
}

function Tip({ x = 0, y = 0 }: { x?: number; y?: number }) {
  return <path d={`M${x - 6} ${y - 4}L${x} ${y}L${x - 6} ${y + 4}`} strokeWidth={1.25} />;
}

function Placed({ box, layout, drawing, onFocus, children }: { box: Box; layout: Layout; drawing: ReturnType<typeof drawingOf>; onFocus: () => void; children: React.ReactNode }) {
  const { x, y } = layout.places.get(box.key) ?? { x: 0, y: 0 };
  const awaited = drawing.lines.filter((line) => line.target === box.key && line.kind === "after").map((line) => line.source);
  const names = awaited.slice(0, MOST_NAMED).map((key) => drawing.boxes.find((each) => each.key === key)?.jobs[0].function);
  const more = awaited.length - names.length;
  return (
    <li className="absolute" style={{ left: x, top: y, width: BOX.width, height: BOX.height }} onFocus={onFocus}>
      {children}
      {names.length > 0 && <span className="sr-only">, after {names.join(", ")}{more > 0 && ` and ${more} more`}</span>}
    </li>
  );
}

function Drawn({ box, isOwn, tabIndex, refer, onUnfold }: { box: Box; isOwn: boolean; tabIndex: number; refer: Ref<HTMLElement>; onUnfold: () => void }) {
  const [job] = box.jobs;
  if (box.jobs.length > 1) {
    return (
      <button ref={refer as Ref<HTMLButtonElement>} type="button" tabIndex={tabIndex} aria-expanded={false} title="Show each of them" onClick={onUnfold} className={cx(LOOK, "border-l-line-strong shadow-[3px_3px_0_var(--surface),3px_3px_0_1px_var(--line)]")}>
        <span className="min-w-0 flex-1">
          <span className="flex gap-1 font-medium"><bdi className="min-w-0 truncate">{job.function}</bdi><span className="shrink-0">× {number(box.jobs.length)}</span></span>
          <span className="flex gap-2 text-xs text-muted">
            {countsOf(box.jobs).map(([name, many]) => {
              const { icon: Icon, label, tone } = STATUSES[name];
              return <span key={name} title={label} className="flex items-center gap-0.5"><Icon className={cx("size-3", TEXTS[tone])} aria-hidden /><span className="sr-only">{label}</span>{number(many)}</span>;
            })}
          </span>
        </span>
      </button>
    );
  }
  return (
    <Link ref={refer as Ref<HTMLAnchorElement>} to="/jobs/$id" params={{ id: job.id }} title={job.id} tabIndex={tabIndex} className={cx(LOOK, EDGES[STATUSES[job.status].tone], isOwn && "border-accent bg-selected hover:bg-selected")}>
      <StatusIcon status={job.status} />
      <span className="min-w-0 flex-1">
        <bdi className="block truncate font-medium">{job.function}</bdi>
        <span className="block truncate text-xs text-muted">
          {job.started_at && (job.finished_at || job.status === "running") ? <Duration from={job.started_at} until={job.finished_at} /> : <span aria-hidden>{STATUSES[job.status].label}</span>}
        </span>
      </span>
    </Link>
  );
}

function Legend({ drawing, truncated, many }: { drawing: ReturnType<typeof drawingOf>; truncated: boolean; many: number }) {
  const kinds = new Set(drawing.lines.map((line) => line.kind));
  return (
    <div className="mt-2 flex flex-wrap gap-x-4 gap-y-1 text-xs text-muted">
      {kinds.has("after") && <Key words="is waited for by" />}
      {kinds.has("child") && <Key words="has submitted" isDashed />}
      {truncated && <span>There are more: the {number(many)} nearest are shown.</span>}
    </div>
  );
}

function Key({ words, isDashed = false }: { words: string; isDashed?: boolean }) {
  return (
    <span className="flex items-center gap-1.5">
      <svg aria-hidden width="22" height="8" className="fill-none stroke-line-strong">
        <path d="M0 4H21" strokeWidth={1.25} strokeDasharray={isDashed ? "3 4" : undefined} />
        <Tip x={21} y={4} />
      </svg>
      {words}
    </span>
  );
}
