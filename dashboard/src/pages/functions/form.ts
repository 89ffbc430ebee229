import type { Schemas } from "@/api/client";
import type { ApiError } from "@/api/errors";
import { isObject, parse, stringify } from "@/lib/json";

export type Parameter = Schemas["ParameterView"];

/** The part of JSON Schema that a form is made of. */
export interface Schema {
  type?: string | string[];
  format?: string;
  enum?: unknown[];
  anyOf?: Schema[];
  $ref?: string;
  $defs?: Record<string, Schema>;
  items?: Schema;
  prefixItems?: Schema[];
  properties?: Record<string, Schema>;
  required?: string[];
}

export type Control = "text" | "integer" | "number" | "boolean" | "choice" | "json";

/** A field of the form: one parameter. */
export interface ArgumentField {
  name: string;
  kind: Parameter["kind"];
  annotation: string;
  control: Control;
  /** What it is where it isn't given, in words; undefined where it has to be. */
  preset: string | undefined;
  /** May be None, too. */
  nullable: boolean;
  /** Of a choice. */
  choices: unknown[];
  /** How a text has to look, in words. */
  hint: string | undefined;
  /** What a JSON editor begins with. */
  sample: string;
}

/** What a field holds: a text to be read by its kind, None, or its default. */
export interface FieldValue {
  mode: "value" | "none" | "preset";
  text: string;
}

export type Values = Record<string, FieldValue>;

export function fieldsOf(parameters: readonly Parameter[]): ArgumentField[] {
  return parameters.map(fieldOf);
}

const FORMATS: Record<string, string> = {
  "date-time": "A time, such as 2026-11-02T09:00:00Z",
  date: "A day, such as 2026-11-02",
  time: "A time of day, such as 09:00:00",
  duration: "A span as ISO 8601 has it, such as PT90S",
  uuid: "A UUID",
  decimal: "A decimal number, such as 19.90",
};

function fieldOf({ name, kind, required, annotation, schema, default: preset }: Parameter): ArgumentField {
  const parts = (schema as Schema).$defs ?? {};
  const whole = resolved(schema as Schema, parts);
  const options = (whole.anyOf ?? [whole]).map((each) => resolved(each, parts));
  const others = options.filter((each) => each.type !== "null" && !(each.enum?.length === 1 && each.enum[0] === null));
  const nullable = others.length < options.length || (whole.enum?.includes(null) ?? false);
  const only = others.length === 1 ? others[0] : undefined;
  const choices = (only?.enum ?? []).filter((each) => each !== null);
  const isMany = kind === "var_positional" || kind === "var_keyword";
  return {
    name,
    kind,
    annotation,
    preset: required ? undefined : isMany ? "none" : preset === undefined ? "the function's own" : preset === null ? "None" : choices.length > 0 ? String(preset) : stringify(preset),
    control: isMany ? "json" : choices.length > 0 ? "choice" : controlOf(only),
    nullable: nullable && !isMany,
    choices,
    hint: only?.format ? FORMATS[only.format] : undefined,
    sample: isMany ? (kind === "var_positional" ? "[]" : "{}") : others[0] && Object.keys(others[0]).length > 0 ? JSON.stringify(sampleOf(others[0], parts, 0), null, 2) : "",
  };
}

function controlOf(schema: Schema | undefined): Control {
  if (schema?.format === "decimal") return "text";
  return typeof schema?.type === "string" ? CONTROLS[schema.type] ?? "json" : "json";
}

const CONTROLS: Record<string, Control> = { string: "text", integer: "integer", number: "number", boolean: "boolean" };

function resolved(schema: Schema, parts: Record<string, Schema>): Schema {
  return (schema.$ref !== undefined && parts[schema.$ref.replace("#/$defs/", "")]) || schema;
}

/** The least value of a schema's shape, to be filled in. */
function sampleOf(schema: Schema, parts: Record<string, Schema>, depth: number): unknown {
  const whole = resolved(schema, parts);
  if (whole.enum) return whole.enum[0];
  if (whole.anyOf) return sampleOf(whole.anyOf[0] ?? {}, parts, depth);
  switch (whole.type) {
    case "string":
      return "";
    case "integer":
    case "number":
      return 0;
    case "boolean":
      return false;
    case "array":
      // One member shows the shape, unless it is one that goes round in circles.
      return whole.prefixItems ? whole.prefixItems.map((each) => sampleOf(each, parts, depth + 1)) : whole.items && depth < 3 ? [sampleOf(whole.items, parts, depth + 1)] : [];
    case "object":
      return depth < 4 ? Object.fromEntries((whole.required ?? []).map((name) => [name, sampleOf(whole.properties?.[name] ?? {}, parts, depth + 1)])) : {};
    default:
      return null;
  }
}

