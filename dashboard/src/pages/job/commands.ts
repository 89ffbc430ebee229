import type { Schemas } from "@/api/client";
import { isObject, stringify } from "@/lib/json";

type Parameter = Pick<Schemas["ParameterView"], "name" | "kind">;

/** A job's contents as they are submitted again. */
export interface Submission {
  function: string;
  args: unknown[];
  kwargs: Record<string, unknown>;
  queue: string;
  priority: number;
  key: string | null;
}

/**
 * A job keeps its arguments by parameter name; some can't be given so. This sorts them into those by
 * position and those by name, as the function's parameters want them: `pay(order, /, *rest, **more)`.
 */
export function asCall(kept: unknown, parameters: readonly Parameter[] = []): Pick<Submission, "args" | "kwargs"> {
  if (!isObject(kept)) return { args: [], kwargs: {} };
  const kwargs: Record<string, unknown> = { ...kept };
  const args: unknown[] = [];
  const take = (name: string) => {
    const value = kwargs[name];
    delete kwargs[name];
    return value;
  };
  const rest = parameters.find(({ kind }) => kind === "var_positional");
  const more = parameters.find(({ kind }) => kind === "var_keyword");
  const hasRest = rest !== undefined && rest.name in kwargs;
  for (const { name, kind } of parameters) {
    // What stands before `*rest` must be given by position where there is a rest.
    if (kind !== "positional_only" && !(hasRest && kind === "positional_or_keyword")) break;
    if (!(name in kwargs)) break;
    args.push(take(name));
  }
  if (hasRest) {
    const values = take(rest.name);
    if (Array.isArray(values)) args.push(...values);
  }
  if (more !== undefined && more.name in kwargs) Object.assign(kwargs, take(more.name));
  return { args, kwargs };
}

/** As one word of a POSIX shell, whatever is in it. */
export function quoted(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

/** `conduit submit …` */
export function asCli({ function: name, args, kwargs, queue, priority, key }: Submission): string {
  const words = ["conduit submit", name.startsWith("-") ? `-- ${quoted(name)}` : quoted(name)];
  if (args.length > 0) words.push(`--args ${quoted(stringify(args))}`);
  if (Object.keys(kwargs).length > 0) words.push(`--kwargs ${quoted(stringify(kwargs))}`);
  words.push(`--queue ${quoted(queue)}`);
  if (priority !== 0) words.push(`--priority ${priority}`);
  if (key !== null) words.push(`--key ${quoted(key)}`);
  return words.join(" ");
}

/** The same over HTTP. Keys are never part of it: it names the variable that has one. */
export function asCurl(submission: Submission, origin: string, withKey: boolean): string {
  const lines = [
    `curl --fail-with-body ${quoted(`${origin}/api/v1/jobs`)}`,
    ...(withKey ? [`--header "Authorization: Bearer $CONDUIT_API_KEY"`] : []),
    `--header 'Content-Type: application/json'`,
    `--data ${quoted(stringify(bodyOf(submission)))}`,
  ];
  return lines.join(" \\\n  ");
}

/** What is sent to submit it. */
export function bodyOf({ function: name, args, kwargs, queue, priority, key }: Submission) {
  return {
    function: name,
    ...(args.length > 0 ? { args } : {}),
    ...(Object.keys(kwargs).length > 0 ? { kwargs } : {}),
    queue,
    ...(priority !== 0 ? { priority } : {}),
    ...(key !== null ? { key } : {}),
  };
}
