import { text } from "@/lib/search";

export interface EventsSearch {
  q?: string | undefined;
  /** The event that the form is about. */
  name?: string | undefined;
}

export function validateEvents(search: Record<string, unknown>): EventsSearch {
  return { q: text(search.q), name: text(search.name) };
}
