import { expect, it } from "vitest";
import { parseSearch, stringifySearch } from "@/lib/search";
import { asIso, bulkFilterOf, isFiltered, isSameList, questionOf, validateJobs } from "./search";

const NOW = Date.UTC(2026, 10, 2, 9, 0, 30);
const read = (address: string) => validateJobs(parseSearch(address));

it("reads the filters of an address and writes them back", () => {
  const address = "?q=card+declined&status=failed&status=running&function=charge&queue=payments&key=a%26b&submitted_after=24h&sort=-duration&limit=500";
  expect(stringifySearch(read(address) as Record<string, unknown>)).toBe(address);
});

it("drops what it doesn't know", () => {
  expect(stringifySearch(read("?status=nonsense&sort=colour&limit=7&page=0&submitted_after=yesterday&submitted_before=-5&other=1") as Record<string, unknown>)).toBe("");
});

it("knows whether anything is filtered by", () => {
  expect([isFiltered(read("?sort=duration&page=3")), isFiltered(read("?root_id=a"))]).toEqual([false, true]);
});

it("knows pages of the same list", () => {
  expect(isSameList(read("?q=a&page=2&cursor=x"), read("?q=a&sort=-submitted_at"))).toBe(true);
  expect(isSameList(read("?q=a"), read("?q=b"))).toBe(false);
});

it("asks the server for a page by its cursor, or by its place where there is none", () => {
  expect(questionOf(read("?page=3&cursor=abc"), NOW)).toMatchObject({ cursor: "abc", limit: 50, sort: "-submitted_at", by_status: true });
  expect(questionOf(read("?page=3&limit=100"), NOW)).toMatchObject({ offset: 200, limit: 100 });
  expect(questionOf(read("?cursor=abc"), NOW)).not.toHaveProperty("cursor");
});

it("counts spans from whole minutes", () => {
  expect(questionOf(read("?submitted_after=24h"), NOW).submitted_after).toBe("2026-11-01T09:00:00.000Z");
  expect(asIso("2026-11-02T10:00:00+01:00", NOW)).toBe("2026-11-02T09:00:00.000Z");
});

it("acts on the same jobs that the list shows", () => {
  expect(bulkFilterOf(read("?status=failed&q=x&submitted_after=15m&page=2"), NOW)).toEqual({
    status: ["failed"],
    q: "x",
    key: null,
    parent_id: null,
    root_id: null,
    submitted_after: "2026-11-02T08:45:00.000Z",
    submitted_before: null,
  });
});
