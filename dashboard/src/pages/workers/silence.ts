import type { Schemas } from "@/api/client";

type Worker = Schemas["WorkerView"];

/** A worker tells of itself every 5 seconds, and loses its jobs after 15; in milliseconds. */
export const SILENCE = 15_000;

/** Those that were heard of lately, the busiest first; and those that weren't. */
export function parted(workers: readonly Worker[], now: number): { present: Worker[]; silent: Worker[] } {
  const load = ({ running, concurrency }: Worker) => running / Math.max(1, concurrency);
  const ordered = [...workers].sort((one, other) => load(other) - load(one) || one.name.localeCompare(other.name) || one.id.localeCompare(other.id));
  const isSilent = (worker: Worker) => now - Date.parse(worker.seen_at) > SILENCE;
  return { present: ordered.filter((each) => !isSilent(each)), silent: ordered.filter(isSilent) };
}

/** Whether a worker that has gone fell silent first: one that stops says so, and is gone within moments. */
export function wasLost({ seen_at, gone_at }: Pick<Schemas["GoneWorkerView"], "seen_at" | "gone_at">): boolean {
  return Date.parse(gone_at) - Date.parse(seen_at) > LOST_AFTER;
}

/** A server looks every 15 seconds, and takes a worker for lost after a minute. */
const LOST_AFTER = 45_000;

/** With each word in what is told of them. */
export function matching(workers: readonly Worker[], q: string | undefined): Worker[] {
  const words = (q ?? "").toLowerCase().split(/\s+/).filter(Boolean);
  return workers.filter((worker) => {
    const text = [worker.id, worker.name, worker.host, worker.pid, worker.version, ...worker.queues].join(" ").toLowerCase();
    return words.every((word) => text.includes(word));
  });
}
