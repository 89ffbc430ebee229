import { isObject, stringify } from "@/lib/json";

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
 * position and those by name, as the function's signature wants them: `pay(order, /, *rest, **more)`.
 */
export function asCall(kept: unknown, signature: string | undefined): Pick<Submission, "args" | "kwargs"> {
  if (!isObject(kept)) return { args: [], kwargs: {} };
  const kwargs: Record<string, unknown> = { ...kept };
  const args: unknown[] = [];
  const take = (name: string) => {
    const value = kwargs[name];
    delete kwargs[name];
    return value;
  };
  const parameters = parametersOf(signature ?? "");
  const spread = parameters.find((each) => /^\*[^*]/.test(each));
  const slash = parameters.indexOf("/");
  const hasSpread = spread !== undefined && nameOf(spread) in kwargs;
  // What stands before `*rest` must be given by position where there is a rest.
  const byPosition = hasSpread ? parameters.slice(0, parameters.indexOf(spread)) : parameters.slice(0, Math.max(0, slash));
  for (const each of byPosition) {
    if (each === "/") continue;
    if (!(nameOf(each) in kwargs)) break;
    args.push(take(nameOf(each)));
  }
  if (hasSpread) {
    const rest = take(nameOf(spread));
    if (Array.isArray(rest)) args.push(...rest);
  }
  const more = parameters.find((each) => each.startsWith("**"));
  if (more !== undefined && nameOf(more) in kwargs) Object.assign(kwargs, take(nameOf(more)));
  return { args, kwargs };
}

/** The parameters of `pay(order: Order, cents: int = 100)`, each as it is written. */
function parametersOf(signature: string): string[] {
  const found: string[] = [];
  let depth = 0;
  let quote = "";
  let current = "";
  for (const letter of signature.slice(signature.indexOf("(") + 1, signature.lastIndexOf(")"))) {
    if (quote) {
      if (letter === quote) quote = "";
    } else if (letter === '"' || letter === "'") quote = letter;
    else if ("([{".includes(letter)) depth += 1;
    else if (")]}".includes(letter)) depth -= 1;
    if (letter === "," && depth === 0 && !quote) {
      found.push(current.trim());
      current = "";
    } else current += letter;
  }
  return [...found, current.trim()].filter(Boolean);
}

function nameOf(parameter: string): string {
  return /^\**\s*([^\s:=]*)/.exec(parameter)?.[1] ?? "";
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
