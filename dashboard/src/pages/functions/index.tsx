import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { useQuery } from "@tanstack/react-query";
import { Play, SearchX, SquareFunction, Zap } from "lucide-react";
import { get, type Schemas } from "@/api/client";
import { useRefusal } from "@/api/role";
import { activity, stats } from "@/api/statistics";
import { ActivityBars } from "@/components/ActivityBars";
import { Badge } from "@/components/Badge";
import { Button, IconButton } from "@/components/Button";
import { CodeBlock } from "@/components/Code";
import { SearchInput } from "@/components/Field";
import { FilterBar, FilterMenu } from "@/components/FilterBar";
import { PageHeader } from "@/components/Panel";
import { SpanSwitch } from "@/components/SpanSwitch";
import { EmptyState, ErrorState, StaleNotice } from "@/components/States";
import { Cell, Head, HeadCell, Row, SkeletonRows, Table } from "@/components/Table";
import { Time } from "@/components/Time";
import { useRowKeys } from "@/keyboard/useRowKeys";
import { cx } from "@/lib/cx";
import { compact, count, duration, percent } from "@/lib/format";
import { REACH, type Span } from "@/lib/spans";
import { isRegistered, matching, rowsOf, sorted, type FunctionRow } from "./rows";
import type { FunctionsSearch, FunctionSort } from "./search";

const EXAMPLE = `import conduit

worker = conduit.Worker("orders")

@worker.task(retries=3)
async def charge(order_id: str, cents: int) -> str:
    """Take the money."""
    return f"{order_id}: {cents / 100:.2f}"`;

/** What can be run, how it goes, and how long it takes. */
export default function Functions() {
  const search = useSearch({ from: "/layout/functions" });
  const navigate = useNavigate();
  const set = (changes: Partial<FunctionsSearch>) => void navigate({ to: "/functions", search: { ...search, ...changes }, replace: true });
  const span: Span = search.span ?? "1h";
  const sort: FunctionSort = search.sort ?? "name";
  const functions = useQuery(get("/api/v1/functions"));
  const done = useQuery(stats(span));
  const over = useQuery(activity(span, "function"));
  const open = (name: string) => void navigate({ to: "/functions/$name", params: { name }, search: { span: search.span } });
  const all = functions.data ? rowsOf(functions.data.items, done.data) : undefined;
  const rows = all && sorted(matching(all, search.q, search.queue), sort);
  const { marked } = useRowKeys({ count: rows?.length ?? 0, onOpen: (index) => rows?.[index] && open(rows[index].name) });
  if (functions.isError && !functions.data) {
    return (
      <>
        <PageHeader title="Functions" />
        <ErrorState error={functions.error} onRetry={() => void functions.refetch()} />
      </>
    );
  }
  const queues = [...new Set(functions.data?.items.map(({ queue }) => queue))].filter(Boolean).sort();
  const column = (name: string, first: FunctionSort, other: FunctionSort) => ({
    sorted: sort.replace("-", "") === name ? (sort.startsWith("-") ? "desc" as const : "asc" as const) : null,
    onSort: () => set({ sort: sort === first ? other : first }),
  });
  return (
    <>
      <PageHeader title="Functions" actions={<SpanSwitch value={span} onChange={(next) => set({ span: next === "1h" ? undefined : next })} />}>
        {rows ? `${count(rows.length, "function")}${all && all.length > rows.length ? ` of ${all.length}` : ""}, and what they did in the last ${REACH[span].words}` : " "}
      </PageHeader>
      <StaleNotice stale={functions.data?.stale ?? false}>
        <Time at={functions.data?.at} />
      </StaleNotice>
      {all?.length === 0 ? (
        <div className="rounded-lg border border-line bg-surface">
          <EmptyState icon={SquareFunction} title="No worker has registered a function" className="pb-6">
            Functions come with their workers. Start one with <code>conduit run service.py</code>, and they appear here.
          </EmptyState>
          <div className="mx-auto max-w-2xl px-4 pb-8">
            <CodeBlock label="A service" code={EXAMPLE} />
          </div>
        </div>
      ) : (
        <>
          <FilterBar onClear={search.q || search.queue ? () => set({ q: undefined, queue: undefined }) : undefined}>
            <SearchInput label="Search functions" placeholder="Name, parameter or description" value={search.q ?? ""} onChange={(q) => set({ q: q || undefined })} className="w-80 max-w-full" />
            <FilterMenu label="Queue" options={queues.map((each) => ({ value: each, label: <bdi>{each}</bdi> }))} chosen={search.queue ? [search.queue] : []} onChange={(chosen) => set({ queue: chosen.at(-1) })} />
          </FilterBar>
          {rows?.length === 0 ? (
            <EmptyState icon={SearchX} title="No function is like that" action={<Button onClick={() => set({ q: undefined, queue: undefined })}>Show all {all?.length}</Button>} />
          ) : (
            <Table label="Functions">
              <Head>
                <HeadCell {...column("name", "name", "-name")}>Function</HeadCell>
                <HeadCell className="max-lg:hidden">Queue</HeadCell>
                <HeadCell className="max-md:hidden">Activity</HeadCell>
                <HeadCell numeric {...column("total", "-total", "total")}>Finished</HeadCell>
                <HeadCell numeric {...column("failed", "-failed", "failed")}>Failed</HeadCell>
                <HeadCell numeric className="max-md:hidden" {...column("wait", "-wait", "wait")} title="95 % waited no longer">Wait, p95</HeadCell>
                <HeadCell numeric className="max-md:hidden" title="Half ran no longer">Run, p50</HeadCell>
                <HeadCell numeric {...column("run", "-run", "run")} title="95 % ran no longer">Run, p95</HeadCell>
                <HeadCell className="w-10 max-sm:hidden"><span className="sr-only">Actions</span></HeadCell>
              </Head>
              <tbody className={cx(done.isPlaceholderData && "opacity-70")}>
                {!rows && <SkeletonRows rows={12} columns={9} />}
                {rows?.map((row, index) => (
                  <FunctionLine key={row.name} row={row} span={span} series={over.data?.items[row.name]} buckets={over.data && Math.round(REACH[span].ms / over.data.bucket_ms)} marked={index === marked} onOpen={() => open(row.name)} search={search} />
                ))}
              </tbody>
            </Table>
          )}
        </>
      )}
    </>
  );
}

