import type { Schemas } from "@/api/client";
import { nameOf } from "./waterfall";

export type LogLine = Schemas["LogView"];
export type Attempt = Schemas["AttemptView"];
export const LEVELS = ["debug", "info", "warning", "error", "critical"] as const;
export type Level = (typeof LEVELS)[number];

/** Lines of at least a level, with some text in them. Levels of one's own are always shown. */
export function filtered(lines: readonly LogLine[], least: Level, text: string): readonly LogLine[] {
  const rank = LEVELS.indexOf(least);
  const wanted = text.trim().toLowerCase();
  if (rank === 0 && !wanted) return lines;
  return lines.filter((line) => {
    const level = LEVELS.indexOf(line.level.toLowerCase() as Level);
    if (level >= 0 && level < rank) return false;
    return !wanted || line.message.toLowerCase().includes(wanted) || line.logger.toLowerCase().includes(wanted);
  });
}

/** The name of the attempt that said a line: the last one of its number that had started by then. */
export function attemptOf(line: LogLine, attempts: readonly Attempt[]): string {
  const at = Date.parse(line.at);
  const alike = attempts.filter((attempt) => attempt.attempt === line.attempt);
  const said = alike.findLast((attempt) => Date.parse(attempt.claimed_at) <= at) ?? alike[0];
  return nameOf(said ?? { attempt: line.attempt, generation: 1 });
}

/** Further lines behind those there are; what comes twice is taken once. */
export function appended(lines: readonly LogLine[], more: readonly LogLine[]): readonly LogLine[] {
  const last = lines.at(-1)?.number ?? 0;
  const fresh = more.filter((line) => line.number > last);
  return fresh.length > 0 ? [...lines, ...fresh] : lines;
}

/** Lines as a file of text. */
export function asText(lines: readonly LogLine[]): string {
  return lines.map((line) => `${line.at} ${line.level.toUpperCase().padEnd(8)} ${line.logger}: ${line.message}\n`).join("");
}
