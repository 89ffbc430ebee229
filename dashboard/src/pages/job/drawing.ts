import type { Schemas } from "@/api/client";

type Graph = Schemas["GraphView"];
type Node = Schemas["GraphNode"];

/** What is drawn as one: a job, or several that differ in nothing but their ids. */
export interface Box {
  key: string;
  jobs: [Node, ...Node[]];
}

/** From box to box: the target waits for the source, or is its child. */
export interface Line {
  source: string;
  target: string;
  kind: Schemas["EdgeKind"];
}

export interface Drawing {
  boxes: Box[];
  lines: Line[];
}

/** So many jobs of a kind are drawn as one, until somebody wants to see them. */
const MANY = 6;

/** What to draw of a graph. Jobs of one function with the same neighbours are one box, save for the own. */
export function drawingOf(graph: Pick<Graph, "nodes" | "edges">, own: string, unfolded: ReadonlySet<string>): Drawing {
  const around = new Map<string, string[]>();
  const note = (id: string, word: string) => around.set(id, [...(around.get(id) ?? []), word]);
  for (const { source, target, kind } of graph.edges) {
    note(source, `${kind}>${target}`);
    note(target, `${source}>${kind}`);
  }
  const alike = new Map<string, Node[]>();
  for (const node of graph.nodes) {
    const key = node.id === own ? own : JSON.stringify([node.function, ...(around.get(node.id) ?? []).sort()]);
    const others = alike.get(key);
    if (others) others.push(node);
    else alike.set(key, [node]);
  }
  const boxes: Box[] = [];
  const boxOf = new Map<string, string>();
  for (const [key, jobs] of alike) {
    const isOne = jobs.length >= MANY && !unfolded.has(key);
    for (const job of jobs) boxOf.set(job.id, isOne ? key : job.id);
    if (isOne) boxes.push({ key, jobs: jobs as Box["jobs"] });
    else boxes.push(...jobs.map((job): Box => ({ key: job.id, jobs: [job] })));
  }
  const lines = new Map<string, Line>();
  for (const { source, target, kind } of graph.edges) {
    const [from, to] = [boxOf.get(source), boxOf.get(target)];
    if (from === undefined || to === undefined || from === to) continue;
    // Where a child is waited for as well, that is what counts.
    const key = JSON.stringify([from, to]);
    if (kind === "after" || !lines.has(key)) lines.set(key, { source: from, target: to, kind });
  }
  return { boxes, lines: [...lines.values()] };
}

export const BOX = { width: 172, height: 46 } as const;
const GAP = { x: 44, y: 14 } as const;
/** Lines that pass a column are led around its boxes, unless there are too many of them. */
const MOST_BENDS = 2000;

export interface Point {
  x: number;
  y: number;
}

/** Where everything stands: boxes by their upper left corner, each line by the points that it goes through. */
export interface Layout {
  width: number;
  height: number;
  places: Map<string, Point & { column: number }>;
  paths: { line: Line; points: Point[] }[];
}

/** A box, or a bend of a line that passes a column. */
interface Slot {
  column: number;
  height: number;
  /** Of its middle. */
  y: number;
  before: Slot[];
  after: Slot[];
}

/**
 * From left to right, each box right of all that lead to it; the columns are sorted so that lines
 * cross little, and boxes stand near what they hang on (Sugiyama, Tagawa and Toda 1981, in short).
 */
export function layoutOf({ boxes, lines }: Drawing): Layout {
  const columns = columnsOf(boxes, lines);
  const slots = new Map(boxes.map((box): [string, Slot] => [box.key, slot(columns.get(box.key) ?? 0, BOX.height)]));
  const rows: Slot[][] = Array.from({ length: Math.max(0, ...columns.values()) + 1 }, () => []);
  for (const each of slots.values()) rows[each.column]?.push(each);
  let bends = lines.reduce((sum, { source, target }) => sum + Math.max(0, (columns.get(target) ?? 0) - (columns.get(source) ?? 0) - 1), 0);
  if (bends > MOST_BENDS) bends = 0;
  const paths = lines.flatMap((line) => {
    const [from, to] = [slots.get(line.source), slots.get(line.target)];
    if (!from || !to) return [];
    const through = bends > 0 ? Array.from({ length: Math.max(0, to.column - from.column - 1) }, (_, index) => slot(from.column + index + 1, 0)) : [];
    for (const each of through) rows[each.column]?.push(each);
    const way = [from, ...through, to];
    for (const [index, each] of way.slice(1).entries()) connect(way[index] as Slot, each);
    return [{ line, way }];
  });
  sortRows(rows);
  setHeights(rows);
  const top = Math.min(...[...slots.values()].map((each) => each.y - each.height / 2));
  const bottom = Math.max(...[...slots.values()].map((each) => each.y + each.height / 2));
  return {
    width: rows.length * (BOX.width + GAP.x) - GAP.x,
    height: bottom - top,
    places: new Map([...slots].map(([key, each]) => [key, { x: xOf(each), y: each.y - each.height / 2 - top, column: each.column }])),
    paths: paths.map(({ line, way }) => ({ line, points: way.flatMap((each, index) => pointsOf(each, top, index > 0, index < way.length - 1)) })),
  };
}

function slot(column: number, height: number): Slot {
  return { column, height, y: 0, before: [], after: [] };
}