interface LineProps {
  row: FunctionRow;
  span: Span;
  series: Schemas["SeriesView"] | undefined;
  buckets: number | undefined;
  marked: boolean;
  onOpen: () => void;
  search: FunctionsSearch;
}

function FunctionLine({ row: { name, info, ended }, span, series, buckets, marked, onOpen, search }: LineProps) {
  const refused = useRefusal("operate");
  const navigate = useNavigate();
  const none = Array.from({ length: buckets ?? 60 }, () => 0);
  const run = () => void navigate({ to: "/functions/$name", params: { name }, search: { span: search.span, run: "now" } });
  return (
    <Row marked={marked} onOpen={onOpen}>
      <Cell className="max-w-96 min-w-44 max-sm:max-w-40 max-sm:min-w-32">
        <span className="flex items-center gap-2 max-sm:flex-wrap max-sm:gap-y-0.5">
          <Link to="/functions/$name" params={{ name }} search={{ span: search.span }} className="truncate font-medium hover:underline" title={info?.signature ?? name}>
            <bdi>{name}</bdi>
          </Link>
          {info?.paused && <Badge tone="amber">Paused</Badge>}
          {info?.event && <Badge tone="violet" icon={Zap} className="max-sm:hidden"><bdi>{info.event}</bdi></Badge>}
          {!isRegistered(info) && <Badge>No worker</Badge>}
        </span>
        {info?.doc && <bdi className="block truncate text-sm text-muted">{info.doc.split("\n")[0]}</bdi>}
      </Cell>
      <Cell className="text-muted max-lg:hidden"><bdi>{info?.queue || "–"}</bdi></Cell>
      <Cell className="max-md:hidden"><ActivityBars completed={series?.completed ?? none} failed={series?.failed ?? none} label={`Jobs finished over the last ${REACH[span].words}`} /></Cell>
      <Cell numeric>{ended ? compact(ended.total) : <span className="text-faint">0</span>}</Cell>
      <Cell numeric>
        {ended && ended.failed > 0 ? (
          <Link to="/jobs" search={{ function: [name], status: ["failed"] }} className="text-red hover:underline">
            {compact(ended.failed)} <span className="text-sm max-sm:hidden">({percent(ended.error_rate ?? 0)})</span>
          </Link>
        ) : (
          <span className="text-faint">0</span>
        )}
      </Cell>
      <Cell numeric className="max-md:hidden"><Spent ms={ended?.wait_ms.p95} /></Cell>
      <Cell numeric className="max-md:hidden"><Spent ms={ended?.run_ms.p50} /></Cell>
      <Cell numeric><Spent ms={ended?.run_ms.p95} /></Cell>
      <Cell className="w-10 py-0 max-sm:hidden">{isRegistered(info) && <IconButton label={`Run ${name}`} icon={Play} className="size-7" refused={refused} onClick={run} />}</Cell>
    </Row>
  );
}

function Spent({ ms }: { ms: number | null | undefined }) {
  return ms === null || ms === undefined ? <span className="text-faint">–</span> : duration(ms);
}
