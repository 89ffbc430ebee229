import { text } from "@/lib/search";
import { SPANS, type Span } from "@/lib/spans";

export interface OverviewSearch {
  span?: Span | undefined;
}

export function validateOverview(search: Record<string, unknown>): OverviewSearch {
  return { span: text(search.span, SPANS) };
}
