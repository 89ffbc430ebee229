import { describe, expect, it } from "vitest";
import type { Schemas } from "@/api/client";
import { judge, type Known } from "./verdict";

const NOW = Date.UTC(2026, 10, 2, 9);
const ago = (ms: number) => new Date(NOW - ms).toISOString();

function queue(fields: Partial<Schemas["QueueView"]> = {}): Schemas["QueueView"] {
  return { name: "default", paused: false, queued: 0, scheduled: 0, running: 0, blocked: 0, oldest_at: null, ...fields };
}

function worker(fields: Partial<Schemas["WorkerView"]> = {}): Schemas["WorkerView"] {
  return {
    id: "w1", name: "orders", host: "box", pid: 1, version: "0.1.0", queues: ["default"], concurrency: 10, running: 0,
    started_at: ago(3_600_000), seen_at: ago(2_000), ...fields,
  } as Schemas["WorkerView"];
}

function known(fields: Omit<Partial<Known>, "queues" | "workers"> & { queues?: Schemas["QueueView"][]; workers?: Schemas["WorkerView"][]; stale?: boolean } = {}): Known {
  const { queues = [queue()], workers = [worker()], stale = false, ...rest } = fields;
  return { now: NOW, ...rest, queues: { items: queues, stale, at: ago(0) }, workers: { items: workers, stale, at: ago(0), gone: [] } };
}

function ended(failed: number, completed: number): Schemas["EndedView"] {
  const spent = { p50: 1, p95: 2, p99: 3, of: 1 };
  return { total: failed + completed, completed, failed, cancelled: 0, per_second: 1, error_rate: failed / (failed + completed), wait_ms: spent, run_ms: spent };
}

function stats(functions: Record<string, Schemas["EndedView"]>): Schemas["StatsView"] {
  return { after: ago(900_000), before: ago(0), submitted: 1, statuses: {}, overall: ended(1, 1), functions } as Schemas["StatsView"];
}

function told(known: Known): string[] {
  return judge(known).map((each) => `${each.severity}: ${each.text}`);
}

describe("judge", () => {
  it("has nothing to say where all is well, and where nothing is known yet", () => {
    expect(told(known({ queues: [queue({ queued: 3, oldest_at: ago(5_000) })], stats: stats({ charge: ended(0, 9) }) }))).toEqual([]);
    expect(told({ now: NOW })).toEqual([]);
  });

  it("tells of stores that can't be reached", () => {
    const ready: Schemas["ReadyView"] = { status: "unavailable", checks: { database: { status: "ok", address: null, detail: null }, queue: { status: "unavailable", address: null, detail: "refused" } } };
    expect(told(known({ ready, stale: true, workers: [] }))).toEqual(["bad: The queue can't be reached: refused"]);
  });

  it("tells that no worker is there, which is bad once jobs wait", () => {
    expect(told(known({ workers: [] }))).toEqual(["odd: No worker is running"]);
    expect(told(known({ workers: [], queues: [queue({ queued: 1 })] }))).toEqual(["bad: No worker is running, and 1 job waits"]);
  });

  it("tells of queues that nobody serves, that are paused, and in which jobs wait for long", () => {
    const queues = [
      queue({ name: "alone", queued: 2 }),
      queue({ name: "held", queued: 1, paused: true }),
      queue({ name: "default", queued: 9, oldest_at: ago(90_000) }),
      queue({ name: "slow", queued: 9, oldest_at: ago(3_600_000) }),
    ];
    expect(told(known({ queues, workers: [worker({ queues: ["default", "slow"] })] }))).toEqual([
      "bad: No worker serves the queue alone, which has 2 jobs",
      "bad: In the queue slow a job has waited for 1 h",
      "odd: The queue held is paused with 1 job in it",
      "odd: In the queue default a job has waited for 1 m 30 s",
    ]);
  });

  it("tells of workers that have gone silent", () => {
    expect(told(known({ workers: [worker({ seen_at: ago(20_000) })] }))).toEqual(["odd: The worker orders on box hasn't been heard of for 20 s"]);
  });

  it("tells which functions fail, the worst first, and only how many where there are many", () => {
    expect(told(known({ stats: stats({ mail: ended(1, 99), charge: ended(8, 2), fine: ended(0, 5) }) }))).toEqual([
      "bad: charge failed 8 times in the last 15 minutes, 80 % of its jobs",
      "odd: mail failed once in the last 15 minutes, 1 % of its jobs",
    ]);
    const many = Object.fromEntries(["a", "b", "c", "d", "e"].map((name) => [name, ended(1, 9)]));
    expect(told(known({ stats: stats(many) })).at(-1)).toBe("odd: 2 more functions failed in the last 15 minutes");
  });

  it("tells of dead letters that wait", () => {
    const letter = { id: 1, job_id: null, reason: "", body: "", deliveries: 5, at: ago(0), replayed_at: null };
    const items = [letter, { ...letter, replayed_at: ago(0) }];
    expect(told(known({ letters: { items, next_before: null } }))).toEqual(["odd: One event couldn't be applied to the history"]);
  });
});
