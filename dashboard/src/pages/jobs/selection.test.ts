import { expect, it } from "vitest";
import { isSelected, isWholePage, NONE, pageToggled, ranged, toggled, type Selection } from "./selection";

const ids = (selection: Selection) => (selection.all ? "all" : [...selection.ids].sort().join(""));
const some = (text: string): Selection => ({ all: false, ids: new Set(text) });
const PAGE = [..."abcde"];

it("selects one row and drops it again", () => {
  expect([ids(toggled(NONE, "a")), ids(toggled(some("ab"), "a"))]).toEqual(["a", "b"]);
});

it("selects from row to row, up and down", () => {
  expect([ids(ranged(some("a"), PAGE, "b", "d")), ids(ranged(NONE, PAGE, "e", "c"))]).toEqual(["abcd", "cde"]);
  expect([ids(ranged(NONE, PAGE, null, "c")), ids(ranged(NONE, PAGE, "gone", "c"))]).toEqual(["c", "c"]);
});

it("selects a page beside what other pages have", () => {
  expect([ids(pageToggled(some("x"), PAGE)), ids(pageToggled(some("abcde"), PAGE)), ids(pageToggled({ all: true }, PAGE))]).toEqual(["abcdex", "", ""]);
  expect([isWholePage(some("abcde"), PAGE), isWholePage(some("abcd"), PAGE), isWholePage({ all: true }, PAGE), isWholePage(NONE, [])]).toEqual([true, false, true, false]);
});

it("counts every row as selected with all that match", () => {
  expect([isSelected({ all: true }, "z"), ids(toggled({ all: true }, "a"))]).toEqual([true, "a"]);
});
