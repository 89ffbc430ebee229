import { expect, it } from "vitest";
import { topOf } from "./outliers";

const usual = Array.from({ length: 60 }, (_, index) => 100 + index);

it("ends the axis above what is usual where a few values would flatten it", () => {
  const top = topOf([...usual, null, 3_600_000]);
  expect(top).toBeGreaterThan(159);
  expect(top).toBeLessThan(1000);
});

it("leaves all else to the chart", () => {
  expect(topOf(usual)).toBeUndefined();
  expect(topOf([...usual, 500])).toBeUndefined();
  expect(topOf([])).toBeUndefined();
  // Of few values none is usual.
  expect(topOf([1, 2, 3_600_000])).toBeUndefined();
  expect(topOf([...usual.map(() => 0), 3_600_000])).toBeUndefined();
});
