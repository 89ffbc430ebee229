/**
 * The part of an address after `?`, as people would write it: `?status=failed&status=running&q=card`.
 * A name that stands there twice has a list. What the texts mean is up to each page's `search.ts`.
 */
export function parseSearch(text: string): Record<string, string | string[]> {
  const found: Record<string, string | string[]> = {};
  for (const name of new Set(new URLSearchParams(text).keys())) {
    const values = new URLSearchParams(text).getAll(name);
    found[name] = values.length > 1 ? values : (values[0] ?? "");
  }
  return found;
}

export function stringifySearch(search: Record<string, unknown>): string {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(search)) {
    for (const each of Array.isArray(value) ? value : [value]) {
      if (each !== undefined && each !== null && each !== "" && each !== false) params.append(name, String(each));
    }
  }
  const text = params.toString();
  return text ? `?${text}` : "";
}

/** A list of texts, from one, several or none; `allowed` drops all others. */
export function texts<T extends string = string>(value: unknown, allowed?: readonly T[]): T[] | undefined {
  const list = (Array.isArray(value) ? value : [value]).filter((each): each is T => typeof each === "string" && each !== "");
  const kept = allowed ? list.filter((each) => allowed.includes(each)) : list;
  return kept.length > 0 ? kept : undefined;
}

/** One text, or nothing; `allowed` drops all others. */
export function text<T extends string = string>(value: unknown, allowed?: readonly T[]): T | undefined {
  return texts(value, allowed)?.[0];
}

/** A whole number of at least `least`, or nothing. */
export function integer(value: unknown, least = 0): number | undefined {
  const read = Number(text(value) ?? value);
  return Number.isSafeInteger(read) && read >= least && value !== "" ? read : undefined;
}
