import { beforeEach, expect, it } from "vitest";
import { Typist, type Shortcut } from "./shortcuts";

let now: number;
let ran: string[];
let known: Shortcut[];
let typist: Typist;

beforeEach(() => {
  now = 0;
  ran = [];
  known = ["j", "g j", "g o", "?"].map((keys) => shortcut(keys));
  typist = new Typist(() => known, () => now);
});

function shortcut(keys: string, name = keys): Shortcut {
  return { keys, label: name, group: "", run: () => ran.push(name) };
}

it("runs a key, and a sequence of them", () => {
  expect(["j", "g", "j", "g", "o", "?"].map((key) => typist.press(key))).toEqual([true, true, true, true, true, true]);
  expect(ran).toEqual(["j", "g j", "g o", "?"]);
});

it("forgets a sequence that takes too long", () => {
  typist.press("g");
  now += 2000;
  typist.press("j");
  expect(ran).toEqual(["j"]);
});

it("lets other keys pass, and takes the second of a broken sequence for itself", () => {
  expect(typist.press("x")).toBe(false);
  typist.press("g");
  typist.press("?");
  expect(ran).toEqual(["?"]);
});

it("prefers what was added last", () => {
  known.push(shortcut("j", "of the dialog"));
  typist.press("j");
  expect(ran).toEqual(["of the dialog"]);
});
