import type { Tone } from "@/components/Badge";

/** One class of answers, or one status. */
export interface Share {
  name: string;
  many: number;
  share: number;
  tone: Tone;
}

const TONES: Record<string, Tone> = { "2": "green", "3": "blue", "4": "amber", "5": "red" };

/** By status or class, lowest first, with the share of each. */
export function sharesOf(statuses: Readonly<Record<string, number>>): Share[] {
  const total = Object.values(statuses).reduce((sum, each) => sum + each, 0);
  return Object.entries(statuses)
    .filter(([, many]) => many > 0)
    .sort(([one], [other]) => one.localeCompare(other))
    .map(([name, many]) => ({ name, many, share: many / total, tone: TONES[name[0] ?? ""] ?? "gray" }));
}
