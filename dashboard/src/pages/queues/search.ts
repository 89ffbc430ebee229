import { text } from "@/lib/search";
import { SPANS, type Span } from "@/lib/spans";

export interface QueuesSearch {
  q?: string | undefined;
  span?: Span | undefined;
}

export function validateQueues(search: Record<string, unknown>): QueuesSearch {
  return { q: text(search.q), span: text(search.span, SPANS) };
}
