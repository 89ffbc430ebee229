import type { ReactNode } from "react";
import type { Schemas } from "@/api/client";
import { Duration, Time } from "@/components/Time";
import { number } from "@/lib/format";
import type { ColumnName } from "./columns";

type Job = Schemas["JobSummary"];

/** What a column shows of a job. */
export function JobCell({ column, job }: { column: ColumnName; job: Job }): ReactNode {
  switch (column) {
    case "arguments":
      return <Line text={argumentsLine(job.args_preview)} mono />;
    case "outcome":
      return <Outcome job={job} />;
    case "queue":
      return <Line text={job.queue} />;
    case "worker":
      return <Line text={job.worker_id ?? ""} />;
    case "key":
      return <Line text={job.key ?? ""} />;
    case "priority":
      return number(job.priority);
    case "attempt":
      return job.attempt === 0 ? <span className="text-faint">–</span> : <span className={job.attempt > 1 ? "text-amber" : ""}>{number(job.attempt)}{job.retries !== null && job.retries > 0 && <span className="text-faint"> of {number(job.retries + 1)}</span>}</span>;
    case "submitted":
      return <Time at={job.submitted_at} />;
    case "due":
      return <Time at={job.run_at} />;
    case "started":
      return <Time at={job.started_at} />;
    case "finished":
      return <Time at={job.finished_at} />;
    case "wait":
      return <Wait job={job} />;
    case "run":
      return job.started_at ? <Duration from={job.started_at} until={job.status === "running" ? null : (job.finished_at ?? job.started_at)} /> : <span className="text-faint">–</span>;
  }
}

/** From when it was due until it was started, or until now. */
function Wait({ job }: { job: Job }) {
  if (job.status === "queued") return <Duration from={job.run_at} />;
  if (job.started_at === null || Date.parse(job.started_at) < Date.parse(job.run_at)) return <span className="text-faint">–</span>;
  return <Duration from={job.run_at} until={job.started_at} />;
}

/** What is worth knowing about how it goes, in one line; where that is nothing, what it was given. */
export function OutcomeOrArguments({ job }: { job: Job }) {
  return Outcome({ job }) ?? <Line text={argumentsLine(job.args_preview)} mono />;
}

/** What is worth knowing about how it goes, in one line. */
function Outcome({ job }: { job: Job }) {
  if (job.status === "running" && job.progress !== null) {
    return (
      <span className="flex min-w-0 items-center gap-2">
        <ProgressBar value={job.progress} className="w-16 shrink-0" />
        <Line text={job.progress_message ?? ""} />
      </span>
    );
  }
  if (job.error) {
    const tone = job.status === "failed" ? "text-red" : "text-amber";
    const text = `${job.error.type}: ${firstLine(job.error.message)}`;
    return <bdi className={`block truncate ${tone}`} title={text.slice(0, 1000)}>{text}</bdi>;
  }
  if (job.status === "scheduled") return <span className="text-muted">due <Time at={job.run_at} /></span>;
  if (job.status === "blocked") return <span className="text-muted">waits for other jobs</span>;
  if (job.reason && job.reason !== "cancelled") return <Line text={job.reason} />;
  return null;
}

export function ProgressBar({ value, className }: { value: number; className?: string }) {
  const percent = Math.round(Math.max(0, Math.min(1, value)) * 100);
  return (
    <span role="progressbar" aria-label="Progress" aria-valuenow={percent} aria-valuemin={0} aria-valuemax={100} className={`block h-1.5 overflow-hidden rounded-full bg-gray-soft ${className ?? ""}`}>
      <span className="block h-full rounded-full bg-blue transition-[width]" style={{ width: `${percent}%` }} />
    </span>
  );
}

function Line({ text, mono = false }: { text: string; mono?: boolean }) {
  return <bdi className={`block truncate text-muted ${mono ? "font-mono text-xs" : ""}`} title={text}>{text}</bdi>;
}

/** Arguments without their braces: `order_id: "o1", cents: 100`. Text that is cut or odd stays as it is. */
export function argumentsLine(preview: string): string {
  if (preview === "{}") return "";
  const inner = preview.startsWith("{") ? preview.slice(1).replace(/\}$/, "") : preview;
  return inner.replace(/(^|[,{])"([A-Za-z_]\w*)":/g, (_, before: string, name: string) => `${before === "," ? ", " : before}${name}: `);
}

function firstLine(text: string): string {
  return text.split("\n", 1)[0] ?? "";
}
