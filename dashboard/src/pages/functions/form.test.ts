import { expect, it } from "vitest";
import { fromAnswer } from "@/api/errors";
import { stringify } from "@/lib/json";
import { argumentsOf, asObject, emptyValues, faultsOf, fieldsOf, fromObject, parseJson, parseSpan, type ArgumentField, type Parameter, type Values } from "./form";

const PARTS = {
  Order: { type: "object", properties: { id: { type: "string" }, lines: { type: "array", items: { $ref: "#/$defs/Line" } } }, required: ["id", "lines"] },
  Line: { type: "object", properties: { sku: { type: "string" } }, required: ["sku"] },
};
const ORDER: Parameter[] = [
  parameter("order", { schema: { $ref: "#/$defs/Order", $defs: PARTS } }),
  parameter("cents", { schema: { type: "integer" } }),
  parameter("note", { schema: { anyOf: [{ type: "string" }, { type: "null" }] }, required: false, default: null }),
  parameter("speed", { schema: { $ref: "#/$defs/Speed", $defs: { Speed: { enum: ["express", "standard"] } } }, required: false, default: "standard" }),
  parameter("due", { schema: { type: "string", format: "date-time" }, required: false }),
  parameter("either", { schema: { anyOf: [{ type: "integer" }, { type: "string" }] }, required: false, default: 1 }),
  parameter("price", { schema: { type: ["string", "number"], format: "decimal" }, required: false }),
];

function parameter(name: string, more: Partial<Parameter> = {}): Parameter {
  return { name, kind: "positional_or_keyword", required: true, annotation: "", schema: {}, ...more };
}

function fields(...parameters: Parameter[]): ArgumentField[] {
  return fieldsOf(parameters);
}

const INT = { schema: { type: "integer" } };

function filled(of: readonly ArgumentField[], texts: Record<string, string>): Values {
  return { ...emptyValues(of), ...Object.fromEntries(Object.entries(texts).map(([name, text]) => [name, { mode: "value", text }])) };
}

it("makes a field of each parameter, by what it takes", () => {
  expect(fieldsOf(ORDER).map(({ name, control, nullable, preset }) => [name, control, nullable, preset === undefined])).toEqual([
    ["order", "json", false, true],
    ["cents", "integer", false, true],
    ["note", "text", true, false],
    ["speed", "choice", false, false],
    ["due", "text", false, false],
    ["either", "json", false, false],
    ["price", "text", false, false],
  ]);
});

it("says what a parameter is that isn't given", () => {
  expect(fieldsOf(ORDER).map(({ preset }) => preset)).toEqual([undefined, undefined, "None", "standard", "the function's own", "1", "the function's own"]);
});

it("begins JSON with the shape that is wanted", () => {
  expect(JSON.parse(fieldsOf(ORDER)[0]?.sample ?? "")).toEqual({ id: "", lines: [{ sku: "" }] });
});

it("shapes of types within themselves come to an end", () => {
  const node = { type: "object", properties: { next: { $ref: "#/$defs/Node" } }, required: ["next"] };
  expect(fields(parameter("root", { schema: { $ref: "#/$defs/Node", $defs: { Node: node } } }))[0]?.sample).toContain("{}");
});

it("reads values, and leaves defaults to the function", () => {
  const of = fieldsOf(ORDER);
  const read = argumentsOf(of, filled(of, { order: '{"id": "a", "lines": []}', cents: " 42 ", speed: '"express"' }));
  expect(read).toEqual({ ok: true, arguments: { args: [], kwargs: { order: { id: "a", lines: [] }, cents: 42, speed: "express" } } });
});

it("gives None where that is chosen", () => {
  const of = fields(parameter("note", { schema: { anyOf: [{ type: "string" }, { type: "null" }] } }));
  expect(argumentsOf(of, { note: { mode: "none", text: "" } })).toEqual({ ok: true, arguments: { args: [], kwargs: { note: null } } });
});

