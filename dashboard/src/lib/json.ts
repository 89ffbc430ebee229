/** A number as it was written, which JavaScript's own would change: `9007199254740993`, `1.0`. */
export class ExactNumber {
  constructor(readonly text: string) {}

  toString(): string {
    return this.text;
  }
}

const MOST_KEPT = 10_000;
const kept = new Map<string, ExactNumber>();

/** The same object for the same text, so that an answer that comes twice is known to be the same. */
function exactly(text: string): ExactNumber {
  const known = kept.get(text);
  if (known !== undefined) return known;
  if (kept.size >= MOST_KEPT) kept.clear();
  const made = new ExactNumber(text);
  kept.set(text, made);
  return made;
}

/** As JSON.parse, errors included, but numbers that it would change are `ExactNumber`s. */
export function parse(text: string): unknown {
  JSON.parse(text);
  return new Reader(text).value();
}

/** Reads what is known to be JSON. */
class Reader {
  private at = 0;

  constructor(private readonly text: string) {}

  value(): unknown {
    switch (this.next()) {
      case "{":
        return Object.fromEntries(this.members("}", () => [this.string(), this.after(":")] as const));
      case "[":
        return this.members("]", () => this.value());
      case '"':
        return this.string();
      default:
        return this.scalar();
    }
  }

  /** The first letter that is no space; the place stays before it. */
  private next(): string {
    while (" \t\n\r".includes(this.text.charAt(this.at))) this.at += 1;
    return this.text.charAt(this.at);
  }

  private after(sign: string): unknown {
    if (this.next() === sign) this.at += 1;
    return this.value();
  }

  private members<T>(end: string, read: () => T): T[] {
    const found: T[] = [];
    this.at += 1;
    while (this.next() !== end) {
      if (this.next() === ",") this.at += 1;
      this.next();
      found.push(read());
    }
    this.at += 1;
    return found;
  }

  private string(): string {
    const start = this.at;
    let end = start + 1;
    while (this.text.charAt(end) !== '"') end += this.text.charAt(end) === "\\" ? 2 : 1;
    this.at = end + 1;
    return JSON.parse(this.text.slice(start, this.at)) as string;
  }

  private scalar(): unknown {
    const start = this.at;
    while (/[\w+.-]/.test(this.text.charAt(this.at))) this.at += 1;
    const written = this.text.slice(start, this.at);
    const value: unknown = JSON.parse(written);
    return typeof value === "number" && String(value) !== written ? exactly(written) : value;
  }
}

/** As JSON.stringify for what `parse` gave: numbers come out as they were written. */
export function stringify(value: unknown, indent = 0): string {
  return written(value, indent, "\n") ?? "null";
}

function written(value: unknown, indent: number, line: string): string | undefined {
  if (value instanceof ExactNumber) return value.text;
  if (typeof value !== "object" || value === null) return JSON.stringify(value) as string | undefined;
  const inner = line + " ".repeat(indent);
  const enclosed = (first: string, parts: string[], last: string) => {
    if (parts.length === 0) return first + last;
    return indent === 0 ? first + parts.join(",") + last : first + inner + parts.join(`,${inner}`) + line + last;
  };
  if (Array.isArray(value)) return enclosed("[", value.map((each) => written(each, indent, inner) ?? "null"), "]");
  const members = Object.entries(value).flatMap(([name, member]) => {
    const text = written(member, indent, inner);
    return text === undefined ? [] : [`${JSON.stringify(name)}:${indent === 0 ? "" : " "}${text}`];
  });
  return enclosed("{", members, "}");
}

/** Whether what `parse` gave is an object, neither a list nor a number. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof ExactNumber);
}

/** The same with JavaScript's numbers, for what is counted with. */
export function plain(value: unknown): unknown {
  if (value instanceof ExactNumber) return Number(value.text);
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(plain);
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, plain(member)]));
}
