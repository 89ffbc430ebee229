import type { JobStatus, Schemas } from "@/api/client";
import { STATUS_NAMES } from "@/components/Badge";
import { integer, text, texts } from "@/lib/search";

/** The filters of the list, as they stand in the address. Times are ISO 8601, or spans: `24h`, `7d`. */
export interface JobsFilter {
  q?: string | undefined;
  status?: JobStatus[] | undefined;
  function?: string[] | undefined;
  queue?: string[] | undefined;
  worker_id?: string[] | undefined;
  key?: string | undefined;
  parent_id?: string | undefined;
  root_id?: string | undefined;
  submitted_after?: string | undefined;
  submitted_before?: string | undefined;
}

/** The filters, and which part of the list is shown. */
export interface JobsSearch extends JobsFilter {
  sort?: Sort | undefined;
  limit?: number | undefined;
  page?: number | undefined;
  cursor?: string | undefined;
}

export type Sort = "-submitted_at" | "submitted_at" | "-run_at" | "run_at" | "-started_at" | "started_at" | "-finished_at" | "finished_at" | "-duration" | "duration";

const SORTS: readonly Sort[] = ["-submitted_at", "submitted_at", "-run_at", "run_at", "-started_at", "started_at", "-finished_at", "finished_at", "-duration", "duration"];
export const USUAL_SORT: Sort = "-submitted_at";
export const LIMITS = [50, 100, 500] as const;
export const USUAL_LIMIT = 50;

export function validateJobs(search: Record<string, unknown>): JobsSearch {
  const limit = integer(search.limit, 1);
  return {
    ...filterOf({
      q: text(search.q),
      status: texts(search.status, STATUS_NAMES),
      function: texts(search.function),
      queue: texts(search.queue),
      worker_id: texts(search.worker_id),
      key: text(search.key),
      parent_id: text(search.parent_id),
      root_id: text(search.root_id),
      submitted_after: moment(search.submitted_after),
      submitted_before: moment(search.submitted_before),
    }),
    sort: text(search.sort, SORTS),
    limit: LIMITS.find((each) => each === limit),
    page: integer(search.page, 2),
    cursor: text(search.cursor),
  };
}

const FILTERS = ["q", "status", "function", "queue", "worker_id", "key", "parent_id", "root_id", "submitted_after", "submitted_before"] as const;

/** The filters alone. */
export function filterOf(search: JobsSearch): JobsFilter {
  return Object.fromEntries(FILTERS.map((name) => [name, search[name]]));
}

/** Whether anything is filtered by. */
export function isFiltered(search: JobsSearch): boolean {
  return FILTERS.some((name) => search[name] !== undefined);
}

/** Whether two searches show the same list, pages aside. */
export function isSameList(one: JobsSearch, other: JobsSearch): boolean {
  const list = (search: JobsSearch) => JSON.stringify([...FILTERS.map((name) => search[name] ?? null), search.sort ?? USUAL_SORT]);
  return list(one) === list(other);
}

/** What is asked of the server. Spans are counted from `now`, in whole minutes, so that the question stays the same for a while. */
export function questionOf(search: JobsSearch, now: number): JobsQuestion {
  const { sort = USUAL_SORT, limit = USUAL_LIMIT, page = 1, cursor } = search;
  const place = page > 1 ? (cursor ? { cursor } : { offset: (page - 1) * limit }) : {};
  return { ...atMoments(filterOf(search), now), sort, limit, by_status: true, ...place };
}

export type JobsQuestion = JobsFilter & { sort: Sort; limit: number; by_status: boolean; offset?: number; cursor?: string };

/** The filter of a bulk action: the same jobs as those of the list. */
export function bulkFilterOf(search: JobsSearch, now: number): Schemas["BulkFilter"] {
  const { q, key, parent_id, root_id, submitted_after, submitted_before, ...lists } = atMoments(filterOf(search), now);
  const single = { q, key, parent_id, root_id, submitted_after, submitted_before };
  const given = Object.fromEntries(Object.entries(single).map(([name, value]) => [name, value ?? null])) as {
    [name in keyof typeof single]: string | null;
  };
  return { ...lists, ...given };
}

function atMoments(filter: JobsFilter, now: number): JobsFilter {
  const minute = Math.floor(now / 60_000) * 60_000;
  return { ...filter, submitted_after: asIso(filter.submitted_after, minute), submitted_before: asIso(filter.submitted_before, minute) };
}

const UNITS: Record<string, number> = { m: 60_000, h: 3_600_000, d: 86_400_000 };
const SPAN = /^(\d{1,5})([mhd])$/;

function moment(value: unknown): string | undefined {
  const read = text(value);
  if (read === undefined || SPAN.test(read)) return read;
  // Date.parse takes much else for a time: "-5" for one in 2001.
  return /^\d{4}-\d\d/.test(read) && Date.parse(read) >= 0 ? read : undefined;
}

/** A time, or how long ago, as a time. */
export function asIso(value: string | undefined, now: number): string | undefined {
  if (value === undefined) return undefined;
  const span = SPAN.exec(value);
  if (span) return new Date(Math.max(0, now - Number(span[1]) * (UNITS[span[2] ?? ""] ?? 0))).toISOString();
  return new Date(Date.parse(value)).toISOString();
}
