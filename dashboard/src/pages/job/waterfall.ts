import type { Schemas } from "@/api/client";

type Attempt = Schemas["AttemptView"];
type Job = Pick<Schemas["JobDetail"], "status" | "submitted_at" | "run_at" | "finished_at" | "generation" | "attempt" | "after">;

/** `held`: by a worker, before its function began. `delay`: not due yet. `blocked`: for other jobs. `wait`: for a worker. `backoff`: until the next attempt. `idle`: ended, until somebody retried it. */
export type SpanKind = "delay" | "blocked" | "wait" | "backoff" | "idle" | "held" | "run";

export interface Span {
  kind: SpanKind;
  from: number;
  until: number;
  /** It goes on, so `until` is now. */
  open: boolean;
}

/** What a row of the waterfall is about: an attempt and what came before it, or what is waited for now. */
export interface Step {
  attempt: Attempt | null;
  spans: Span[];
}

/** Milliseconds. What is held for less has as good as begun at once. */
const LEAST_HELD = 50;

/** What an attempt is called. Who retries a job by hand begins a new run, whose attempts count anew. */
export function nameOf({ attempt, generation }: Pick<Attempt, "attempt" | "generation">): string {
  const name = attempt === 0 ? "Start" : `Attempt ${attempt}`;
  return generation === 1 ? name : `Run ${generation} · ${name.toLowerCase()}`;
}

/** All that a job went through, one step after the other, from its submission until its end or now. */
export function stepsOf(job: Job, attempts: readonly Attempt[], now: number): Step[] {
  const steps: Step[] = [];
  const submitted = Date.parse(job.submitted_at);
  const due = Date.parse(job.run_at);
  // One that waited for others was due when the last of them had completed.
  const first = job.after.length > 0 && job.status !== "scheduled" ? "blocked" : "delay";
  let end = submitted;
  let before: Attempt | null = null;
  for (const attempt of attempts) {
    const claimed = Math.max(end, Date.parse(attempt.claimed_at));
    const began = attempt.started_at === null ? null : Math.max(claimed, Date.parse(attempt.started_at));
    const until = attempt.ended_at === null ? null : Math.max(began ?? claimed, Date.parse(attempt.ended_at));
    const isHeld = began === null || began - claimed >= LEAST_HELD;
    const started = isHeld ? claimed : began;
    // Of the job's due times only the last is known, so only the last wait can be told from its delay.
    // One that was handed back is due anew since then.
    const isCurrent = attempt.generation === job.generation && attempt.attempt === job.attempt && attempt === attempts.at(-1) && due <= claimed;
    const spans = pauses(before, end, started, isCurrent ? due : null, first);
    if (isHeld) spans.push({ kind: "held", from: claimed, until: began ?? until ?? Math.max(claimed, now), open: began === null && until === null });
    if (began !== null) spans.push({ kind: "run", from: began, until: until ?? Math.max(began, now), open: until === null });
    steps.push({ attempt, spans });
    end = until ?? Math.max(began ?? claimed, now);
    before = attempt;
  }
  const isWaiting = job.status === "scheduled" || job.status === "queued" || job.status === "blocked";
  const ended = job.finished_at === null ? null : Date.parse(job.finished_at);
  if (isWaiting) {
    const until = Math.max(end, now);
    const spans = pauses(before, end, until, job.status === "blocked" ? until : due, first).map((span) => ({ ...span, open: span.until >= now }));
    steps.push({ attempt: null, spans });
  } else if (before === null && ended !== null) {
    // Cancelled, or expired, before it began.
    steps.push({ attempt: null, spans: pauses(null, end, Math.max(end, ended), job.after.length > 0 ? ended : due, first) });
  }
  return steps;
}

/** What lies between an end and the next start. */
function pauses(before: Attempt | null, from: number, until: number, due: number | null, untilDue: "delay" | "blocked"): Span[] {
  const span = (kind: SpanKind, start: number, end: number): Span[] => (end > start ? [{ kind, from: start, until: end, open: false }] : []);
  const isOver = before?.outcome === "failed" || before?.outcome === "cancelled" || before?.outcome === "completed";
  const first: SpanKind = before === null ? untilDue : isOver ? "idle" : before.outcome === "retrying" ? "backoff" : "wait";
  if (first === "wait") return span("wait", from, until);
  if (due === null) return span(before === null ? "wait" : first, from, until);
  const border = Math.min(Math.max(from, due), until);
  return [...span(first, from, border), ...span("wait", border, until)];
}

/** Where times stand on the axis, from 0 to 1. */
export interface Axis {
  at: (time: number) => number;
  from: number;
  until: number;
  /** Stretches that take less room than their time, which would leave none for the rest. */
  squeezed: Span[];
}

/** How much room a long pause gets at most, of that of all other spans together. */
const PAUSE_SHARE = 0.3;

/** An axis for these steps on which long pauses are squeezed. */
export function axisOf(steps: readonly Step[]): Axis {
  const spans = steps.flatMap((step) => step.spans).filter((span) => span.until > span.from);
  const from = spans[0]?.from ?? 0;
  const until = spans.at(-1)?.until ?? from;
  const length = (span: Span) => span.until - span.from;
  const busy = spans.filter((span) => span.kind === "run" || span.kind === "wait").reduce((sum, span) => sum + length(span), 0);
  const most = Math.max(1, busy * PAUSE_SHARE);
  const isLong = (span: Span) => busy > 0 && span.kind !== "run" && span.kind !== "wait" && length(span) > most;
  const weights = spans.map((span) => (isLong(span) ? most : length(span)));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const at = (time: number) => {
    let place = 0;
    for (const [index, span] of spans.entries()) {
      const weight = weights[index] ?? 0;
      if (time >= span.until) place += weight;
      else if (time > span.from) place += (weight * (time - span.from)) / length(span);
    }
    return total > 0 ? place / total : 0;
  };
  return { at, from, until, squeezed: spans.filter(isLong) };
}

/** How an attempt ended, in words. `bad` stands out. */
export function outcomeOf(attempt: Attempt): { label: string; tone: "green" | "red" | "amber" | "gray" | "blue"; help?: string } {
  switch (attempt.outcome) {
    case null:
      return attempt.ended_at === null ? { label: "Running", tone: "blue" } : { label: "Ended", tone: "gray" };
    case "completed":
      return { label: "Completed", tone: "green" };
    case "failed":
      return { label: attempt.reason === "timeout" ? "Timed out" : "Failed", tone: "red" };
    case "retrying":
      return { label: attempt.reason === "timeout" ? "Timed out, retried" : "Retried", tone: "amber" };
    case "released":
      return { label: "Handed back", tone: "gray", help: "Its worker stopped before it was done, and gave it back to the queue. This attempt doesn't count." };
    case "rescued":
      return { label: "Lease lost", tone: "amber", help: "Its worker was heard of no more, so the job was rescued: it went back to the queue." };
    case "cancelled":
      return { label: "Cancelled", tone: "gray" };
    default:
      return { label: attempt.outcome, tone: "gray" };
  }
}
