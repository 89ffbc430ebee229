import { Kept } from "@/lib/store";
import { filterOf, isSameList, USUAL_SORT, validateJobs, type JobsSearch } from "./search";

/** A named list: its filters and how it is sorted. */
export interface View {
  name: string;
  search: JobsSearch;
}

/** Those that everybody has. */
export const BUILT_IN: readonly View[] = [
  { name: "All jobs", search: {} },
  { name: "Failing now", search: { status: ["failed"], submitted_after: "24h", sort: "-finished_at" } },
  { name: "Running", search: { status: ["running"], sort: "started_at" } },
  { name: "Waiting", search: { status: ["queued"], sort: "run_at" } },
  { name: "Scheduled", search: { status: ["scheduled"], sort: "run_at" } },
  { name: "Slowest of 24 hours", search: { submitted_after: "24h", sort: "-duration" } },
];

export const MOST_VIEWS = 50;

/** The views that the user has saved, in this browser. */
export class SavedViews extends Kept<readonly View[]> {
  constructor() {
    super("conduit.jobs.views", (kept) => (Array.isArray(kept) ? kept.flatMap(asView).slice(0, MOST_VIEWS) : []));
  }

  /** Keep a list under a name; one of the same name is replaced. */
  save(name: string, search: JobsSearch): void {
    const { sort } = search;
    const view = { name, search: { ...filterOf(search), ...(sort && sort !== USUAL_SORT ? { sort } : {}) } };
    const others = this.get().filter((each) => each.name !== name);
    this.keep([...others, view].slice(-MOST_VIEWS));
  }

  rename(from: string, to: string): void {
    const others = this.get().filter((each) => each.name === from || each.name !== to);
    this.keep(others.map((each) => (each.name === from ? { ...each, name: to } : each)));
  }

  remove(name: string): void {
    this.keep(this.get().filter((each) => each.name !== name));
  }
}

export const savedViews = new SavedViews();

/** What was kept may be of another version, so it is read as an address is: what isn't known is dropped. */
function asView(kept: unknown): View[] {
  if (typeof kept !== "object" || kept === null) return [];
  const { name, search } = kept as Partial<Record<keyof View, unknown>>;
  if (typeof name !== "string" || !name.trim() || typeof search !== "object" || search === null) return [];
  return [{ name, search: validateJobs(search as Record<string, unknown>) }];
}

/** The view that a search shows, pages aside. */
export function viewOf(search: JobsSearch, saved: readonly View[]): View | undefined {
  return [...saved, ...BUILT_IN].find((view) => isSameList(view.search, search));
}

/** What is wrong with a new name. */
export function nameFault(name: string, taken: readonly string[]): string | undefined {
  if (!name.trim()) return "Give it a name";
  if (name.trim().length > 60) return "At most 60 characters";
  if (BUILT_IN.some((view) => view.name === name.trim())) return "A built-in view has this name";
  return taken.includes(name.trim()) ? "Another view has this name" : undefined;
}
