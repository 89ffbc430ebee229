import { integer, text } from "@/lib/search";

export interface DeadLettersSearch {
  show?: "all" | undefined;
  /** Those older than this letter. */
  before?: number | undefined;
}

export function validateDeadLetters(search: Record<string, unknown>): DeadLettersSearch {
  return { show: text(search.show, ["all"] as const), before: integer(search.before, 1) };
}
