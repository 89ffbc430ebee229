import type { Schemas } from "@/api/client";
import { count, duration, percent } from "@/lib/format";

/** `bad`: jobs are failing or standing still. `odd`: worth a look. */
export type Severity = "bad" | "odd";

export interface Finding {
  severity: Severity;
  /** What is the matter, in a sentence without its full stop. */
  text: string;
  /** Where to go about it. */
  link: "ready" | "queues" | "workers" | "dead-letters" | { failedOf: string };
}

export interface Known {
  now: number;
  /** Of the last 15 minutes. */
  stats?: Schemas["StatsView"] | undefined;
  queues?: Schemas["QueuesView"] | undefined;
  workers?: Schemas["WorkersView"] | undefined;
  letters?: Schemas["DeadLettersView"] | undefined;
  ready?: Schemas["ReadyView"] | undefined;
}

/** A job that has waited this long, in milliseconds, is worth a look; ten times that is bad. */
const LONG_WAIT = 60_000;
/** A worker tells of itself every 5 seconds, and loses its jobs after 15. */
const SILENCE = 15_000;
/** Of more failing functions than this only a number is told. */
const MOST_FUNCTIONS = 3;

/** What isn't well, the worst first. */
export function judge(known: Known): Finding[] {
  const found = [...stores(known), ...work(known), ...failures(known), ...letters(known)];
  return [...found.filter((each) => each.severity === "bad"), ...found.filter((each) => each.severity === "odd")];
}

function stores({ ready }: Known): Finding[] {
  const names: Record<string, string> = { queue: "The queue", database: "The history" };
  return Object.entries(ready?.checks ?? {})
    .filter(([, check]) => check.status !== "ok")
    .map(([name, check]) => ({
      severity: "bad",
      text: `${names[name] ?? name} can't be reached${check.detail ? `: ${check.detail}` : ""}`,
      link: "ready",
    }));
}

function work({ queues, workers, now }: Known): Finding[] {
  if (!queues || !workers || queues.stale || workers.stale) return [];
  const waiting = queues.items.reduce((sum, queue) => sum + queue.queued, 0);
  if (workers.items.length === 0) {
    return waiting > 0
      ? [{ severity: "bad", text: `No worker is running, and ${count(waiting, "job")} ${waiting === 1 ? "waits" : "wait"}`, link: "workers" }]
      : [{ severity: "odd", text: "No worker is running", link: "workers" }];
  }
  const served = new Set(workers.items.flatMap((worker) => worker.queues));
  return [
    ...queues.items.flatMap((queue) => ofQueue(queue, served.has(queue.name), now)),
    ...workers.items
      .filter((worker) => now - Date.parse(worker.seen_at) > SILENCE)
      .map((worker): Finding => ({
        severity: "odd",
        text: `The worker ${worker.name} on ${worker.host} hasn't been heard of for ${duration(now - Date.parse(worker.seen_at))}`,
        link: "workers",
      })),
  ];
}

function ofQueue(queue: Schemas["QueueView"], served: boolean, now: number): Finding[] {
  if (queue.queued === 0) return [];
  const jobs = count(queue.queued, "job");
  if (queue.paused) return [{ severity: "odd", text: `The queue ${queue.name} is paused with ${jobs} in it`, link: "queues" }];
  if (!served) return [{ severity: "bad", text: `No worker serves the queue ${queue.name}, which has ${jobs}`, link: "queues" }];
  const waited = queue.oldest_at === null ? 0 : now - Date.parse(queue.oldest_at);
  if (waited <= LONG_WAIT) return [];
  return [{ severity: waited > 10 * LONG_WAIT ? "bad" : "odd", text: `In the queue ${queue.name} a job has waited for ${duration(waited)}`, link: "queues" }];
}

function failures({ stats }: Known): Finding[] {
  const failing = Object.entries(stats?.functions ?? {})
    .filter(([, ended]) => ended.failed > 0)
    .sort(([, one], [, other]) => other.failed - one.failed);
  const told = failing.slice(0, failing.length > MOST_FUNCTIONS + 1 ? MOST_FUNCTIONS : undefined);
  const findings = told.map(([name, ended]): Finding => ({
    severity: ended.failed >= 3 && (ended.error_rate ?? 0) >= 0.5 ? "bad" : "odd",
    text: `${name} failed ${times(ended.failed)} in the last 15 minutes, ${percent(ended.error_rate ?? 1)} of its jobs`,
    link: { failedOf: name },
  }));
  const rest = failing.length - told.length;
  if (rest > 0) findings.push({ severity: "odd", text: `${rest} more functions failed in the last 15 minutes`, link: { failedOf: "" } });
  return findings;
}

function letters({ letters: found }: Known): Finding[] {
  const waiting = (found?.items ?? []).filter((letter) => letter.replayed_at === null).length;
  if (waiting === 0) return [];
  const some = waiting === 1 ? "One event" : `${waiting}${found?.next_before ? " or more" : ""} events`;
  return [{ severity: "odd", text: `${some} couldn't be applied to the history`, link: "dead-letters" }];
}

function times(many: number): string {
  return many === 1 ? "once" : many === 2 ? "twice" : `${many} times`;
}
