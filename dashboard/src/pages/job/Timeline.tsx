import { useState } from "react";
import { ChevronRight } from "lucide-react";
import type { Schemas } from "@/api/client";
import { Badge } from "@/components/Badge";
import { Panel } from "@/components/Panel";
import { Duration, Time } from "@/components/Time";
import { useTicking } from "@/lib/clock";
import { cx } from "@/lib/cx";
import { count, duration } from "@/lib/format";
import { Failure } from "./Failure";
import { axisOf, nameOf, outcomeOf, stepsOf, type Axis, type Span, type SpanKind, type Step } from "./waterfall";

const MOST = 8;
const LOOKS: Record<SpanKind, { label: string; bar: string }> = {
  delay: { label: "Not due yet", bar: "bg-violet/35" },
  blocked: { label: "Waiting for other jobs", bar: "bg-gray/35" },
  wait: { label: "Waiting for a worker", bar: "bg-amber/60" },
  backoff: { label: "Waiting to be retried", bar: "bg-violet/35" },
  idle: { label: "Ended, until it was retried", bar: "bg-line" },
  held: { label: "Held, not begun", bar: "bg-blue/35" },
  run: { label: "Running", bar: "bg-blue" },
};
const RUN_BARS = { green: "bg-green", red: "bg-red", amber: "bg-amber", gray: "bg-gray", blue: "bg-blue" };

