import { Kept } from "@/lib/store";
import type { Sort } from "./search";

/**
 * What can be shown of each job, beside its status and function, in the order of the table. What has
 * no width shares what the others leave.
 */
export const COLUMNS = [
  { name: "arguments", label: "Arguments", width: "", hiddenBelow: "max-lg:hidden" },
  { name: "outcome", label: "Progress and error", width: "", hiddenBelow: "max-sm:hidden" },
  { name: "queue", label: "Queue", width: "w-24", hiddenBelow: "max-lg:hidden" },
  { name: "worker", label: "Worker", width: "w-36", hiddenBelow: "max-lg:hidden" },
  { name: "key", label: "Key", width: "w-36", hiddenBelow: "max-lg:hidden" },
  { name: "priority", label: "Priority", width: "w-20", hiddenBelow: "max-lg:hidden", numeric: true },
  { name: "attempt", label: "Attempt", width: "w-18", hiddenBelow: "max-lg:hidden", numeric: true },
  { name: "submitted", label: "Submitted", width: "w-25", hiddenBelow: "max-sm:hidden", numeric: true, sort: "submitted_at" },
  { name: "due", label: "Due", width: "w-25", hiddenBelow: "max-lg:hidden", numeric: true, sort: "run_at" },
  { name: "started", label: "Started", width: "w-25", hiddenBelow: "max-lg:hidden", numeric: true, sort: "started_at" },
  { name: "finished", label: "Finished", width: "w-25", hiddenBelow: "max-lg:hidden", numeric: true, sort: "finished_at" },
  { name: "wait", label: "Wait", width: "w-19", hiddenBelow: "max-lg:hidden", numeric: true },
  { name: "run", label: "Run", width: "w-19", hiddenBelow: "max-md:hidden", numeric: true, sort: "duration" },
] as const satisfies readonly Column[];

interface Column {
  name: string;
  label: string;
  width: string;
  hiddenBelow: string;
  numeric?: boolean;
  /** What the list is sorted by, ascending; descending has a minus in front. */
  sort?: Exclude<Sort, `-${string}`>;
}

export type ColumnName = (typeof COLUMNS)[number]["name"];

export const USUAL_COLUMNS: readonly ColumnName[] = ["arguments", "outcome", "queue", "attempt", "submitted", "wait", "run"];

/** The columns that the user has chosen, in this browser. */
export const chosenColumns = new Kept<readonly ColumnName[]>("conduit.jobs.columns", (kept) => {
  if (!Array.isArray(kept)) return USUAL_COLUMNS;
  return COLUMNS.map((column) => column.name).filter((name) => kept.includes(name));
});

/** How the list is sorted after a click on a column's head: the largest or latest first, then the other way. */
export function sortedBy(column: string, current: Sort): Sort {
  return (current === `-${column}` ? column : `-${column}`) as Sort;
}
