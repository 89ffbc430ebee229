import type { ReactNode } from "react";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { keepPreviousData, queryOptions, useQuery } from "@tanstack/react-query";
import { AppWindow, SearchX } from "lucide-react";
import { api, call, type Schemas } from "@/api/client";
import { beginning } from "@/api/statistics";
import { Badge } from "@/components/Badge";
import { Button } from "@/components/Button";
import { CodeBlock } from "@/components/Code";
import { SearchInput } from "@/components/Field";
import { PageHeader, Panel } from "@/components/Panel";
import { SpanSwitch } from "@/components/SpanSwitch";
import { EmptyState, ErrorState, Skeleton } from "@/components/States";
import { Cell, Head, HeadCell, Row, SkeletonRows, Table } from "@/components/Table";
import { Segments } from "@/components/Tabs";
import { Time } from "@/components/Time";
import { cx } from "@/lib/cx";
import { compact, duration, number, percent, rate } from "@/lib/format";
import { REACH, type Span } from "@/lib/spans";
import { RequestCharts } from "./RequestCharts";
import type { ApisSearch } from "./search";
import { sharesOf } from "./statuses";

const EXAMPLE = `api = conduit.Api("shop", port=8000)

@api.post("/orders", status_code=202)
async def create(order: Order) -> dict[str, str]:
    job = await place_order.submit(order)
    return {"job_id": job.job_id}`;

/** In seconds: requests are counted by the minute. */
const bucketOf = (span: Span) => Math.max(60, REACH[span].bucket);

function listed(span: Span) {
  const { atMost, atLeast } = REACH[span];
  return queryOptions({
    queryKey: ["/api/v1/apis", { span, every: atMost }] as const,
    queryFn: ({ signal }) => call(api.GET("/api/v1/apis", { params: { query: { after: beginning(span, bucketOf(span)) } }, signal })),
    refetchInterval: atLeast,
    placeholderData: keepPreviousData,
  });
}

function detailOf(name: string, span: Span) {
  const { atMost, atLeast } = REACH[span];
  const bucket = bucketOf(span);
  return queryOptions({
    queryKey: ["/api/v1/apis/{name}", { name, span, every: atMost }] as const,
    queryFn: ({ signal }) => call(api.GET("/api/v1/apis/{name}", { params: { path: { name }, query: { after: beginning(span, bucket), bucket } }, signal })),
    refetchInterval: atLeast,
    placeholderData: keepPreviousData,
  });
}

/** How the HTTP APIs beside the workers are asked, and how they answer. */
export default function Apis() {
  const search = useSearch({ from: "/layout/apis" });
  const navigate = useNavigate();
  const set = (changes: Partial<ApisSearch>) => void navigate({ to: "/apis", search: { ...search, ...changes }, replace: true });
  const span: Span = search.span ?? "1h";
  const apis = useQuery(listed(span));
  const shown = apis.data?.items.find(({ name }) => name === search.api) ?? apis.data?.items[0];
  return (
    <>
      <PageHeader title="APIs" actions={<SpanSwitch value={span} onChange={(next) => set({ span: next === "1h" ? undefined : next })} />}>
        Requests of the last {REACH[span].words}, counted by the minute
      </PageHeader>
      {apis.isError && !apis.data && <ErrorState error={apis.error} onRetry={() => void apis.refetch()} />}
      {apis.isPending && <Skeleton className="h-72 rounded-lg" />}
      {apis.data?.items.length === 0 && (
        <div className="rounded-lg border border-line bg-surface">
          <EmptyState icon={AppWindow} title={`No API was asked in the last ${REACH[span].words}`} className="pb-6">
            An API runs beside the workers and submits jobs. Its requests appear here with their first answers: by route, status and latency, never with their contents.
          </EmptyState>
          <div className="mx-auto max-w-2xl px-4 pb-8">
            <CodeBlock label="An API" code={EXAMPLE} />
          </div>
        </div>
      )}
      {shown && (
        <div className={cx("flex flex-col gap-4", apis.isPlaceholderData && "opacity-70")}>
          {(apis.data?.items.length ?? 0) > 1 && (
            <div className="overflow-x-auto">
              <Segments label="API" value={shown.name} onChange={(name) => set({ api: name })} options={apis.data?.items.map(({ name, errors }) => ({ value: name, label: <span className="whitespace-nowrap"><bdi>{name}</bdi>{errors > 0 && <span className="ml-1.5 text-red">{compact(errors)} × 5xx</span>}</span> })) ?? []} />
            </div>
          )}
          <ApiNumbers known={shown} />
          <Detail name={shown.name} span={span} q={search.q} onSearch={(q) => set({ q: q || undefined })} />
        </div>
      )}
    </>
  );
}

function ApiNumbers({ known }: { known: Schemas["ApiView"] }) {
  const { p50, p95, p99 } = known.latency_ms;
  const spent = (ms: number | null) => (ms === null ? "–" : duration(ms));
  const items: [name: string, value: string, note: ReactNode, bad?: boolean][] = [
    ["Requests", compact(known.requests), rate(known.per_second)],
    ["Server errors", compact(known.errors), `${percent(known.errors / Math.max(1, known.requests))} answered 5xx`, known.errors > 0],
    ["Latency, p50", spent(p50), `mean ${duration(known.mean_ms)}`],
    ["Latency, p95", spent(p95), "95 % were faster"],
    ["Latency, p99", spent(p99), "99 % were faster"],
  ];
  return (
    <Panel title={<bdi>{known.name}</bdi>} actions={<span className="text-sm text-muted">last asked <Time at={known.last_minute} /></span>}>
      <dl className="grid grid-cols-2 gap-x-6 gap-y-4 sm:grid-cols-3 lg:grid-cols-5">
        {items.map(([name, value, note, bad]) => (
          <div key={name}>
            <dt className="text-sm font-medium text-muted">{name}</dt>
            <dd>
              <span className={cx("block text-xl leading-8 font-semibold tracking-tight", bad && "text-red")}>{value}</span>
              <span className="text-sm text-muted">{note}</span>
            </dd>
          </div>
        ))}
      </dl>
      <div className="mt-4"><StatusBar statuses={known.statuses} label={`Answers of ${known.name} by class`} legend /></div>
    </Panel>
  );
}

