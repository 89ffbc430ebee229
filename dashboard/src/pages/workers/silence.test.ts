import { expect, it } from "vitest";
import type { Schemas } from "@/api/client";
import { matching, parted, wasLost } from "./silence";

const NOW = Date.parse("2026-11-02T09:00:00Z");
const worker = (name: string, fields: Partial<Schemas["WorkerView"]> = {}) =>
  ({ id: `${name}-1`, name, host: "box", pid: 7, version: "1", queues: ["default"], running: 0, concurrency: 10, seen_at: new Date(NOW - 1000).toISOString(), ...fields }) as Schemas["WorkerView"];
const names = (workers: readonly Schemas["WorkerView"][]) => workers.map(({ name }) => name);

it("has the busiest first, and those that have gone silent apart", () => {
  const { present, silent } = parted([worker("b"), worker("a"), worker("busy", { running: 9 }), worker("gone", { seen_at: new Date(NOW - 16_000).toISOString() })], NOW);
  expect(names(present)).toEqual(["busy", "a", "b"]);
  expect(names(silent)).toEqual(["gone"]);
});

it("finds workers by whatever is told of them", () => {
  const workers = [worker("mails", { queues: ["mail"] }), worker("orders", { host: "cellar" })];
  expect(names(matching(workers, "CELLAR orders"))).toEqual(["orders"]);
  expect(names(matching(workers, "mail"))).toEqual(["mails"]);
  expect(names(matching(workers, undefined))).toHaveLength(2);
});

it("tells workers that stopped from those that were lost", () => {
  const seen_at = new Date(NOW).toISOString();
  expect(wasLost({ seen_at, gone_at: new Date(NOW + 20_000).toISOString() })).toBe(false);
  expect(wasLost({ seen_at, gone_at: new Date(NOW + 61_000).toISOString() })).toBe(true);
});
