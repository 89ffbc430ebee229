import { expect, it } from "vitest";
import { appended, asText, attemptOf, filtered, type Attempt, type LogLine } from "./lines";

const line = (number: number, level = "info", message = `line ${number}`): LogLine => ({ number, at: "2026-11-02T09:00:00.000Z", attempt: 1, level, logger: "shop", message });
const numbers = (lines: readonly LogLine[]) => lines.map((each) => each.number);

it("keeps lines of a level and above, and levels that it doesn't know", () => {
  const lines = [line(1, "debug"), line(2), line(3, "WARNING"), line(4, "critical"), line(5, "trace")];
  expect([numbers(filtered(lines, "debug", "")), numbers(filtered(lines, "warning", ""))]).toEqual([[1, 2, 3, 4, 5], [3, 4, 5]]);
});

it("finds text without regard to case", () => {
  expect(numbers(filtered([line(1, "info", "Card DECLINED"), line(2), line(3, "info", "x")], "debug", " declined "))).toEqual([1]);
  expect(numbers(filtered([line(1)], "debug", "SHOP"))).toEqual([1]);
});

it("takes each line once, and stays the same where nothing is new", () => {
  const lines = [line(1), line(2)];
  expect(numbers(appended(lines, [line(2), line(3)]))).toEqual([1, 2, 3]);
  expect(appended(lines, [line(2)])).toBe(lines);
});

it("makes a file", () => {
  expect(asText([line(1, "warning", "no paper")])).toBe("2026-11-02T09:00:00.000Z WARNING  shop: no paper\n");
});

it("knows which attempt said a line, also after a retry by hand", () => {
  const attempt = (claimed_at: string, generation: number) => ({ attempt: 1, generation, claimed_at }) as Attempt;
  const attempts = [attempt("2026-11-02T08:59:59Z", 1), attempt("2026-11-02T09:00:05Z", 2)];
  expect(attemptOf(line(1), attempts)).toBe("Attempt 1");
  expect(attemptOf({ ...line(2), at: "2026-11-02T09:00:05Z" }, attempts)).toBe("Run 2 · attempt 1");
  // By a clock that is behind.
  expect(attemptOf({ ...line(3), at: "2026-11-02T08:00:00Z" }, attempts)).toBe("Attempt 1");
  expect(attemptOf(line(4), [])).toBe("Attempt 1");
});
