import { expect, it } from "vitest";
import { faultOfName, handlersOf, matches } from "./patterns";

it.each([
  ["order.placed", "order.placed", true],
  ["order.placed", "order.paid", false],
  ["order.*", "order.placed", true],
  ["order.*", "order.item.added", false],
  ["order.**", "order.item.added", true],
  ["**", "anything", true],
  ["order.pla*", "order.placed", true],
  ["order.pla*", "order.pla", true],
  ["*.placed", "order.placed", true],
  ["order.*", "order.", false],
])("%s takes %s: %s", (pattern, name, taken) => {
  expect(matches(pattern, name)).toBe(taken);
});

it("names each handler once, however many of its patterns fit", () => {
  const patterns = [{ pattern: "order.*", handlers: ["count", "mail"] }, { pattern: "order.placed", handlers: ["count"] }, { pattern: "user.*", handlers: ["greet"] }];
  expect(handlersOf(patterns, "order.placed")).toEqual(["count", "mail"]);
  expect(handlersOf(patterns, "order")).toEqual([]);
});

it("knows names that can be published", () => {
  expect(faultOfName("order.placed-2_x")).toBeUndefined();
  for (const name of ["", "order.*", "order..placed", ".order", "orders placed", "x".repeat(256)]) expect(faultOfName(name)).toBeTruthy();
});