export function emptyValues(fields: readonly ArgumentField[]): Values {
  return Object.fromEntries(fields.map((field) => [field.name, { mode: field.preset === undefined ? "value" : "preset", text: field.control === "json" && field.preset === undefined ? field.sample : "" }]));
}

export interface Arguments {
  args: unknown[];
  kwargs: Record<string, unknown>;
}

export type Read = { ok: true; arguments: Arguments } | { ok: false; faults: Record<string, string> };

/** The arguments that the fields hold, or what is wrong with which of them. */
export function argumentsOf(fields: readonly ArgumentField[], values: Values): Read {
  const faults: Record<string, string> = {};
  const given = new Map<string, unknown>();
  for (const field of fields) {
    const value = values[field.name];
    if (!value || value.mode === "preset") continue;
    if (value.mode === "none") {
      given.set(field.name, null);
      continue;
    }
    try {
      given.set(field.name, readText(field, value.text));
    } catch (error) {
      faults[field.name] = (error as Error).message;
    }
  }
  if (Object.keys(faults).length > 0) return { ok: false, faults };
  return { ok: true, arguments: arrange(fields, given) };
}

/** Names for all that can be named. What can't is given by position, and so are those before it. */
function arrange(fields: readonly ArgumentField[], given: ReadonlyMap<string, unknown>): Arguments {
  const rest = fields.find((field) => field.kind === "var_positional");
  const more = rest ? ((given.get(rest.name) as unknown[] | undefined) ?? []) : [];
  const args: unknown[] = [];
  const kwargs: Record<string, unknown> = {};
  let gap = false;
  for (const field of fields) {
    if (field.kind === "var_positional" || !given.has(field.name)) {
      gap ||= field.kind === "positional_only" || field.kind === "positional_or_keyword";
      continue;
    }
    const value = given.get(field.name);
    if (field.kind === "var_keyword") Object.assign(kwargs, value);
    else if (!gap && (field.kind === "positional_only" || (field.kind === "positional_or_keyword" && more.length > 0))) args.push(value);
    else kwargs[field.name] = value;
  }
  return { args: [...args, ...more], kwargs };
}

/** The value that a text stands for. Throws an error that says what is wrong. */
function readText(field: ArgumentField, text: string): unknown {
  const trimmed = text.trim();
  if (trimmed === "") throw new Error(field.control === "choice" || field.control === "boolean" ? "Choose one" : "Has to be filled in");
  switch (field.control) {
    case "text":
      return text;
    case "integer":
      if (!/^[+-]?\d+$/.test(trimmed)) throw new Error("Has to be a whole number");
      return parse(String(BigInt(trimmed)));
    case "number": {
      const read = Number(trimmed);
      if (!Number.isFinite(read)) throw new Error("Has to be a number");
      return read;
    }
    case "boolean":
      return trimmed === "true";
    case "choice":
      return field.choices.find((each) => JSON.stringify(each) === text) ?? text;
    case "json":
      return readJson(field, trimmed);
  }
}

function readJson(field: ArgumentField, text: string): unknown {
  const value = parseJson(text);
  if (field.kind === "var_positional" && !Array.isArray(value)) throw new Error("Has to be a list: [1, 2]");
  if (field.kind === "var_keyword" && !isObject(value)) throw new Error('Has to be an object: {"name": 1}');
  return value;
}

/** Throws an error that says where the text stops being JSON. */
export function parseJson(text: string): unknown {
  try {
    return parse(text);
  } catch (error) {
    throw new Error(`Isn't JSON: ${whereOf(text, (error as Error).message)}`);
  }
}

