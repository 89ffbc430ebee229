import { useEffect, useMemo, useRef, useState } from "react";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { ArrowUp, Columns3 } from "lucide-react";
import { Button } from "@/components/Button";
import { Menu, MenuCheck, MenuItem, MenuLine } from "@/components/Menu";
import { PageHeader } from "@/components/Panel";
import { ErrorState } from "@/components/States";
import { useRowKeys } from "@/keyboard/useRowKeys";
import { useShortcuts } from "@/keyboard/shortcuts";
import { now } from "@/lib/clock";
import { useStore } from "@/lib/store";
import { BulkBar } from "./BulkBar";
import { Filters } from "./Filters";
import { JobsTable } from "./JobsTable";
import { NoJobs, NoneMatch } from "./Nothing";
import { Paging } from "./Paging";
import { StatusChips } from "./StatusChips";
import { Views } from "./Views";
import { chosenColumns, COLUMNS, USUAL_COLUMNS, type ColumnName } from "./columns";
import { isFiltered, questionOf, USUAL_LIMIT, USUAL_SORT, type JobsSearch } from "./search";
import { isWholePage, NONE, pageToggled, ranged, toggled, type Selection } from "./selection";
import { useSteadyJobs } from "./useSteadyJobs";

export default function Jobs() {
  const search = useSearch({ from: "/layout/jobs" });
  const navigate = useNavigate();
  const { sort = USUAL_SORT, limit = USUAL_LIMIT, page = 1 } = search;
  // Spans are counted from when the list was asked for, so that its question stays the same.
  const asOf = useMemo(now, [JSON.stringify(search)]);
  const question = useMemo(() => questionOf(search, asOf), [asOf]);
  const { list, rows, fresh, heard, isChanging, showLatest, refetch } = useSteadyJobs(question);
  const { data } = list;
  const columns = useStore(chosenColumns);
  const ids = useMemo(() => rows.map((job) => job.id), [rows]);

  const go = (changes: JobsSearch, replace = false) => void navigate({ to: "/jobs", search: { ...search, page: undefined, cursor: undefined, ...changes }, replace, resetScroll: false });
  const cursors = usePlaces(search, data?.next_cursor);
  const toPage = (wanted: number) => {
    go({ page: wanted > 1 ? wanted : undefined, cursor: wanted > 1 ? cursors.get(wanted) : undefined });
    window.scrollTo({ top: 0 });
  };
  const hasNext = Boolean(data?.next_cursor) && !isChanging;

  const { selection, setSelection, select } = useSelection(search, ids);
  const { marked, mark } = useRowKeys({
    count: rows.length,
    onOpen: (index) => void navigate({ to: "/jobs/$id", params: { id: ids[index] ?? "" } }),
    onSelect: (index) => select(ids[index] ?? "", false),
  });
  useEffect(() => mark(-1), [asOf]);
  useShortcuts([
    { keys: "]", label: "Next page", group: "Jobs", run: () => hasNext && toPage(page + 1) },
    { keys: "[", label: "Previous page", group: "Jobs", run: () => page > 1 && toPage(page - 1) },
    { keys: "n", label: "Show new jobs", group: "Jobs", run: showLatest },
    { keys: "a", label: "Select all on the page", group: "Jobs", run: () => setSelection(pageToggled(selection, ids)) },
  ]);
  const clear = () => void navigate({ to: "/jobs", search: { sort: search.sort, limit: search.limit } });

  if (list.isError && !data) {
    return (
      <>
        <PageHeader title="Jobs" actions={<Views search={search} onOpen={(opened) => void navigate({ to: "/jobs", search: opened })} />} />
        <ErrorState error={list.error} onRetry={() => (search.cursor ? toPage(1) : void list.refetch())} />
      </>
    );
  }
  const isEmpty = data !== undefined && !isChanging && rows.length === 0;
  return (
    <>
      <PageHeader
        title="Jobs"
        actions={
          <>
            <Views search={search} onOpen={(opened) => void navigate({ to: "/jobs", search: { ...opened, limit: search.limit } })} />
            <ColumnMenu chosen={columns} />
          </>
        }
      />
      <StatusChips chosen={search.status ?? []} counts={data?.statuses} onChange={(status) => go({ status: status.length > 0 ? status : undefined })} />
      <Filters search={search} onChange={(changes) => go(changes, "q" in changes && search.q !== undefined)} />
      <div className="relative">
        {page === 1 && fresh > 0 && (
          // In the head of the table, where the column of the functions leaves room: it covers nothing and moves nothing.
          <div role="status" className="pointer-events-none sticky top-13 z-20 -mb-8 flex h-8 justify-end pr-4 sm:justify-start sm:pl-56">
            <Button kind="primary" size="small" icon={ArrowUp} className="animate-appear pointer-events-auto mt-1 h-6 rounded-full" onClick={showLatest}>
              {fresh >= limit ? `${limit}+ new` : `${fresh} new`}
            </Button>
          </div>
        )}
        {isEmpty ? (
          <div className="rounded-lg border border-line bg-surface">{isFiltered(search) ? <NoneMatch onClear={clear} /> : <NoJobs />}</div>
        ) : (
          <JobsTable
            rows={rows}
            heard={heard}
            columns={columns}
            sort={sort}
            onSort={(next) => go({ sort: next === USUAL_SORT ? undefined : next })}
            selection={selection}
            onSelect={select}
            onSelectPage={() => setSelection(pageToggled(selection, ids))}
            marked={marked}
            onMark={mark}
            dimmed={isChanging}
            loading={data ? 0 : 20}
          />
        )}
      </div>
      <BulkBar
        selection={selection}
        search={search}
        asOf={asOf}
        total={data?.total ?? 0}
        counts={data?.statuses ?? {}}
        wholePage={isWholePage(selection, ids)}
        onAll={() => setSelection({ all: true })}
        onClear={() => setSelection(NONE)}
        onDone={() => void refetch()}
      />
      <Paging
        page={page}
        limit={limit}
        rows={rows.length}
        total={data?.total ?? 0}
        hasNext={hasNext}
        onFirst={() => toPage(1)}
        onPrevious={() => toPage(page - 1)}
        onNext={() => toPage(page + 1)}
        onLimit={(next) => go({ limit: next === USUAL_LIMIT ? undefined : next })}
      />
    </>
  );
}

