import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { queryOptions, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { CalendarClock, CirclePause, Play, SearchX, SkipForward, Unplug } from "lucide-react";
import { api, call, get, refresh, type Schemas } from "@/api/client";
import { useRefusal } from "@/api/role";
import { useZone } from "@/app/settings";
import { Badge, StatusBadge } from "@/components/Badge";
import { Button } from "@/components/Button";
import { CodeBlock } from "@/components/Code";
import { SearchInput } from "@/components/Field";
import { FilterBar } from "@/components/FilterBar";
import { PageHeader } from "@/components/Panel";
import { PauseSwitch } from "@/components/PauseSwitch";
import { EmptyState, ErrorState, StaleNotice } from "@/components/States";
import { Cell, Head, HeadCell, Row, SkeletonRows, Table } from "@/components/Table";
import { Time } from "@/components/Time";
import { toast, toastError } from "@/components/Toaster";
import { useRowKeys } from "@/keyboard/useRowKeys";
import { useTicking } from "@/lib/clock";
import { clock, count, day, duration, exact, shortId } from "@/lib/format";
import { tickOf } from "./ticks";
import { inWords } from "./words";

const EXAMPLE = `@worker.cron("0 9 * * MON-FRI", timezone="Europe/Zurich")
async def daily_report() -> None: ...

@worker.cron("@every 15s")
async def take_stock() -> int: ...`;

/** What runs by itself, when it runs next, and how it went last. */
export default function Schedules() {
  const { q } = useSearch({ from: "/layout/schedules" });
  const navigate = useNavigate();
  const search = (text: string) => void navigate({ to: "/schedules", search: { q: text || undefined }, replace: true });
  const crons = useQuery(get("/api/v1/crons"));
  const words = (q ?? "").toLowerCase().split(/\s+/).filter(Boolean);
  const rows = crons.data?.items.filter((cron) => {
    const text = [cron.name, cron.function, cron.schedule, cron.timezone, inWords(cron.schedule)].join(" ").toLowerCase();
    return words.every((word) => text.includes(word));
  });
  const open = (cron: Schemas["CronView"]) => void navigate({ to: "/functions/$name", params: { name: cron.function } });
  const { marked } = useRowKeys({ count: rows?.length ?? 0, onOpen: (index) => rows?.[index] && open(rows[index]) });
  if (crons.isError && !crons.data) {
    return (
      <>
        <PageHeader title="Schedules" />
        <ErrorState error={crons.error} onRetry={() => void crons.refetch()} />
      </>
    );
  }
  return (
    <>
      <PageHeader title="Schedules">{crons.data ? `${count(crons.data.items.length, "schedule")}, of functions that run by themselves` : " "}</PageHeader>
      <StaleNotice stale={crons.data?.stale ?? false}>
        <Time at={crons.data?.at} />
      </StaleNotice>
      {crons.data?.items.length === 0 ? (
        <div className="rounded-lg border border-line bg-surface">
          <EmptyState icon={CalendarClock} title="Nothing is scheduled" className="pb-6">
            Give a function a schedule, and its worker submits a job at each tick: once, however many workers there are.
          </EmptyState>
          <div className="mx-auto max-w-2xl px-4 pb-8">
            <CodeBlock label="Two schedules" code={EXAMPLE} />
          </div>
        </div>
      ) : (
        <>
          <FilterBar onClear={q ? () => search("") : undefined}>
            <SearchInput label="Search schedules" placeholder="Name, schedule or zone" value={q ?? ""} onChange={search} className="w-64 max-w-full" />
          </FilterBar>
          {rows?.length === 0 ? (
            <EmptyState icon={SearchX} title="No schedule is like that" action={<Button onClick={() => search("")}>Show all {crons.data?.items.length}</Button>} />
          ) : (
            <Table label="Schedules">
              <Head>
                <HeadCell>Schedule</HeadCell>
                <HeadCell className="max-md:hidden">When</HeadCell>
                <HeadCell className="max-md:hidden">Next tick</HeadCell>
                <HeadCell className="max-sm:hidden">Last job</HeadCell>
                <HeadCell className="max-xl:hidden">If missed</HeadCell>
                <HeadCell><span className="sr-only">Actions</span></HeadCell>
              </Head>
              <tbody>
                {!rows && <SkeletonRows rows={4} columns={6} />}
                {rows?.map((cron, index) => (
                  <CronLine key={cron.name} cron={cron} marked={index === marked} onOpen={() => open(cron)} />
                ))}
              </tbody>
            </Table>
          )}
        </>
      )}
    </>
  );
}

const CATCHUP: Record<string, [word: string, meaning: string]> = {
  skip: ["skipped", "A tick that nobody was there for is left out"],
  one: ["one job", "Ticks that nobody was there for become one job"],
  all: ["all of them", "Each tick that nobody was there for becomes a job"],
};

const OVERLAP: Record<string, [words: string, meaning: string]> = {
  skip: ["one at a time", "A tick is left out while the job of an earlier one is unfinished"],
  queue: ["one at a time, one waits", "The newest tick waits for the end of an earlier one's job"],
  allow: ["side by side", "A tick becomes a job, however many earlier ones are unfinished"],
};

/** The last job of a function, whoever submitted it. */
function lastOf(name: string) {
  return queryOptions({
    queryKey: ["/api/v1/jobs", { lastOf: name, every: 3000 }] as const,
    queryFn: ({ signal }) => call(api.GET("/api/v1/jobs", { params: { query: { function: [name], limit: 1 } }, signal })),
  });
}

function CronLine({ cron, marked, onOpen }: { cron: Schemas["CronView"]; marked: boolean; onOpen: () => void }) {
  const latest = useQuery(lastOf(cron.function));
  const last = latest.data?.items[0];
  const words = inWords(cron.schedule);
  const [catchup, meaning] = CATCHUP[cron.catchup] ?? [cron.catchup, ""];
  const [overlap, overlapMeaning] = OVERLAP[cron.overlap] ?? [cron.overlap, ""];
  return (
    <Row marked={marked} onOpen={onOpen}>
      <Cell className="max-w-64 min-w-36 max-sm:max-w-40">
        <span className="flex items-center gap-2">
          <Link to="/functions/$name" params={{ name: cron.function }} className="truncate font-medium hover:underline"><bdi>{cron.name}</bdi></Link>
          {cron.paused && <Badge tone="amber" icon={CirclePause}>Paused</Badge>}
          {!cron.alive && <Badge tone="amber" icon={Unplug}><span title="No worker that runs has this schedule">No worker</span></Badge>}
          {cron.skipped > 0 && (
            <Badge tone="amber" icon={SkipForward}><span title="Since the job of the last tick is unfinished">{count(cron.skipped, "tick")} skipped</span></Badge>
          )}
        </span>
        <span className="block truncate text-sm text-muted">
          {cron.function !== cron.name && <><bdi>{cron.function}</bdi> · </>}
          queue <bdi>{cron.queue}</bdi>
        </span>
        <span className="block text-sm text-muted md:hidden">
          {words ?? <code className="font-mono">{cron.schedule}</code>}
          {cron.next_tick && <>, next <Time at={cron.next_tick} /></>}
        </span>
      </Cell>
      <Cell className="whitespace-nowrap max-md:hidden">
        <span className="block">{words ?? <code className="font-mono text-sm">{cron.schedule}</code>}</span>
        <span className="block text-sm text-muted">
          {words && <code className="font-mono">{cron.schedule}</code>}
          {!/^@?every/.test(cron.schedule) && <>{words && " · "}{cron.timezone}</>}
        </span>
      </Cell>
      <Cell className="max-md:hidden">{cron.paused ? <span className="text-muted">when resumed</span> : !cron.alive ? <span className="text-muted">with its worker</span> : <NextTick at={cron.next_tick} />}</Cell>
      <Cell className="whitespace-nowrap max-sm:hidden">
        {last ? (
          <Link to="/jobs/$id" params={{ id: last.id }} className="inline-flex items-center gap-2 hover:underline">
            <StatusBadge status={last.status} />
            <span className="text-sm text-muted"><Time at={last.submitted_at} />{tickOf(last.id, cron.name) === null && ", by hand"}</span>
          </Link>
        ) : (
          <span className="text-faint">{latest.data ? "none yet" : " "}</span>
        )}
      </Cell>
      <Cell className="text-muted max-xl:hidden">
        <span className="block" title={meaning}>{catchup}</span>
        <span className="block text-sm" title={overlapMeaning}>{overlap}</span>
      </Cell>
      <Cell className="py-0"><Actions cron={cron} /></Cell>
    </Row>
  );
}

/** How long until then, counting; and when that is. */
function NextTick({ at }: { at: string | null }) {
  const zone = useZone();
  const left = useTicking((now) => (at === null ? null : Math.max(0, Math.round((Date.parse(at) - now) / 1000)) * 1000));
  if (at === null || left === null) return <span className="text-faint">never</span>;
  return (
    <span className="whitespace-nowrap">
      <span className="block">{left === 0 ? "now" : `in ${duration(left)}`}</span>
      <span className="block text-sm text-muted"><time dateTime={at} title={exact(Date.parse(at), zone)}>{day(Date.parse(at), zone)} {clock(Date.parse(at), zone, Date.parse(at) % 60_000 !== 0)}</time></span>
    </span>
  );
}

function Actions({ cron }: { cron: Schemas["CronView"] }) {
  const refused = useRefusal("operate");
  const client = useQueryClient();
  const trigger = useMutation({
    mutationFn: () => call(api.POST("/api/v1/crons/{name}/trigger", { params: { path: { name: cron.name } } })),
    onSuccess: ({ job_id }) => {
      toast({ title: `${cron.name} was triggered`, detail: `The job is ${shortId(job_id)}.` });
      refresh(client, "/api/v1/jobs", "/api/v1/crons");
    },
    onError: toastError,
  });
  return (
    <span className="flex justify-end gap-2 max-sm:flex-col max-sm:items-end max-sm:py-1.5">
      <Button size="small" icon={Play} busy={trigger.isPending} refused={refused} onClick={() => trigger.mutate()} aria-label={`Trigger ${cron.name}`}>Trigger</Button>
      <PauseSwitch kind="schedule" name={cron.name} paused={cron.paused} description="Its ticks pass without a job until it is resumed; they aren't made up for. A job that it has submitted already isn't affected." size="small" />
    </span>
  );
}
