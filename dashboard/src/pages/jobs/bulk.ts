import type { JobStatus, Schemas } from "@/api/client";
import { count, number } from "@/lib/format";

export type Act = Schemas["BulkRequest"]["action"] & ("retry" | "cancel" | "delete");
export type Outcome = Schemas["BulkView"];

/** What is said of each act, and the statuses in which a job allows it. */
export const ACTS: Record<Act, { verb: string; done: string; allowed: readonly JobStatus[]; rule: string }> = {
  retry: { verb: "Retry", done: "queued again", allowed: ["failed", "cancelled"], rule: "Failed and cancelled jobs run again, with fresh attempts and the same arguments. All others are skipped." },
  cancel: { verb: "Cancel", done: "cancelled", allowed: ["blocked", "scheduled", "queued", "running"], rule: "Waiting jobs won't start; running ones are asked to stop. Finished jobs are skipped." },
  delete: { verb: "Delete", done: "deleted", allowed: ["completed", "failed", "cancelled"], rule: "Finished jobs are forgotten with their logs and artifacts. Unfinished ones are skipped. This can't be undone." },
};

/** The most ids that the server takes at once. */
export const MOST_IDS = 1000;

export function inParts(ids: readonly string[]): string[][] {
  return Array.from({ length: Math.ceil(ids.length / MOST_IDS) }, (_, part) => ids.slice(part * MOST_IDS, (part + 1) * MOST_IDS));
}

export function summed(outcomes: readonly Outcome[]): Outcome {
  const sum = { matched: 0, done: 0, requested: 0, skipped: 0, failed: 0 };
  for (const outcome of outcomes) for (const name of Object.keys(sum) as (keyof Outcome)[]) sum[name] += outcome[name];
  return sum;
}

/** Of jobs counted by status, how many allow an act, looking only at the statuses that are filtered by. */
export function allowing(act: Act, counts: Partial<Record<JobStatus, number>>, filtered: readonly JobStatus[] | undefined): number {
  return ACTS[act].allowed.filter((status) => !filtered?.length || filtered.includes(status)).reduce((sum, status) => sum + (counts[status] ?? 0), 0);
}

/** What an act came to, in words. */
export function told(act: Act, { done, requested, skipped, failed }: Outcome): { title: string; detail?: string; tone: "green" | "red" | "blue" } {
  const parts = [
    requested > 0 && `${number(requested)} of them ${requested === 1 ? "is" : "are"} still being stopped.`,
    skipped > 0 && `${number(skipped)} skipped: ${skipped === 1 ? "its status forbids it, or it is" : "their status forbids it, or they are"} gone.`,
    failed > 0 && `${number(failed)} failed: the queue went away. Try again once it is back.`,
  ].filter((part) => part !== false);
  const detail = parts.join(" ");
  return {
    title: done > 0 ? `${count(done, "job")} ${ACTS[act].done}` : `No job was ${ACTS[act].done}`,
    ...(detail ? { detail } : {}),
    tone: failed > 0 ? "red" : done > 0 ? "green" : "blue",
  };
}
