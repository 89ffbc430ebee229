import type { Schemas } from "@/api/client";

export interface FailingGroup {
  function: string;
  /** The error's type, or the reason where there is no error. */
  type: string;
  message: string;
  /** How many of the jobs looked at. */
  many: number;
  last: Schemas["JobSummary"];
}

/** Failed jobs, newest first, by what they died of. */
export function groupFailures(jobs: readonly Schemas["JobSummary"][]): FailingGroup[] {
  const groups = new Map<string, FailingGroup>();
  for (const job of jobs) {
    const type = job.error?.type ?? job.reason ?? "failed";
    const key = `${job.function}\n${type}`;
    const group = groups.get(key);
    if (group) group.many += 1;
    else groups.set(key, { function: job.function, type, message: job.error?.message ?? "", many: 1, last: job });
  }
  return [...groups.values()];
}
