import { expect, it } from "vitest";
import { stacked } from "./stacked";

it("draws each kind of answer above those that went better, and tells how many it was", () => {
  const lines = stacked([
    { requests: 10, statuses: { "2xx": 6, "3xx": 1, "4xx": 2, "5xx": 1 } },
    { requests: 0, statuses: {} },
  ]);
  expect(lines.map(({ label, values, told }) => [label, values, told])).toEqual([
    ["5xx", [10, 0], [1, 0]],
    ["4xx", [9, 0], [2, 0]],
    ["served", [7, 0], undefined],
  ]);
});
