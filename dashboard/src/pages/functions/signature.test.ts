import { expect, it } from "vitest";
import { parseSignature } from "./signature";

it("reads names, annotations and defaults", () => {
  expect(parseSignature("charge(order_id: str, cents: int = 100) -> str")).toEqual([
    { name: "order_id", kind: "plain", annotation: "str", preset: undefined },
    { name: "cents", kind: "plain", annotation: "int", preset: "100" },
  ]);
  expect(parseSignature("tidy()")).toEqual([]);
  expect(parseSignature("anything(value)")).toEqual([{ name: "value", kind: "plain", annotation: "", preset: undefined }]);
});

it("tells how each may be given", () => {
  const kinds = parseSignature("f(a, /, b, *rest: int, c: int, d=1, **extra: Any)")?.map(({ name, kind }) => [name, kind]);
  expect(kinds).toEqual([["a", "position"], ["b", "plain"], ["rest", "rest"], ["c", "keyword"], ["d", "keyword"], ["extra", "extra"]]);
  expect(parseSignature("f(a, *, b)")?.map(({ kind }) => kind)).toEqual(["plain", "keyword"]);
});

it("isn't misled by commas, colons and equals signs within brackets and texts", () => {
  const found = parseSignature("f(a: dict[str, list[int]] = {'x': [1, 2]}, b: Literal['a, b', \"c=\"] = 'a, b', c: str = 'it\\'s (')");
  expect(found?.map(({ annotation, preset }) => [annotation, preset])).toEqual([
    ["dict[str, list[int]]", "{'x': [1, 2]}"],
    ["Literal['a, b', \"c=\"]", "'a, b'"],
    ["str", "'it\\'s ('"],
  ]);
});

it("takes defaults that aren't expressions", () => {
  const found = parseSignature("f(order: Order, speed: Speed = <Speed.STANDARD: 'standard, cheap'>, n: int = 1) -> dict[str, Any]");
  expect(found?.map(({ preset }) => preset)).toEqual([undefined, "<Speed.STANDARD: 'standard, cheap'>", "1"]);
});

it("gives up on what isn't a signature", () => {
  expect(parseSignature("f")).toBeNull();
  expect(parseSignature("f(a")).toBeNull();
  expect(parseSignature("f(1a: int)")).toBeNull();
});