function connect(from: Slot, to: Slot): void {
  from.after.push(to);
  to.before.push(from);
}

function xOf(each: Slot): number {
  return each.column * (BOX.width + GAP.x);
}

/** Where a line enters and leaves: a bend is as wide as the boxes of its column. */
function pointsOf(each: Slot, top: number, enters: boolean, leaves: boolean): Point[] {
  const [x, y] = [xOf(each), each.y - top];
  return [...(enters ? [{ x, y }] : []), ...(leaves ? [{ x: x + BOX.width, y }] : [])];
}

/** Which column each box is in: one further than the furthest that leads to it. */
function columnsOf(boxes: readonly Box[], lines: readonly Line[]): Map<string, number> {
  const targets = new Map<string, string[]>();
  const missing = new Map(boxes.map((box) => [box.key, 0]));
  for (const { source, target } of lines) {
    targets.set(source, [...(targets.get(source) ?? []), target]);
    missing.set(target, (missing.get(target) ?? 0) + 1);
  }
  const columns = new Map(boxes.map((box) => [box.key, 0]));
  const ready = boxes.filter((box) => missing.get(box.key) === 0).map((box) => box.key);
  // What goes round in circles is never ready, and stays in the first column.
  for (const key of ready) {
    for (const target of targets.get(key) ?? []) {
      columns.set(target, Math.max(columns.get(target) ?? 0, (columns.get(key) ?? 0) + 1));
      const left = (missing.get(target) ?? 0) - 1;
      missing.set(target, left);
      if (left === 0) ready.push(target);
    }
  }
  const isTarget = new Set(lines.map((line) => line.target));
  for (const box of boxes) {
    // One that nothing leads to stands beside the first that it leads to.
    const next = (targets.get(box.key) ?? []).map((target) => columns.get(target) ?? 0);
    if (!isTarget.has(box.key) && next.length > 0) columns.set(box.key, Math.max(0, Math.min(...next) - 1));
  }
  return columns;
}

const SWEEPS = 8;

/** Sort each column by where its neighbours stand, to and fro. */
function sortRows(rows: Slot[][]): void {
  const number = () => rows.forEach((row) => row.forEach((each, index) => (each.y = index - row.length / 2)));
  number();
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    const back = sweep % 2 === 1;
    for (const row of back ? [...rows].reverse() : rows) {
      const wanted = new Map(row.map((each) => [each, middle(back ? each.after : each.before) ?? each.y]));
      row.sort((one, other) => (wanted.get(one) ?? 0) - (wanted.get(other) ?? 0));
      row.forEach((each, index) => (each.y = index - row.length / 2));
    }
  }
}

/** Set each slot as near to the middle of its neighbours as its row allows. */
function setHeights(rows: Slot[][]): void {
  for (const row of rows) spread(row, () => 0);
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    const back = sweep % 2 === 1;
    for (const row of back ? [...rows].reverse() : rows) {
      spread(row, (each) => middle(back ? each.after : each.before) ?? middle(back ? each.before : each.after) ?? each.y);
    }
  }
}

function spread(row: readonly Slot[], wanted: (each: Slot) => number): void {
  const wishes = row.map(wanted);
  let least = -Infinity;
  let off = 0;
  row.forEach((each, index) => {
    const wish = wishes[index] ?? 0;
    each.y = Math.max(wish, least + each.height / 2);
    off += each.y - wish;
    least = each.y + each.height / 2 + GAP.y;
  });
  for (const each of row) each.y -= off / row.length;
}

function middle(slots: readonly Slot[]): number | undefined {
  return slots.length > 0 ? slots.reduce((sum, each) => sum + each.y, 0) / slots.length : undefined;
}

/** A line through its points, for SVG: level where it leaves and enters. */
export function pathOf(points: readonly Point[]): string {
  const [first, ...rest] = points;
  if (!first) return "";
  let at = first;
  return rest.reduce((path, { x, y }) => {
    const half = (at.x + x) / 2;
    const piece = at.y === y ? `L${x} ${y}` : `C${half} ${at.y} ${half} ${y} ${x} ${y}`;
    at = { x, y };
    return path + piece;
  }, `M${first.x} ${first.y}`);
}

/** The box that an arrow key leads to from another, if there is one. */
export function stepFrom(key: string, arrow: string, { places, paths }: Layout): string | undefined {
  const own = places.get(key);
  if (!own) return undefined;
  const nearest = (keys: readonly string[], distance: (place: Point) => number) =>
    keys.map((each) => ({ each, far: distance(places.get(each) ?? own) })).filter(({ far }) => far > 0 || arrow === "ArrowLeft" || arrow === "ArrowRight").sort((one, other) => one.far - other.far)[0]?.each;
  const beside = (place: Point) => Math.abs(place.y - own.y);
  const column = [...places].filter(([, place]) => place.column === own.column).map(([each]) => each);
  switch (arrow) {
    case "ArrowLeft":
      return nearest(paths.filter(({ line }) => line.target === key).map(({ line }) => line.source), beside);
    case "ArrowRight":
      return nearest(paths.filter(({ line }) => line.source === key).map(({ line }) => line.target), beside);
    case "ArrowUp":
      return nearest(column, (place) => own.y - place.y);
    case "ArrowDown":
      return nearest(column, (place) => place.y - own.y);
    default:
      return undefined;
  }
}
