/** A parameter of a Python function, as its signature is written. */
export interface Parameter {
  name: string;
  /** `position`: it can't be named; `rest` is `*args`, `extra` is `**kwargs`. */
  kind: "position" | "plain" | "keyword" | "rest" | "extra";
  /** As written: `int | None`; empty where there is none. */
  annotation: string;
  /** As written: `'standard'`; undefined where it must be given. */
  preset: string | undefined;
}

/**
 * The parameters of `charge(order: Order, cents: int = 100) -> str`; null if it can't be read.
 */
export function parseSignature(signature: string): Parameter[] | null {
  const open = signature.indexOf("(");
  const close = open < 0 ? -1 : endOf(signature, open);
  if (close < 0) return null;
  const parameters: Parameter[] = [];
  let keywordOnly = false;
  for (const part of split(signature.slice(open + 1, close), ",")) {
    const text = part.trim();
    if (!text) continue;
    if (text === "/") {
      for (const each of parameters) each.kind = "position";
    } else if (text === "*") {
      keywordOnly = true;
    } else {
      const parameter = parse(text, keywordOnly);
      if (!parameter) return null;
      keywordOnly ||= parameter.kind === "rest";
      parameters.push(parameter);
    }
  }
  return parameters;
}

function parse(text: string, keywordOnly: boolean): Parameter | null {
  const [declared = "", ...presets] = split(text, "=");
  const [name = "", ...annotations] = split(declared, ":");
  const found = /^(\*{0,2})\s*([\p{L}_][\p{L}\p{N}_]*)$/u.exec(name.trim());
  if (!found?.[2]) return null;
  const kind = found[1] === "**" ? "extra" : found[1] === "*" ? "rest" : keywordOnly ? "keyword" : "plain";
  return {
    name: found[2],
    kind,
    annotation: annotations.join(":").trim(),
    preset: presets.length > 0 ? presets.join("=").trim() : undefined,
  };
}

const CLOSING: Record<string, string> = { "(": ")", "[": "]", "{": "}", "<": ">" };

/** Where the bracket at `start` ends; -1 if it doesn't. */
function endOf(text: string, start: number): number {
  const awaited: string[] = [];
  for (let at = start; at < text.length; at += 1) {
    const each = text[at] ?? "";
    if (each === '"' || each === "'") {
      at = endOfString(text, at);
      if (at < 0) return -1;
    } else if (CLOSING[each]) {
      awaited.push(CLOSING[each]);
    } else if (each === awaited.at(-1)) {
      awaited.pop();
      if (awaited.length === 0) return at;
    }
  }
  return -1;
}

function endOfString(text: string, start: number): number {
  for (let at = start + 1; at < text.length; at += 1) {
    if (text[at] === "\\") at += 1;
    else if (text[at] === text[start]) return at;
  }
  return -1;
}

/** The parts between separators that stand in no bracket and no string. */
function split(text: string, separator: string): string[] {
  const parts: string[] = [];
  let from = 0;
  for (let at = 0; at < text.length; at += 1) {
    const each = text[at] ?? "";
    const end = each === '"' || each === "'" ? endOfString(text, at) : CLOSING[each] ? endOf(text, at) : at;
    if (end < 0) break;
    if (end === at && each === separator) {
      parts.push(text.slice(from, at));
      from = at + 1;
    }
    at = end;
  }
  parts.push(text.slice(from));
  return parts;
}
