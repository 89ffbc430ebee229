import type { Schemas } from "@/api/client";
import type { FunctionSort } from "./search";

/** A row of the list: a function, and what it did. */
export interface FunctionRow {
  name: string;
  /** Undefined where no worker has it any more: there is only what it did; see `isRegistered` too. */
  info: Schemas["FunctionView"] | undefined;
  ended: Schemas["EndedView"] | undefined;
}

/** Whether a worker has it: one that is paused is listed also where none has it any more. */
export function isRegistered(info: Schemas["FunctionView"] | undefined): boolean {
  return info !== undefined && info.worker !== "";
}

/** Functions that workers have, and those that ran meanwhile but that none has any more. */
export function rowsOf(functions: readonly Schemas["FunctionView"][], stats: Schemas["StatsView"] | undefined): FunctionRow[] {
  const known = new Set(functions.map(({ name }) => name));
  const gone = Object.keys(stats?.functions ?? {}).filter((name) => !known.has(name));
  return [
    ...functions.map((info) => ({ name: info.name, info, ended: stats?.functions[info.name] })),
    ...gone.map((name) => ({ name, info: undefined, ended: stats?.functions[name] })),
  ];
}

/** Those with this text in their name, signature or documentation; each word must be there. */
export function matching(rows: readonly FunctionRow[], q: string | undefined, queue: string | undefined): FunctionRow[] {
  const words = (q ?? "").toLowerCase().split(/\s+/).filter(Boolean);
  return rows.filter(({ name, info }) => {
    const text = [name, info?.signature, info?.doc, info?.event].join(" ").toLowerCase();
    return words.every((word) => text.includes(word)) && (queue === undefined || info?.queue === queue);
  });
}

const VALUES: Record<string, (row: FunctionRow) => number | null | undefined> = {
  total: ({ ended }) => ended?.total,
  failed: ({ ended }) => ended?.failed,
  wait: ({ ended }) => ended?.wait_ms.p95,
  run: ({ ended }) => ended?.run_ms.p95,
};

/** In the order that was chosen; those without a value come last, either way. */
export function sorted(rows: readonly FunctionRow[], sort: FunctionSort): FunctionRow[] {
  const descending = sort.startsWith("-");
  const of = VALUES[sort.replace("-", "")];
  const byName = (one: FunctionRow, other: FunctionRow) => one.name.localeCompare(other.name);
  if (!of) return [...rows].sort((one, other) => (descending ? byName(other, one) : byName(one, other)));
  return [...rows].sort((one, other) => {
    const [left, right] = [of(one) ?? null, of(other) ?? null];
    if (left === null || right === null) return left === right ? byName(one, other) : left === null ? 1 : -1;
    return (descending ? right - left : left - right) || byName(one, other);
  });
}
