import { memo, useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState, type MouseEvent } from "react";
import { Link, useNavigate } from "@tanstack/react-router";
import { useWindowVirtualizer } from "@tanstack/react-virtual";
import type { Schemas } from "@/api/client";
import { StatusBadge, isHeld } from "@/components/Badge";
import { HeadCell } from "@/components/Table";
import { Time } from "@/components/Time";
import type { Change } from "@/live/rules";
import { cx } from "@/lib/cx";
import { shortId } from "@/lib/format";
import { JobCell, OutcomeOrArguments } from "./JobCells";
import { COLUMNS, sortedBy, type ColumnName } from "./columns";
import type { Sort } from "./search";
import { isSelected, isWholePage, type Selection } from "./selection";
import { isDeleted } from "./steady";

type Job = Schemas["JobSummary"];

/** Up to so many rows are all drawn, so that the browser's own search finds them. */
const FEW = 100;
const ROW = 33;
const PHONE_ROW = 62;

interface Props {
  rows: readonly Job[];
  heard: ReadonlyMap<string, Change>;
  columns: readonly ColumnName[];
  sort: Sort;
  onSort: (sort: Sort) => void;
  selection: Selection;
  onSelect: (id: string, range: boolean) => void;
  onSelectPage: () => void;
  marked: number;
  onMark: (index: number) => void;
  /** Rows of another question are still shown. */
  dimmed: boolean;
  /** So many rows in their places, while nothing is known. */
  loading: number;
}

export function JobsTable({ rows, heard, columns, sort, onSort, selection, onSelect, onSelectPage, marked, onMark, dimmed, loading }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const [top, setTop] = useState(0);
  const isPhone = useIsPhone();
  useLayoutEffect(() => setTop((box.current?.offsetTop ?? 0) + 32), []);
  const virtualizer = useWindowVirtualizer({
    count: rows.length,
    estimateSize: () => (isPhone ? PHONE_ROW : ROW),
    overscan: rows.length <= FEW ? FEW : 20,
    scrollMargin: top,
    // Rows are cheap to leave out for a frame, and dear to draw in the midst of a scroll event.
    useFlushSync: false,
  });
  useEffect(() => virtualizer.measure(), [isPhone]);
  const isLong = rows.length > FEW;
  const drawn = isLong ? virtualizer.getVirtualItems().map((each) => each.index) : rows.map((_, index) => index);
  const size = isPhone ? PHONE_ROW : ROW;
  const before = (drawn[0] ?? 0) * size;
  const after = Math.max(0, rows.length - 1 - (drawn.at(-1) ?? rows.length - 1)) * size;
  const last = useRef(-1);
  useEffect(() => {
    if (isLong && marked >= 0 && marked !== last.current) virtualizer.scrollToIndex(marked, { align: "auto" });
    last.current = marked;
  }, [marked]);
  const shown = useMemo(() => COLUMNS.filter((column) => columns.includes(column.name)), [columns]);
  // The same from drawing to drawing, so that rows are drawn anew only when something of theirs changes.
  const acts = useRef({ onSelect, onMark });
  acts.current = { onSelect, onMark };
  const select = useCallback((id: string, range: boolean) => acts.current.onSelect(id, range), []);
  const mark = useCallback((index: number) => acts.current.onMark(index), []);
  const whole = isWholePage(selection, rows.map((job) => job.id));
  const some = !whole && rows.some((job) => isSelected(selection, job.id));
  return (
    <div ref={box} className={cx("rounded-lg border border-line bg-surface transition-opacity", dimmed && "opacity-60")}>
      <table aria-label="Jobs" aria-rowcount={isLong ? rows.length + 1 : undefined} aria-busy={dimmed || loading > 0 || undefined} className="w-full table-fixed border-collapse text-left">
        <thead className="sticky top-13 z-10 bg-surface text-xs text-muted shadow-[inset_0_-1px_0_var(--line)]">
          <tr>
            <th scope="col" className="w-10 rounded-tl-lg pl-3">
              <Check label="Select all on this page" checked={whole} mixed={some} onClick={onSelectPage} disabled={rows.length === 0} />
            </th>
            <HeadCell className="w-31 max-sm:hidden">Status</HeadCell>
            <HeadCell className="sm:w-52">Function</HeadCell>
            {shown.map((column) => {
              const by = "sort" in column ? column.sort : undefined;
              return (
                <HeadCell
                  key={column.name}
                  numeric={"numeric" in column}
                  className={cx(column.width, column.hiddenBelow)}
                  {...(by ? { sorted: sort === by ? ("asc" as const) : sort === `-${by}` ? ("desc" as const) : null, onSort: () => onSort(sortedBy(by, sort)) } : {})}
                >
                  {column.label}
                </HeadCell>
              );
            })}
          </tr>
        </thead>
        <tbody>
          {before > 0 && <Space height={before} />}
          {drawn.map((index) => {
            const job = rows[index];
            return (
              job && (
                <JobRow
                  key={job.id}
                  job={job}
                  index={index}
                  long={isLong}
                  columns={shown}
                  selected={isSelected(selection, job.id)}
                  marked={index === marked}
                  deleted={isDeleted(job, heard)}
                  onSelect={select}
                  onMark={mark}
                />
              )
            );
          })}
          {after > 0 && <Space height={after} />}
          {rows.length === 0 && Array.from({ length: loading }, (_, row) => <Loading key={row} row={row} columns={shown} />)}
        </tbody>
      </table>
    </div>
  );
}

type Shown = readonly (typeof COLUMNS)[number][];