it("keeps whole numbers of any length", () => {
  const of = fields(parameter("a", INT), parameter("b", INT), parameter("c"));
  const read = argumentsOf(of, filled(of, { a: "+007", b: "-99999999999999999999", c: '{"id": 9007199254740993}' }));
  expect(stringify(read.ok && read.arguments.kwargs)).toBe('{"a":7,"b":-99999999999999999999,"c":{"id":9007199254740993}}');
});

it("says what is wrong at its field", () => {
  const of = fields(
    parameter("a", INT),
    parameter("b", { schema: { type: "number" } }),
    parameter("c", { schema: { type: "string" } }),
    parameter("d", { schema: { type: "boolean" } }),
    parameter("e"),
  );
  const read = argumentsOf(of, filled(of, { a: "1.5", b: "x", c: "", d: "", e: "{" }));
  expect(read.ok ? null : Object.keys(read.faults)).toEqual(["a", "b", "c", "d", "e"]);
});

it("gives by position what can't be named", () => {
  const of = fields(
    parameter("a", { ...INT, kind: "positional_only" }),
    parameter("b", INT),
    parameter("rest", { kind: "var_positional", required: false }),
    parameter("c", { ...INT, kind: "keyword_only" }),
    parameter("extra", { kind: "var_keyword", required: false }),
  );
  const both = argumentsOf(of, filled(of, { a: "1", b: "2", rest: "[3, 4]", c: "5", extra: '{"d": 6}' }));
  expect(both).toEqual({ ok: true, arguments: { args: [1, 2, 3, 4], kwargs: { c: 5, d: 6 } } });
  const named = argumentsOf(of, filled(of, { a: "1", b: "2", c: "5" }));
  expect(named).toEqual({ ok: true, arguments: { args: [1], kwargs: { b: 2, c: 5 } } });
  const wrong = argumentsOf(of, filled(of, { a: "1", b: "2", c: "5", rest: "{}", extra: "[]" }));
  expect(wrong.ok ? null : Object.keys(wrong.faults)).toEqual(["rest", "extra"]);
});

it("goes from the form to JSON and back", () => {
  const of = fieldsOf(ORDER);
  const values = filled(of, { order: '{"id":"a","lines":[]}', cents: "42", speed: '"express"', due: "2026-11-02T09:00:00Z" });
  values.note = { mode: "none", text: "" };
  const object = asObject(of, values);
  expect(object).toEqual({ order: { id: "a", lines: [] }, cents: 42, note: null, speed: "express", due: "2026-11-02T09:00:00Z" });
  expect(asObject(of, fromObject(of, object).values)).toEqual(object);
  expect(fromObject(of, { other: 1 }).unknown).toEqual(["other"]);
});

it("puts the server's faults where they belong", () => {
  const of = fields(parameter("order_id"), parameter("cents", INT));
  const answer = (detail: string, errors?: { where: string; message: string }[]) =>
    faultsOf(fromAnswer(422, { type: "urn:conduit:invalid", title: "The request isn't valid", status: 422, detail, instance: "", request_id: "", ...(errors ? { errors } : {}) }), of);
  expect(answer("argument 'cents' of function 'charge': expected int, got 'x'; its signature is charge(order_id: str, cents: int) -> str").fields).toEqual({ cents: "Expected int, got 'x'" });
  expect(answer("function 'charge' is missing arguments 'order_id', 'cents'; its signature is charge(…)").fields).toEqual({ order_id: "Has to be filled in", cents: "Has to be filled in" });
  expect(answer("body.priority: Expected `int` <= 100", [{ where: "body.priority", message: "Expected `int` <= 100" }]).options).toEqual({ priority: "Expected `int` <= 100" });
  expect(answer("function 'charge' has no argument 'x'; its signature is charge(…)").rest).toBe("Function 'charge' has no argument 'x'");
});

it("says where JSON breaks off", () => {
  expect(() => parseJson('{\n  "a": 1,\n}')).toThrow(/line 3, column 1/);
});

it("reads spans as people write them", () => {
  expect(["90", "1.5s", "1h30m", "2 d", "250ms"].map(parseSpan)).toEqual([90_000, 1500, 5_400_000, 172_800_000, 250]);
  expect(["", "soon", "1x", "-3"].map(parseSpan)).toEqual([null, null, null, null]);
});
