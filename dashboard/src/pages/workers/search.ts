import { text } from "@/lib/search";

export interface WorkersSearch {
  q?: string | undefined;
}

export function validateWorkers(search: Record<string, unknown>): WorkersSearch {
  return { q: text(search.q) };
}
