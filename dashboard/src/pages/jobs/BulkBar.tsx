import { useState } from "react";
import { Ban, RotateCcw, Trash2, X } from "lucide-react";
import { api, call, type JobStatus } from "@/api/client";
import { useRefusal } from "@/api/role";
import { Button, IconButton } from "@/components/Button";
import { ConfirmDialog } from "@/components/Dialog";
import { toast } from "@/components/Toaster";
import { count, number } from "@/lib/format";
import { ACTS, allowing, inParts, summed, told, type Act, type Outcome } from "./bulk";
import { bulkFilterOf, isFiltered, type JobsSearch } from "./search";
import type { Selection } from "./selection";

interface Props {
  selection: Selection;
  search: JobsSearch;
  /** The time from which the list's spans were counted. */
  asOf: number;
  total: number;
  counts: Partial<Record<JobStatus, number>>;
  /** Whether all rows of the page are selected, so that it is worth asking for those of all pages. */
  wholePage: boolean;
  onAll: () => void;
  onClear: () => void;
  /** Something was done: what is shown may be old. */
  onDone: () => void;
}

/** What can be done with the selected jobs; it floats, so that nothing moves when it comes. */
export function BulkBar({ selection, search, asOf, total, counts, wholePage, onAll, onClear, onDone }: Props) {
  const [asking, setAsking] = useState<Act | null>(null);
  const mayNotAct = useRefusal("operate");
  const mayNotDelete = useRefusal("admin");
  const selected = selection.all ? total : selection.ids.size;
  if (selected === 0) return null;
  const act = async (action: Act) => {
    const outcome = selection.all ? await onAllThatMatch(action, search, asOf) : await onThese(action, [...selection.ids]);
    toast(told(action, outcome));
    onClear();
    onDone();
  };
  const asked = asking && ACTS[asking];
  const able = asking && selection.all ? allowing(asking, counts, search.status) : selected;
  return (
    <>
      <div role="region" aria-label="Selected jobs" className="sticky bottom-4 z-10 mx-auto mt-4 flex w-fit max-w-full flex-wrap items-center gap-1.5 rounded-xl border border-line-strong/60 bg-raised p-2 pl-3 shadow-float">
        <span role="status" className="font-medium">
          {selection.all ? `All ${number(total)} selected` : `${number(selected)} selected`}
        </span>
        {!selection.all && wholePage && total > selected && (
          <Button kind="quiet" size="small" className="text-accent" onClick={onAll}>Select all {number(total)} that match</Button>
        )}
        <span className="mx-1 h-5 w-px bg-line max-sm:hidden" aria-hidden />
        <Button size="small" icon={RotateCcw} refused={mayNotAct} onClick={() => setAsking("retry")}>Retry</Button>
        <Button size="small" icon={Ban} refused={mayNotAct} onClick={() => setAsking("cancel")}>Cancel</Button>
        <Button size="small" icon={Trash2} kind="danger" refused={mayNotDelete} onClick={() => setAsking("delete")}>Delete</Button>
        <IconButton label="Clear the selection" icon={X} className="size-7" onClick={onClear} />
      </div>
      {asking && asked && (
        <ConfirmDialog
          open
          onOpenChange={() => setAsking(null)}
          title={`${asked.verb} ${count(able, "job")}?`}
          description={asked.rule}
          confirm={`${asked.verb} ${count(able, "job")}`}
          danger={asking !== "retry"}
          onConfirm={() => act(asking)}
        >
          {selection.all && (
            <p>
              {number(able)} of the {count(total, "job")} that {total === 1 ? "matches" : "match"} {isFiltered(search) ? "the filters" : "(no filter is set)"} {able === 1 ? "allows" : "allow"} it now.
            </p>
          )}
        </ConfirmDialog>
      )}
    </>
  );
}

function onAllThatMatch(action: Act, search: JobsSearch, asOf: number): Promise<Outcome> {
  const which = isFiltered(search) ? { filter: bulkFilterOf(search, asOf), all: false } : { filter: null, all: true };
  return call(api.POST("/api/v1/jobs/bulk", { body: { action, ids: null, ...which } }));
}

async function onThese(action: Act, ids: readonly string[]): Promise<Outcome> {
  const outcomes: Outcome[] = [];
  for (const part of inParts(ids)) {
    outcomes.push(await call(api.POST("/api/v1/jobs/bulk", { body: { action, ids: part, filter: null, all: false } })));
  }
  return summed(outcomes);
}
