import { replaceEqualDeep } from "@tanstack/react-query";
import { expect, it } from "vitest";
import { ExactNumber, parse, plain, stringify } from "./json";

it.each([
  "9007199254740993",
  "-123456789012345678901234567890",
  "1.0",
  "-0",
  "1e400",
  "0.1000000000000000055511151231257827",
  '{"id":9007199254740993,"ids":[1,2,18446744073709551615],"rate":1.50}',
  '{"a":{"b":[[],{},"",null,true,false,12,-3.5]}}',
  String.raw`["a\"b\\","\\\"]{}:,","9007199254740993","\u00e9\n"]`.replace(String.raw`\u00e9`, "é"),
  '{"__proto__":1.0,"":2}',
])("keeps %s as it is", (text) => expect(stringify(parse(text))).toBe(text));

it("leaves to JavaScript what it keeps", () => {
  const text = ' { "a" : [ 1 , -2.5 , "x" , null ] , "b" : { } } ';
  expect(parse(text)).toEqual(JSON.parse(text));
  expect(parse("[9007199254740991, 9007199254740993]")).toEqual([9007199254740991, new ExactNumber("9007199254740993")]);
});

it("reads what is deep and what is long", () => {
  const deep = "[".repeat(1000) + "1.0" + "]".repeat(1000);
  expect(stringify(parse(deep))).toBe(deep);
  const long = JSON.stringify("x\\".repeat(500_000));
  expect(stringify(parse(long))).toBe(long);
});

it.each(['{"a":}', "[1,]", "", "01", "1 2"])("refuses %j as JSON.parse does", (text) => expect(() => parse(text)).toThrow(SyntaxError));

it("writes as JSON.stringify does", () => {
  const value = { a: [1, { b: "é\n" }, [], {}], c: undefined, d: [undefined], e: null };
  expect(stringify(value)).toBe(JSON.stringify(value));
  expect(stringify(value, 2)).toBe(JSON.stringify(value, null, 2));
  expect(stringify(undefined)).toBe("null");
});

it("gives numbers to count with", () => expect(plain(parse('{"a":[1.0,{"b":2}]}'))).toEqual({ a: [1, { b: 2 }] }));

it("gives an answer that comes twice as the one that is there already", () => {
  const text = '{"a":[1.0,{"id":9007199254740993}]}';
  const first = parse(text);
  expect(replaceEqualDeep(first, parse(text))).toBe(first);
  expect(replaceEqualDeep(first, parse('{"a":[1.0,{"id":9007199254740995}]}'))).not.toBe(first);
});