interface RowProps {
  job: Job;
  index: number;
  long: boolean;
  columns: Shown;
  selected: boolean;
  marked: boolean;
  deleted: boolean;
  onSelect: (id: string, range: boolean) => void;
  onMark: (index: number) => void;
}

const JobRow = memo(function JobRow({ job, index, long, columns, selected, marked, deleted, onSelect, onMark }: RowProps) {
  const link = useRef<HTMLAnchorElement>(null);
  const navigate = useNavigate();
  useEffect(() => {
    // Focus goes along, so that Enter opens the row and screen readers say which it is.
    if (!marked || link.current === document.activeElement) return;
    link.current?.focus({ preventScroll: true });
    link.current?.scrollIntoView({ block: "nearest" });
  }, [marked]);
  const open = (event: MouseEvent) => {
    if (event.target instanceof Element && event.target.closest("a, button, input, label")) return;
    if (event.shiftKey) onSelect(job.id, true);
    else if (event.ctrlKey || event.metaKey) window.open(`/jobs/${encodeURIComponent(job.id)}`, "_blank", "noopener");
    else if (getSelection()?.isCollapsed !== false) void navigate({ to: "/jobs/$id", params: { id: job.id } });
  };
  return (
    <tr
      data-job={job.id}
      data-marked={marked || undefined}
      aria-selected={selected}
      aria-rowindex={long ? index + 2 : undefined}
      onClick={open}
      onMouseDown={(event) => event.shiftKey && event.preventDefault()}
      className={cx(
        "group h-[33px] cursor-pointer scroll-mt-24 scroll-mb-20 border-b border-line last:border-0 hover:bg-hover max-sm:h-[62px]",
        selected && "bg-selected hover:bg-selected",
        marked && "shadow-[inset_2px_0_0_var(--accent)]",
        marked && !selected && "bg-hover",
        deleted && "opacity-50",
      )}
    >
      <td className="pl-3">
        <Check label={`Select ${job.function} ${shortId(job.id)}`} checked={selected} onClick={(event) => onSelect(job.id, event.shiftKey)} />
      </td>
      <td className="px-3 max-sm:hidden">{deleted ? <span className="text-muted">Deleted</span> : <StatusBadge status={job.status} cancelling={job.cancel_requested} held={isHeld(job)} />}</td>
      <td className="min-w-0 px-3">
        <span className="flex min-w-0 items-baseline gap-2">
          <Link ref={link} to="/jobs/$id" params={{ id: job.id }} onFocus={() => !marked && onMark(index)} className="min-w-0 truncate rounded font-medium hover:underline" title={job.function}>
            <bdi>{job.function}</bdi>
          </Link>
          <span className="shrink-0 font-mono text-xs text-faint max-sm:hidden" title={job.id} dir="ltr">{tail(job.id)}</span>
        </span>
        <span className="mt-1 flex min-w-0 items-center gap-2 text-sm sm:hidden">
          <StatusBadge status={job.status} cancelling={job.cancel_requested} held={isHeld(job)} />
          <span className="min-w-0 flex-1 truncate"><OutcomeOrArguments job={job} /></span>
          <Time at={job.submitted_at} className="text-muted" />
        </span>
      </td>
      {columns.map((column) => (
        <td key={column.name} className={cx("overflow-hidden px-3 text-sm", "numeric" in column && "text-right whitespace-nowrap text-muted", column.hiddenBelow)}>
          <JobCell column={column.name} job={job} />
        </td>
      ))}
    </tr>
  );
});

/** The end of an id: of jobs that were submitted together, the beginnings are the same. */
function tail(id: string): string {
  return id.length > 10 ? `…${id.slice(-6)}` : id;
}

function Check({ label, checked, mixed = false, disabled = false, onClick }: { label: string; checked: boolean; mixed?: boolean; disabled?: boolean; onClick: (event: MouseEvent) => void }) {
  return (
    <label className="flex h-8 w-9 -ml-3 cursor-pointer items-center justify-center">
      <input
        ref={(input) => {
          if (input) input.indeterminate = mixed;
        }}
        type="checkbox"
        aria-label={label}
        checked={checked}
        disabled={disabled}
        onClick={onClick}
        onChange={() => {}}
        className="size-3.5 cursor-pointer accent-accent"
      />
    </label>
  );
}

function Space({ height }: { height: number }) {
  return (
    <tr aria-hidden>
      <td style={{ height }} />
    </tr>
  );
}

function Loading({ row, columns }: { row: number; columns: Shown }) {
  const bar = (width: number) => <div className="h-3 animate-pulse rounded bg-hover" style={{ width: `${width}%` }} />;
  return (
    <tr aria-hidden className="h-[33px] border-b border-line last:border-0 max-sm:h-[62px]">
      <td />
      <td className="px-3 max-sm:hidden">{bar(80)}</td>
      <td className="px-3">{bar(50 + ((row * 7) % 4) * 10)}</td>
      {columns.map((column, index) => <td key={column.name} className={cx("px-3", column.hiddenBelow)}>{bar(40 + ((row * 7 + index * 13) % 5) * 10)}</td>)}
    </tr>
  );
}

function useIsPhone(): boolean {
  const [query] = useState(() => matchMedia("(max-width: 639.98px)"));
  const [matches, setMatches] = useState(query.matches);
  useEffect(() => {
    const follow = () => setMatches(query.matches);
    query.addEventListener("change", follow);
    return () => query.removeEventListener("change", follow);
  }, [query]);
  return matches;
}
