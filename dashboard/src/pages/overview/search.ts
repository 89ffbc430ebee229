import { text } from "@/lib/search";

export const SPANS = ["15m", "1h", "24h", "7d"] as const;
export type Span = (typeof SPANS)[number];

export interface OverviewSearch {
  span?: Span | undefined;
}

export function validateOverview(search: Record<string, unknown>): OverviewSearch {
  return { span: text(search.span, SPANS) };
}
