import { describe, expect, it } from "vitest";
import { bytes, clock, compact, count, day, duration, exact, percent, rate, relative } from "./format";

describe("duration", () => {
  it.each([
    [0, "0 ms"], [0.84, "0.84 ms"], [9.96, "10 ms"], [340.4, "340 ms"], [999.6, "1 s"], [4_240, "4.2 s"],
    [59_400, "59 s"], [59_600, "1 m"], [192_000, "3 m 12 s"], [3_599_600, "1 h"], [18_120_000, "5 h 2 m"],
    [86_399_000, "1 d"], [273_600_000, "3 d 4 h"], [-1_500, "-1.5 s"], [NaN, "–"],
  ])("tells %d ms as %s", (ms, text) => expect(duration(ms)).toBe(text));
});

describe("relative", () => {
  const now = Date.UTC(2026, 10, 2, 9);
  it.each([
    [0, "just now"], [1_000, "just now"], [12_000, "12 s ago"], [-5 * 60_000, "in 5 m"], [59_700, "1 m ago"],
    [59.6 * 60_000, "1 h ago"], [23 * 3_600_000, "23 h ago"], [3 * 86_400_000, "3 d ago"], [800 * 86_400_000, "2 y ago"],
  ])("tells %d ms before as %s", (ago, text) => expect(relative(now - ago, now)).toBe(text));
});

it("tells a time exactly, with its zone", () => {
  const at = Date.UTC(2026, 10, 2, 9, 5, 7, 42);
  expect(exact(at, "utc")).toBe("2026-11-02 09:05:07.042 UTC");
  expect(exact(at, "local")).toMatch(/^2026-11-0[123] \d\d:\d\d:07\.042 [+-]\d\d:\d\d$/);
  expect(day(at, "utc")).toBe("2026-11-02");
  expect(clock(at, "utc", false)).toBe("09:05");
});

it("tells counts, rates, shares and sizes", () => {
  expect([compact(9_999), compact(12_345), compact(1_234_567)]).toEqual(["9,999", "12.3K", "1.23M"]);
  expect([rate(0), rate(123.4), rate(12.34), rate(0.05), rate(0.001)]).toEqual(["0/s", "123/s", "12.3/s", "3/min", "3.6/h"]);
  expect([percent(0), percent(0.0001), percent(0.021), percent(0.5), percent(0.9999), percent(1)]).toEqual(["0 %", "<0.1 %", "2.1 %", "50 %", ">99.9 %", "100 %"]);
  expect([bytes(0), bytes(1023), bytes(1536), bytes(1024 * 1024)]).toEqual(["0 B", "1023 B", "1.5 KiB", "1 MiB"]);
  expect([count(1, "job"), count(1200, "job"), count(2, "query", "queries")]).toEqual(["1 job", "1,200 jobs", "2 queries"]);
});
