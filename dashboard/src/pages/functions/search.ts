import { text } from "@/lib/search";
import { SPANS, type Span } from "@/lib/spans";

/** What the list can be sorted by; a minus is for the largest first. */
export const SORTS = ["name", "-name", "total", "-total", "failed", "-failed", "wait", "-wait", "run", "-run"] as const;
export type FunctionSort = (typeof SORTS)[number];

export interface FunctionsSearch {
  q?: string | undefined;
  queue?: string | undefined;
  sort?: FunctionSort | undefined;
  span?: Span | undefined;
}

export function validateFunctions(search: Record<string, unknown>): FunctionsSearch {
  return { q: text(search.q), queue: text(search.queue), sort: text(search.sort, SORTS), span: text(search.span, SPANS) };
}

export interface FunctionSearch {
  span?: Span | undefined;
  /** Whether the form to run it is open. */
  run?: "now" | undefined;
}

export function validateFunction(search: Record<string, unknown>): FunctionSearch {
  return { span: text(search.span, SPANS), run: text(search.run, ["now"] as const) };
}
