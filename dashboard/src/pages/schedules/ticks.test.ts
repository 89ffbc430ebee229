import { expect, it } from "vitest";
import { tickOf } from "./ticks";

it("reads the tick from the id of a schedule's job", () => {
  expect(tickOf("cron:take:stock:0a1b2c3d:1764000000000", "take:stock")).toBe(1_764_000_000_000);
  expect(tickOf("0199f1f0-7c3a-7c1e-8d7e-3a9f1c2b4d5e", "take_stock")).toBeNull();
  expect(tickOf("cron:take_stock:0a1b2c3d:1764000000000", "take")).toBeNull();
});
