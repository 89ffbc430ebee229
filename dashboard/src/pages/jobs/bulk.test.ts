import { expect, it } from "vitest";
import { allowing, inParts, summed, told } from "./bulk";

const NOTHING = { matched: 0, done: 0, requested: 0, skipped: 0, failed: 0 };

it("sends many ids in parts, and adds up what came of them", () => {
  const ids = Array.from({ length: 2001 }, (_, number) => String(number));
  expect(inParts(ids).map((part) => part.length)).toEqual([1000, 1000, 1]);
  expect(inParts([])).toEqual([]);
  expect(summed([{ matched: 2, done: 1, requested: 1, skipped: 1, failed: 0 }, { ...NOTHING, matched: 1, failed: 1 }])).toEqual({ matched: 3, done: 1, requested: 1, skipped: 1, failed: 1 });
});

it("counts those whose status allows it", () => {
  const counts = { failed: 3, cancelled: 2, running: 4, completed: 10 };
  expect([allowing("retry", counts, undefined), allowing("retry", counts, ["failed", "running"]), allowing("cancel", counts, []), allowing("delete", counts, ["running"])]).toEqual([5, 3, 4, 0]);
});

it("tells what it came to", () => {
  expect(told("retry", { ...NOTHING, matched: 3, done: 3 })).toEqual({ title: "3 jobs queued again", tone: "green" });
  expect(told("cancel", { matched: 3, done: 2, requested: 1, skipped: 1, failed: 0 })).toEqual({
    title: "2 jobs cancelled",
    detail: "1 of them is still being stopped. 1 skipped: its status forbids it, or it is gone.",
    tone: "green",
  });
  expect(told("delete", { ...NOTHING, matched: 2, skipped: 2 })).toMatchObject({ title: "No job was deleted", tone: "blue" });
  expect(told("delete", { ...NOTHING, matched: 2, done: 1, failed: 1 }).tone).toBe("red");
});
