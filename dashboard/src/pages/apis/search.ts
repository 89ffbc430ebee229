import { text } from "@/lib/search";
import { SPANS, type Span } from "@/lib/spans";

export interface ApisSearch {
  /** The one whose routes are shown; the first unless said. */
  api?: string | undefined;
  q?: string | undefined;
  span?: Span | undefined;
}

export function validateApis(search: Record<string, unknown>): ApisSearch {
  return { api: text(search.api), q: text(search.q), span: text(search.span, SPANS) };
}
