import { text } from "@/lib/search";

export interface JobSearch {
  tab?: string | undefined;
}

export function validateJob(search: Record<string, unknown>): JobSearch {
  return { tab: text(search.tab) };
}
