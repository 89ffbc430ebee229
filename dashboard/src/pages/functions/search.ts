import { text } from "@/lib/search";

export interface FunctionsSearch {
  q?: string | undefined;
}

export function validateFunctions(search: Record<string, unknown>): FunctionsSearch {
  return { q: text(search.q) };
}

export interface FunctionSearch {
  tab?: string | undefined;
}

export function validateFunction(search: Record<string, unknown>): FunctionSearch {
  return { tab: text(search.tab) };
}