/** The cursors of the pages that were seen, by number: the way back is as exact as the way forward. */
function usePlaces(search: JobsSearch, next: string | null | undefined): ReadonlyMap<number, string> {
  const { page = 1, cursor, ...list } = search;
  const name = JSON.stringify(list);
  const places = useRef({ name, cursors: new Map<number, string>() });
  if (places.current.name !== name) places.current = { name, cursors: new Map() };
  if (cursor) places.current.cursors.set(page, cursor);
  if (next) places.current.cursors.set(page + 1, next);
  return places.current.cursors;
}

function useSelection(search: JobsSearch, ids: readonly string[]) {
  const [selection, setSelection] = useState<Selection>(NONE);
  const last = useRef<string | null>(null);
  // What was selected under other filters isn't seen any more, so it must not be acted on.
  const { page: _, cursor: __, sort: ___, limit: ____, ...filters } = search;
  const name = JSON.stringify(filters);
  const [selectedUnder, setSelectedUnder] = useState(name);
  if (selectedUnder !== name) {
    setSelectedUnder(name);
    setSelection(NONE);
  }
  const select = (id: string, range: boolean) => {
    setSelection((before) => (range ? ranged(before, ids, last.current, id) : toggled(before, id)));
    last.current = id;
  };
  return { selection, setSelection, select };
}

function ColumnMenu({ chosen }: { chosen: readonly ColumnName[] }) {
  const change = (name: ColumnName, shown: boolean) =>
    chosenColumns.keep(COLUMNS.map((column) => column.name).filter((each) => (each === name ? shown : chosen.includes(each))));
  return (
    <Menu trigger={<Button icon={Columns3} className="max-sm:hidden">Columns</Button>}>
      {COLUMNS.map(({ name, label }) => (
        <MenuCheck key={name} checked={chosen.includes(name)} onChange={(shown) => change(name, shown)}>{label}</MenuCheck>
      ))}
      <MenuLine />
      <MenuItem onSelect={() => chosenColumns.keep(USUAL_COLUMNS)}>As at first</MenuItem>
    </Menu>
  );
}
