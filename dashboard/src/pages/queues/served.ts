import type { Schemas } from "@/api/client";

/** Who serves a queue, and how many jobs they run at a time, of this queue and others. */
export interface Served {
  workers: number;
  slots: number;
}

export function servedBy(workers: readonly Schemas["WorkerView"][], queue: string): Served {
  const those = workers.filter((worker) => worker.queues.includes(queue));
  return { workers: those.length, slots: those.reduce((sum, each) => sum + each.concurrency, 0) };
}

/** What ended in the span, and how much of that in a second. */
export function throughput(series: Schemas["SeriesView"] | undefined, bucketMs: number): { total: number; failed: number; perSecond: number } {
  const sum = (counts: readonly number[] | undefined) => (counts ?? []).reduce((total, each) => total + each, 0);
  const failed = sum(series?.failed);
  const total = sum(series?.completed) + failed + sum(series?.cancelled);
  const ms = (series?.completed.length ?? 0) * bucketMs;
  return { total, failed, perSecond: ms > 0 ? (total * 1000) / ms : 0 };
}