/** What a job went through, as bars on one axis of time. */
export function Timeline({ job, attempts }: { job: Schemas["JobDetail"]; attempts: readonly Schemas["AttemptView"][] }) {
  const [whole, setWhole] = useState(false);
  const isGoingOn = job.finished_at === null;
  const now = useTicking((time) => (isGoingOn ? Math.floor(time / 1000) * 1000 : 0));
  const steps = stepsOf(job, attempts, now);
  const axis = axisOf(steps);
  const hidden = whole ? 0 : Math.max(0, steps.length - MOST);
  const kinds = [...new Set(steps.flatMap((step) => step.spans.map((span) => span.kind)))].filter((kind) => kind !== "run");
  return (
    <Panel title="Timeline" actions={<span className="text-sm text-muted">{axis.until > axis.from && <>{duration(axis.until - axis.from)} in all</>}</span>}>
      {steps.length === 0 && <p className="text-muted">It hasn't been started yet.</p>}
      {hidden > 0 && (
        <button type="button" onClick={() => setWhole(true)} className="mb-2 rounded text-sm text-accent hover:underline">
          Show {count(hidden, "earlier attempt")}
        </button>
      )}
      <ol className="flex flex-col">
        {steps.slice(hidden).map((step, index) => <Row key={step.attempt?.number ?? "next"} step={step} axis={axis} isLast={index === steps.length - hidden - 1} job={job} />)}
      </ol>
      {kinds.length > 0 && (
        <ul aria-label="Colours" className="mt-3 flex flex-wrap gap-x-4 gap-y-1 text-xs text-muted">
          {kinds.map((kind) => (
            <li key={kind} className="flex items-center gap-1.5">
              <span className={cx("h-2 w-4 rounded-sm", LOOKS[kind].bar)} aria-hidden />
              {LOOKS[kind].label}
            </li>
          ))}
          {axis.squeezed.length > 0 && <li>Long pauses are drawn shorter than they were.</li>}
        </ul>
      )}
    </Panel>
  );
}

function Row({ step, axis, isLast, job }: { step: Step; axis: Axis; isLast: boolean; job: Schemas["JobDetail"] }) {
  const { attempt, spans } = step;
  const [open, setOpen] = useState(false);
  const outcome = attempt ? outcomeOf(attempt) : null;
  // The job's own error is shown in full above.
  const error = attempt?.error && !(isLast && job.error) ? attempt.error : null;
  const run = spans.find((span) => span.kind === "run");
  return (
    <li className="border-b border-line py-2 first:pt-0 last:border-0 last:pb-0">
      <div className="grid grid-cols-[1fr_auto] items-center gap-x-3 gap-y-1.5 sm:grid-cols-[11rem_minmax(0,1fr)_4.5rem]">
        <div className="flex min-w-0 items-center gap-2">
          {attempt ? (
            <>
              <span className="font-medium whitespace-nowrap">{nameOf(attempt)}</span>
              {outcome && outcome.label !== "Completed" && <Badge tone={outcome.tone}>{outcome.label}</Badge>}
            </>
          ) : (
            <span className="font-medium">{job.finished_at ? "Never started" : "Next"}</span>
          )}
        </div>
        <Bars spans={spans} axis={axis} tone={outcome?.tone ?? "gray"} label={attempt ? nameOf(attempt) : "Next"} />
        <span className="text-right text-sm max-sm:row-start-1 max-sm:col-start-2">
          {run ? <Duration from={run.from} until={run.open ? null : run.until} /> : <Duration from={spans.at(-1)?.from} until={spans.at(-1)?.open ? null : spans.at(-1)?.until} />}
        </span>
      </div>
      <div className="mt-0.5 flex flex-wrap items-center gap-x-3 text-sm text-muted">
        {attempt ? <Time at={attempt.started_at ?? attempt.claimed_at} /> : job.status === "scheduled" ? <span>due <Time at={job.run_at} /></span> : null}
        {spans.filter((span) => span.kind !== "run" && (attempt !== null || spans.length > 1)).map((span) => (
          <span key={span.kind}>{LOOKS[span.kind].label.toLowerCase()} {span.open ? <Duration from={span.from} /> : <Duration ms={span.until - span.from} />}</span>
        ))}
        {attempt?.worker_id && <bdi className="min-w-0 truncate" title={attempt.worker_id}>on {attempt.worker_id}</bdi>}
        {attempt?.reason && !error && attempt.reason !== "error" && attempt.reason !== "timeout" && <bdi className="min-w-0 break-words">{attempt.reason}</bdi>}
        {error && (
          <button type="button" aria-expanded={open} onClick={() => setOpen(!open)} className="flex min-w-0 max-w-full items-center gap-1 rounded text-left text-red hover:underline">
            <ChevronRight className={cx("size-3.5 shrink-0 transition-transform", open && "rotate-90")} aria-hidden />
            <bdi className="truncate" title={error.qualified_name ?? undefined}>{error.type}: {error.message.split("\n", 1)[0]}</bdi>
          </button>
        )}
      </div>
      {outcome?.help && <p className="mt-0.5 text-sm text-amber">{outcome.help}</p>}
      {open && error && <div className="mt-2"><Failure error={error} reason={attempt?.reason ?? null} /></div>}
    </li>
  );
}

function Bars({ spans, axis, tone, label }: { spans: readonly Span[]; axis: Axis; tone: keyof typeof RUN_BARS; label: string }) {
  const said = spans.map((span) => `${LOOKS[span.kind].label.toLowerCase()} ${duration(span.until - span.from)}`).join(", ");
  return (
    <div role="img" aria-label={`${label}: ${said || "no time"}`} className="relative h-4 rounded bg-canvas max-sm:col-span-2">
      {spans.map((span) => {
        const start = axis.at(span.from);
        const width = axis.at(span.until) - start;
        return (
          <span
            key={span.kind}
            title={`${LOOKS[span.kind].label}: ${duration(span.until - span.from)}`}
            className={cx(
              "absolute inset-y-0 min-w-[3px] rounded-sm",
              span.kind === "run" ? RUN_BARS[tone] : LOOKS[span.kind].bar,
              span.kind !== "run" && "inset-y-1",
              span.open && span.kind === "run" && "animate-pulse",
            )}
            style={{ left: `min(${(start * 100).toFixed(3)}%, calc(100% - 3px))`, width: `${(width * 100).toFixed(3)}%` }}
          />
        );
      })}
    </div>
  );
}
