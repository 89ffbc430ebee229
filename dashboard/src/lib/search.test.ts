import { expect, it } from "vitest";
import { integer, parseSearch, stringifySearch, text, texts } from "./search";

it("reads back what it writes", () => {
  const search = { status: ["failed", "running"], q: "a&b=c é", tab: "logs" };
  expect(stringifySearch(search)).toBe("?status=failed&status=running&q=a%26b%3Dc+%C3%A9&tab=logs");
  expect(parseSearch(stringifySearch(search))).toEqual(search);
});

it("leaves out what says nothing", () => {
  expect(stringifySearch({ a: undefined, b: "", c: [], d: null, e: false })).toBe("");
});

it("drops what isn't allowed", () => {
  expect(texts(["failed", "wrong", ""], ["failed"])).toEqual(["failed"]);
  expect(texts("failed")).toEqual(["failed"]);
  expect(texts("")).toBeUndefined();
  expect(text(["a", "b"])).toBe("a");
  expect([integer("12"), integer("-1"), integer("1.5"), integer(""), integer("x"), integer("0", 1)]).toEqual([12, undefined, undefined, undefined, undefined, undefined]);
});
