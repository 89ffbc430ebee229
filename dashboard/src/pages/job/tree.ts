import type { Schemas } from "@/api/client";

type Job = Schemas["JobSummary"];

/** A job of a family, as a row of an indented tree. */
export interface Branch {
  job: Job;
  depth: number;
  children: number;
}

/** A family as rows: each job below its parent, those of one parent by their submission. */
export function branches(items: readonly Job[]): Branch[] {
  const known = new Set(items.map((job) => job.id));
  const below = new Map<string | null, Job[]>();
  for (const job of items) {
    // One whose parent was deleted, or isn't shown, stands at the top.
    const parent = job.parent_id !== null && known.has(job.parent_id) && job.parent_id !== job.id ? job.parent_id : null;
    below.set(parent, [...(below.get(parent) ?? []), job]);
  }
  const rows: Branch[] = [];
  const waiting = (below.get(null) ?? []).map((job) => ({ job, depth: 0 })).reverse();
  for (let next = waiting.pop(); next; next = waiting.pop()) {
    const children = below.get(next.job.id) ?? [];
    rows.push({ ...next, children: children.length });
    const depth = next.depth + 1;
    waiting.push(...children.map((job) => ({ job, depth })).reverse());
  }
  return rows;
}
