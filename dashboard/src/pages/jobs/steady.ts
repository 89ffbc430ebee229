import type { JobStatus, Schemas } from "@/api/client";
import type { Change } from "@/live/rules";

type Job = Schemas["JobSummary"];

/**
 * Rows that stay where they are while the list behind them changes: `shown` keeps its order, each
 * row with what is newest about it. `fresh` are the jobs of the list that aren't shown yet.
 */
export function steady(shown: readonly Job[], latest: readonly Job[], heard: ReadonlyMap<string, Change>): { rows: Job[]; fresh: number } {
  const found = new Map(latest.map((job) => [job.id, job]));
  const rows = shown.map((job) => {
    const newest = found.get(job.id) ?? job;
    const change = heard.get(job.id);
    return change ? told(newest, change) : newest;
  });
  const ids = new Set(shown.map((job) => job.id));
  return { rows, fresh: latest.filter((job) => !ids.has(job.id)).length };
}

/** Whether a row's job was deleted, as far as was heard. */
export function isDeleted(job: Job, heard: ReadonlyMap<string, Change>): boolean {
  return heard.get(job.id)?.kind === "job.deleted";
}

interface News {
  status: JobStatus;
  attempt: number;
  seq: number;
  worker_id: string | null;
  progress: number | null;
  progress_message: string | null;
  reason: string | null;
  /** In milliseconds. */
  started_at: number | null;
}

/** A job with what a change tells of it. Of the two the one further on counts. */
function told(job: Job, change: Change): Job {
  const news = change.data as Partial<News> | null;
  if (!news?.status || news.seq === undefined || news.seq <= job.seq) return job;
  const { status, attempt = job.attempt, seq, worker_id = null, progress = null, progress_message = null, reason = null, started_at = null } = news;
  const isFinished = status === "completed" || status === "failed" || status === "cancelled";
  const begins = status === "running" && (job.status !== "running" || attempt !== job.attempt);
  return {
    ...job,
    status,
    attempt,
    seq,
    worker_id,
    progress,
    progress_message,
    reason,
    error: status === "failed" ? job.error : null,
    cancel_requested: status === "running" && (job.cancel_requested || change.kind === "job.cancel_requested"),
    claimed_at: begins ? change.at : job.claimed_at,
    started_at: started_at === null ? null : new Date(started_at).toISOString(),
    finished_at: isFinished ? (job.finished_at ?? change.at) : null,
  };
}
