import { expect, it } from "vitest";
import type { Schemas } from "@/api/client";
import { BOX, drawingOf, layoutOf, pathOf, stepFrom, type Layout } from "./drawing";

const nodes = (...names: string[]) => names.map((name) => ({ id: name, function: name.replace(/\d+$/, "") }) as Schemas["GraphNode"]);
const edges = (...pairs: string[]) => pairs.map((pair): Schemas["GraphEdge"] => {
  const [source = "", target = ""] = pair.split(/[>/]/);
  return { source, target, kind: pair.includes("/") ? "child" : "after" };
});
const drawn = (graph: Pick<Schemas["GraphView"], "nodes" | "edges">, own = "", ...unfolded: string[]) => drawingOf(graph, own, new Set(unfolded));
const laid = (names: string[], pairs: string[]) => layoutOf(drawn({ nodes: nodes(...names), edges: edges(...pairs) }));
const columns = (layout: Layout) => Object.fromEntries([...layout.places].map(([key, { column }]) => [key, column]));
const y = (layout: Layout, key: string) => layout.places.get(key)?.y ?? NaN;

it("puts each box right of all that lead to it", () => {
  expect(columns(laid([..."abcd"], ["a>b", "a>c", "b>d", "c>d", "a>d"]))).toEqual({ a: 0, b: 1, c: 1, d: 2 });
  expect(columns(laid([..."abcx"], ["a>b", "b>c", "x>c"]))).toEqual({ a: 0, b: 1, c: 2, x: 1 });
});

it("lets nothing overlap", () => {
  const names = Array.from({ length: 90 }, (_, number) => `j${String(number).padStart(2, "0")}`);
  const pairs = names.flatMap((name, number) => [3, 7, 20].filter((step) => number + step < 90).map((step) => `${name}>${names[number + step]}`));
  const layout = laid(names, pairs);
  const byColumn = new Map<number, number[]>();
  for (const place of layout.places.values()) byColumn.set(place.column, [...(byColumn.get(place.column) ?? []), place.y]);
  for (const found of byColumn.values()) {
    found.sort((one, other) => one - other);
    found.slice(1).forEach((each, index) => expect(each - (found[index] ?? 0)).toBeGreaterThanOrEqual(BOX.height));
  }
  expect(Math.min(...[...layout.places.values()].map((place) => place.y))).toBe(0);
});

it("sorts columns so that lines needn't cross", () => {
  const layout = laid([..."abcdef"], ["a>f", "b>e", "c>d"]);
  expect([y(layout, "a") - y(layout, "b"), y(layout, "f") - y(layout, "e")].map(Math.sign)).toEqual([-1, -1]);
  expect([y(layout, "b") - y(layout, "c"), y(layout, "e") - y(layout, "d")].map(Math.sign)).toEqual([-1, -1]);
});

it("leads a line around what it passes", () => {
  const layout = laid([..."abc"], ["a>b", "b>c", "a>c"]);
  const passing = layout.paths.find(({ line }) => line.source === "a" && line.target === "c");
  const middle = y(layout, "b") + BOX.height / 2;
  expect(passing?.points).toHaveLength(4);
  expect(Math.abs((passing?.points[1]?.y ?? middle) - middle)).toBeGreaterThan(BOX.height / 2);
});

it("draws many alike as one, until they are unfolded, and never the own job", () => {
  const many = Array.from({ length: 8 }, (_, number) => `w${number}`);
  const graph = { nodes: nodes("first", ...many, "last"), edges: edges(...many.flatMap((each) => [`first>${each}`, `${each}>last`])) };
  const folded = drawn(graph);
  expect(folded.boxes.map((box) => box.jobs.length)).toEqual([1, 8, 1]);
  expect(folded.lines).toHaveLength(2);
  expect(drawn(graph, "w3").boxes.map((box) => box.jobs.length).sort()).toEqual([1, 1, 1, 7]);
  expect(drawn(graph, "", folded.boxes[1]?.key ?? "").boxes).toHaveLength(10);
});

it("doesn't take those for alike that hang on others, or are others'", () => {
  const names = Array.from({ length: 6 }, (_, number) => `w${number}`);
  const pairs = names.map((each, number) => (number < 3 ? `a>${each}` : `a/${each}`));
  expect(drawn({ nodes: nodes("a", ...names), edges: edges(...pairs) }).boxes).toHaveLength(7);
  expect(drawn({ nodes: nodes("a", "b", "c", "d", "e", "f"), edges: [] }).boxes).toHaveLength(6);
});

it("draws one line where a child is waited for, too", () => {
  const { lines } = drawn({ nodes: nodes("a", "b"), edges: edges("a/b", "a>b") });
  expect(lines.map((line) => line.kind)).toEqual(["after"]);
});

it("takes a circle, and a graph of one", () => {
  expect(laid([..."abc"], ["a>b", "b>c", "c>a"]).places.size).toBe(3);
  expect(laid(["a"], [])).toMatchObject({ width: BOX.width, height: BOX.height });
});

it("walks by arrow keys", () => {
  const layout = laid([..."abcd"], ["a>b", "a>c", "b>d", "c>d"]);
  const [upper = "", lower = ""] = y(layout, "b") < y(layout, "c") ? ["b", "c"] : ["c", "b"];
  expect(["b", "c"]).toContain(stepFrom("a", "ArrowRight", layout));
  expect(stepFrom("b", "ArrowLeft", layout)).toBe("a");
  expect(stepFrom(upper, "ArrowDown", layout)).toBe(lower);
  expect(stepFrom(lower, "ArrowUp", layout)).toBe(upper);
  expect([stepFrom("a", "ArrowLeft", layout), stepFrom(upper, "ArrowUp", layout), stepFrom("a", "x", layout)]).toEqual([undefined, undefined, undefined]);
});

it("writes paths", () => {
  expect(pathOf([{ x: 0, y: 0 }, { x: 10, y: 4 }, { x: 20, y: 4 }])).toBe("M0 0C5 0 5 4 10 4L20 4");
});

it("lays five hundred out within a moment", () => {
  const names = Array.from({ length: 500 }, (_, number) => `j${number}`);
  const pairs = names.slice(1).map((name, number) => `${names[Math.floor(number / 2)]}>${name}`);
  expect(laid(names, pairs).places.size).toBe(500);
  const long = laid(names, names.slice(1).map((name, number) => `${names[number]}>${name}`));
  expect(columns(long).j499).toBe(499);
});
