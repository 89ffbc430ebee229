import { expect, it } from "vitest";
import { alone } from "./gaps";

it("finds values that no line goes through", () => {
  expect(alone([1, null, 2, 3, null, undefined, 0])).toEqual([0, 6]);
  expect(alone([])).toEqual([]);
});
