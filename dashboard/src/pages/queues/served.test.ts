import { expect, it } from "vitest";
import type { Schemas } from "@/api/client";
import { servedBy, throughput } from "./served";

const worker = (queues: string[], concurrency: number) => ({ queues, concurrency }) as Schemas["WorkerView"];

it("counts the workers of a queue, and what they run at a time", () => {
  const workers = [worker(["default", "mail"], 10), worker(["mail"], 4)];
  expect(servedBy(workers, "mail")).toEqual({ workers: 2, slots: 14 });
  expect(servedBy(workers, "reports")).toEqual({ workers: 0, slots: 0 });
});

it("sums up what ended", () => {
  expect(throughput({ completed: [3, 0], failed: [1, 0], cancelled: [0, 2] }, 1500)).toEqual({ total: 6, failed: 1, perSecond: 2 });
  expect(throughput(undefined, 1500)).toEqual({ total: 0, failed: 0, perSecond: 0 });
});