/** One API over time, and by route. */
function Detail({ name, span, q, onSearch }: { name: string; span: Span; q: string | undefined; onSearch: (q: string) => void }) {
  const detail = useQuery(detailOf(name, span));
  const known = detail.data?.name === name ? detail.data : undefined;
  if (detail.isError && !known) return <ErrorState error={detail.error} onRetry={() => void detail.refetch()} />;
  return (
    <>
      <RequestCharts span={span} buckets={known?.items} />
      <Routes name={name} known={known} q={q} onSearch={onSearch} />
    </>
  );
}

function Routes({ name, known, q, onSearch }: { name: string; known: Schemas["ApiDetail"] | undefined; q: string | undefined; onSearch: (q: string) => void }) {
  const most = Math.max(1, ...(known?.routes ?? []).map((each) => each.requests));
  const words = (q ?? "").toLowerCase().split(/\s+/).filter(Boolean);
  const routes = known?.routes
    .filter((each) => words.every((word) => `${each.method} ${each.route}`.toLowerCase().includes(word)))
    .sort((one, other) => other.requests - one.requests);
  return (
    <section aria-label={`Routes of ${name}`}>
      <div className="mb-3 flex flex-wrap items-center gap-3">
        <h2 className="font-semibold">Routes</h2>
        <SearchInput label="Search routes" placeholder="Method or path" value={q ?? ""} onChange={onSearch} className="w-60 max-w-full" />
      </div>
      {routes?.length === 0 ? (
        <EmptyState icon={SearchX} title="No route is like that" action={<Button onClick={() => onSearch("")}>Show all {known?.routes.length}</Button>} />
      ) : (
        <Table label="Routes">
          <Head>
            <HeadCell>Route</HeadCell>
            <HeadCell numeric>Requests</HeadCell>
            <HeadCell numeric className="max-sm:hidden">Rate</HeadCell>
            <HeadCell>Answers</HeadCell>
            <HeadCell numeric className="max-sm:hidden">p50</HeadCell>
            <HeadCell numeric>p95</HeadCell>
            <HeadCell numeric className="max-sm:hidden">p99</HeadCell>
          </Head>
          <tbody>
            {!routes && <SkeletonRows rows={4} columns={7} />}
            {routes?.map((each) => (
              <Row key={`${each.method} ${each.route}`}>
                <Cell className="min-w-48 max-sm:min-w-28">
                  <span className="flex items-center gap-2">
                    <Badge className="min-w-14 justify-center font-mono">{each.method}</Badge>
                    <code className="font-mono text-sm break-all"><bdi>{each.route}</bdi></code>
                  </span>
                </Cell>
                <Cell numeric>
                  <span className="inline-flex items-center gap-2">
                    <span aria-hidden className="h-1.5 w-16 overflow-hidden rounded-full bg-hover max-md:hidden"><span className="block h-full rounded-full bg-accent" style={{ width: `${(each.requests / most) * 100}%` }} /></span>
                    <span className="min-w-12">{compact(each.requests)}</span>
                  </span>
                </Cell>
                <Cell numeric className="max-sm:hidden">{rate(each.per_second)}</Cell>
                <Cell><StatusBadges statuses={each.statuses} /></Cell>
                {[each.latency_ms.p50, each.latency_ms.p95, each.latency_ms.p99].map((ms, index) => <Cell key={index} numeric className={cx(index !== 1 && "max-sm:hidden")}>{ms === null ? "–" : duration(ms)}</Cell>)}
              </Row>
            ))}
          </tbody>
        </Table>
      )}
    </section>
  );
}

function StatusBadges({ statuses }: { statuses: Readonly<Record<string, number>> }) {
  return (
    <span className="flex flex-wrap gap-1.5">
      {sharesOf(statuses).map(({ name, many, share, tone }) => <Badge key={name} tone={tone}><span title={`${number(many)} answers, ${percent(share)}`}>{name} <span className="font-normal">{compact(many)}</span></span></Badge>)}
    </span>
  );
}

const COLOURS = { gray: "bg-gray", green: "bg-green", red: "bg-red", amber: "bg-amber", blue: "bg-blue", violet: "bg-violet" };

function StatusBar({ statuses, label, legend = false }: { statuses: Readonly<Record<string, number>>; label: string; legend?: boolean }) {
  const shares = sharesOf(statuses);
  return (
    <div>
      <div role="img" aria-label={`${label}: ${shares.map(({ name, share }) => `${name} ${percent(share)}`).join(", ")}`} className="flex h-2 gap-px overflow-hidden rounded-full bg-hover">
        {shares.map(({ name, share, tone }) => <span key={name} className={COLOURS[tone]} style={{ width: `${Math.max(0.6, share * 100)}%` }} />)}
      </div>
      {legend && (
        <ul className="mt-2 flex flex-wrap gap-x-4 text-sm text-muted">
          {shares.map(({ name, many, share, tone }) => (
            <li key={name} className="flex items-center gap-1.5"><span aria-hidden className={cx("size-2 rounded-xs", COLOURS[tone])} />{name} <span className="text-ink">{compact(many)}</span> {percent(share)}</li>
          ))}
        </ul>
      )}
    </div>
  );
}