function whereOf(text: string, message: string): string {
  const place = /position (\d+)/.exec(message)?.[1];
  const told = message.replace(/^JSON\.parse: /, "").replace(/ in JSON at position.*$/, "").replace(/,? *"[^]*" is not valid JSON$/, "");
  if (place === undefined) return lower(told);
  const before = text.slice(0, Number(place)).split("\n");
  return `${lower(told)} in line ${before.length}, column ${(before.at(-1)?.length ?? 0) + 1}`;
}

function lower(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}

/** What the fields hold as one object by parameter, for the JSON editor; as far as it can be read. */
export function asObject(fields: readonly ArgumentField[], values: Values): Record<string, unknown> {
  const found: Record<string, unknown> = {};
  for (const field of fields) {
    const read = argumentsOf([{ ...field, kind: field.kind === "var_positional" || field.kind === "var_keyword" ? field.kind : "positional_or_keyword" }], values);
    if (read.ok && field.kind === "var_positional" && read.arguments.args.length > 0) found[field.name] = read.arguments.args;
    else if (read.ok) Object.assign(found, read.arguments.kwargs);
    else if (values[field.name]?.mode === "value") found[field.name] = field.sample ? parseJson(field.sample) : null;
  }
  return found;
}

/** The fields' values from an object by parameter; names that are nobody's are told. */
export function fromObject(fields: readonly ArgumentField[], object: unknown): { values: Values; unknown: string[] } {
  const given = isObject(object) ? object : {};
  const values = emptyValues(fields);
  for (const field of fields) {
    if (!(field.name in given) || field.kind === "var_keyword") continue;
    const value = given[field.name];
    values[field.name] = value === null && field.nullable ? { mode: "none", text: "" } : { mode: "value", text: written(field, value) };
  }
  const others = Object.keys(given).filter((name) => !fields.some((field) => field.name === name && field.kind !== "var_keyword"));
  const extra = fields.find((field) => field.kind === "var_keyword");
  if (!extra || others.length === 0) return { values, unknown: others };
  values[extra.name] = { mode: "value", text: stringify(Object.fromEntries(others.map((name) => [name, given[name]])), 2) };
  return { values, unknown: [] };
}

function written(field: ArgumentField, value: unknown): string {
  if (field.control === "text" && typeof value === "string") return value;
  return stringify(value, field.control === "json" ? 2 : 0);
}

/** What the server found wrong, by field and option; `rest` is what belongs to none of them. */
export interface Faults {
  fields: Record<string, string>;
  options: Record<string, string>;
  rest: string | undefined;
}

export function faultsOf(error: ApiError, fields: readonly ArgumentField[]): Faults {
  const found: Faults = { fields: {}, options: {}, rest: undefined };
  if (error.status !== 422) return { ...found, rest: [error.message, error.advice].filter(Boolean).join(". ") };
  for (const { where, message } of error.problem?.errors ?? []) {
    const [, option = "", inner] = where.split(/[.[]/);
    if ((option === "kwargs" || option === "args") && inner) found.fields[inner] = message;
    else found.options[option] = message;
  }
  if (error.problem?.errors?.length) return found;
  const detail = error.detail.replace(/; its signature is [^]*$/, "");
  const argument = /^argument '([^']+)' of function .*?: ([^]*)$/.exec(detail);
  const missing = /is missing arguments? ([^]*)$/.exec(detail)?.[1]?.matchAll(/'([^']+)'/g);
  if (argument?.[1] && fields.some((field) => field.name === argument[1])) found.fields[argument[1]] = sentence(argument[2] ?? "");
  else if (missing) for (const [, name = ""] of missing) found.fields[name] = "Has to be filled in";
  else found.rest = sentence(detail);
  return found;
}

function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** Milliseconds of `90`, `90s`, `5m`, `1h30m` or `2d`; a number alone is seconds. Null if it is none. */
export function parseSpan(text: string): number | null {
  const trimmed = text.trim().toLowerCase();
  if (/^\d+(\.\d+)?$/.test(trimmed)) return Number(trimmed) * 1000;
  if (!/^(\d+(\.\d+)?\s*(ms|s|m|h|d|w)\s*)+$/.test(trimmed)) return null;
  let ms = 0;
  for (const [, many, unit] of trimmed.matchAll(/(\d+(?:\.\d+)?)\s*(ms|[smhdw])/g)) ms += Number(many) * (UNITS[unit ?? ""] ?? 0);
  return ms;
}

const UNITS: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 };
