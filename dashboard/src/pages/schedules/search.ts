import { text } from "@/lib/search";

export interface SchedulesSearch {
  q?: string | undefined;
}

export function validateSchedules(search: Record<string, unknown>): SchedulesSearch {
  return { q: text(search.q) };
}
