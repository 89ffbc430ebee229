import { expect, it } from "vitest";
import type { Schemas } from "@/api/client";
import { isRegistered, matching, rowsOf, sorted } from "./rows";

const info = (name: string, fields: Partial<Schemas["FunctionView"]> = {}) => ({ name, queue: "default", signature: `${name}()`, doc: "", event: null, ...fields }) as Schemas["FunctionView"];
const ended = (total: number, p95: number | null = null) => ({ total, failed: 0, wait_ms: { p95 }, run_ms: { p95 } }) as Schemas["EndedView"];
const stats = (functions: Record<string, Schemas["EndedView"]>) => ({ functions }) as Schemas["StatsView"];

const rows = rowsOf([info("charge", { queue: "payments", doc: "Take the money" }), info("mail"), info("tidy")], stats({ charge: ended(5, 20), old: ended(9, 10), mail: ended(9) }));
const names = (of: readonly { name: string }[]) => of.map(({ name }) => name);

it("has functions of workers, and those that ran and are gone", () => {
  expect(rows.map(({ name, info: known, ended: done }) => [name, known !== undefined, done?.total])).toEqual([
    ["charge", true, 5],
    ["mail", true, 9],
    ["tidy", true, undefined],
    ["old", false, 9],
  ]);
});

it("tells a function of a worker from one that is only paused", () => {
  expect([info("held", { worker: "w" }), info("held", { worker: "" }), undefined].map(isRegistered)).toEqual([true, false, false]);
});

it("finds each word anywhere, and those of a queue", () => {
  expect(names(matching(rows, "MONEY take", undefined))).toEqual(["charge"]);
  expect(names(matching(rows, undefined, "default"))).toEqual(["mail", "tidy"]);
  expect(names(matching(rows, "nothing", undefined))).toEqual([]);
});

it("sorts by what was chosen, and keeps those without a value last", () => {
  expect(names(sorted(rows, "name"))).toEqual(["charge", "mail", "old", "tidy"]);
  expect(names(sorted(rows, "-total"))).toEqual(["mail", "old", "charge", "tidy"]);
  expect(names(sorted(rows, "run"))).toEqual(["old", "charge", "mail", "tidy"]);
  expect(names(sorted(rows, "-run"))).toEqual(["charge", "old", "mail", "tidy"]);
});
