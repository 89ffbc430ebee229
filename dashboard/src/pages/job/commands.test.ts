import { expect, it } from "vitest";
import { parse } from "@/lib/json";
import { asCall, asCli, asCurl, quoted, type Submission } from "./commands";

const JOB: Submission = { function: "charge", args: [], kwargs: { order_id: "o'1", cents: 100 }, queue: "payments", priority: 0, key: null };

it.each([
  ["plain-word_1.0", "plain-word_1.0"],
  ["", "''"],
  ["two words", "'two words'"],
  ["it's $HOME `x` \\ \n", "'it'\\''s $HOME `x` \\ \n'"],
])("quotes %j for a shell", (text, word) => expect(quoted(text)).toBe(word));

it("makes a command", () => {
  expect(asCli(JOB)).toBe(`conduit submit charge --kwargs '{"order_id":"o'\\''1","cents":100}' --queue payments`);
  expect(asCli({ ...JOB, function: "-x", args: [1, "a"], kwargs: {}, priority: -5, key: "pay:1 2" })).toBe(
    `conduit submit -- -x --args '[1,"a"]' --queue payments --priority -5 --key 'pay:1 2'`,
  );
});

it("makes a request that names no key", () => {
  expect(asCurl(JOB, "http://127.0.0.1:8080", true)).toBe(
    [
      "curl --fail-with-body http://127.0.0.1:8080/api/v1/jobs",
      `--header "Authorization: Bearer $CONDUIT_API_KEY"`,
      "--header 'Content-Type: application/json'",
      `--data '{"function":"charge","kwargs":{"order_id":"o'\\''1","cents":100},"queue":"payments"}'`,
    ].join(" \\\n  "),
  );
  expect(asCurl(JOB, "http://h", false)).not.toContain("Authorization");
});

const ORDER = { name: "order", kind: "positional_or_keyword" } as const;
const FIRST = { name: "first", kind: "positional_only" } as const;
const REST = { name: "rest", kind: "var_positional" } as const;
const FLAG = { name: "flag", kind: "keyword_only" } as const;
const MORE = { name: "more", kind: "var_keyword" } as const;

it.each([
  [[ORDER, FLAG], { order: 1, flag: 2 }, [], { order: 1, flag: 2 }],
  [[FIRST, ORDER], { first: 1, order: 2 }, [1], { order: 2 }],
  [[ORDER, REST, FLAG], { order: 1, rest: [2, 3], flag: false }, [1, 2, 3], { flag: false }],
  [[ORDER, MORE], { order: 1, more: { b: 2 } }, [], { order: 1, b: 2 }],
  [[ORDER, REST], { order: 1 }, [], { order: 1 }],
  [undefined, { order: 1 }, [], { order: 1 }],
  [[], [1], [], {}],
])("calls %j with %j", (parameters, kept, args, kwargs) => expect(asCall(kept, parameters)).toEqual({ args, kwargs }));

it("keeps the digits of numbers", () => {
  const kwargs = parse('{"order":9007199254740993}') as Record<string, unknown>;
  expect(asCli({ ...JOB, kwargs })).toContain(`--kwargs '{"order":9007199254740993}'`);
  expect(asCurl({ ...JOB, kwargs }, "http://h", false)).toContain('"kwargs":{"order":9007199254740993}');
});
