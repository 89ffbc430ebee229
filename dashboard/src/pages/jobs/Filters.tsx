import { useEffect, useState } from "react";
import { useQuery } from "@tanstack/react-query";
import { CalendarClock, ChevronDown, Plus, X } from "lucide-react";
import { get } from "@/api/client";
import { Button } from "@/components/Button";
import { Dialog } from "@/components/Dialog";
import { Field, Input, SearchInput } from "@/components/Field";
import { FilterBar, FilterMenu } from "@/components/FilterBar";
import { Menu, MenuCheck, MenuItem } from "@/components/Menu";
import { shortId } from "@/lib/format";
import { filterOf, isFiltered, type JobsFilter, type JobsSearch } from "./search";

/** How long the search waits for the next letter, in milliseconds. */
const PAUSE = 300;
const TEXTS = [
  { name: "key", label: "Key", hint: "The key that a job was submitted with, exactly." },
  { name: "parent_id", label: "Parent", hint: "The id of the job that submitted them." },
  { name: "root_id", label: "First ancestor", hint: "The id of the job that all of it came of." },
] as const;

/** What stands above the list: search, filters and what is set of them. */
export function Filters({ search, onChange }: { search: JobsSearch; onChange: (changes: JobsFilter) => void }) {
  const { data: functions } = useQuery(get("/api/v1/functions"));
  const { data: queues } = useQuery(get("/api/v1/queues"));
  const { data: workers } = useQuery(get("/api/v1/workers"));
  const [asking, setAsking] = useState<(typeof TEXTS)[number]["name"] | null>(null);
  const clear = () => onChange(Object.fromEntries(Object.keys(filterOf(search)).map((name) => [name, undefined])));
  const set = TEXTS.filter(({ name }) => search[name] !== undefined);
  return (
    <FilterBar onClear={isFiltered(search) ? clear : undefined}>
      <Words value={search.q ?? ""} onChange={(q) => onChange({ q: q || undefined })} />
      <FilterMenu label="Function" options={options(functions?.items.map((each) => each.name), search.function)} chosen={search.function ?? []} onChange={(chosen) => onChange({ function: some(chosen) })} />
      <FilterMenu label="Queue" options={options(queues?.items.map((each) => each.name), search.queue)} chosen={search.queue ?? []} onChange={(chosen) => onChange({ queue: some(chosen) })} />
      <FilterMenu label="Worker" options={options(workers?.items.map((each) => each.id), search.worker_id)} chosen={search.worker_id ?? []} onChange={(chosen) => onChange({ worker_id: some(chosen) })} />
      <Submitted search={search} onChange={onChange} />
      {set.map(({ name, label }) => (
        <span key={name} className="inline-flex h-8 max-w-60 items-center gap-1 rounded-md border border-accent bg-surface pl-3">
          <span className="text-muted">{label}</span>
          <bdi title={search[name]} className="min-w-0 truncate font-medium">{name === "key" ? search[name] : shortId(search[name] ?? "")}</bdi>
          <button type="button" aria-label={`Remove the filter ${label}`} onClick={() => onChange({ [name]: undefined })} className="rounded p-1.5 text-muted hover:text-ink">
            <X className="size-3.5" aria-hidden />
          </button>
        </span>
      ))}
      <Menu align="start" trigger={<Button kind="quiet" icon={Plus}>Filter</Button>}>
        {TEXTS.map(({ name, label }) => <MenuItem key={name} onSelect={() => setAsking(name)}>{label}</MenuItem>)}
      </Menu>
      {asking && <TextFilter name={asking} search={search} onClose={() => setAsking(null)} onChange={onChange} />}
    </FilterBar>
  );
}

/** The search follows what is typed, and the address when that changes by other means. */
function Words({ value, onChange }: { value: string; onChange: (value: string) => void }) {
  const [typed, setTyped] = useState(value);
  useEffect(() => setTyped(value), [value]);
  useEffect(() => {
    if (typed.trim() === value) return;
    const timer = setTimeout(() => onChange(typed.trim()), PAUSE);
    return () => clearTimeout(timer);
  }, [typed]);
  return (
    <SearchInput
      label="Search these jobs"
      placeholder="Search ids, arguments, errors…"
      title="In ids, functions, keys, workers, arguments, reasons and errors"
      className="w-72 max-sm:w-full"
      maxLength={255}
      value={typed}
      onChange={(text) => {
        setTyped(text);
        if (text === "") onChange("");
      }}
    />
  );
}

const SPANS = [
  { value: "15m", label: "Last 15 minutes" },
  { value: "1h", label: "Last hour" },
  { value: "24h", label: "Last 24 hours" },
  { value: "7d", label: "Last 7 days" },
];

function Submitted({ search, onChange }: { search: JobsSearch; onChange: (changes: JobsFilter) => void }) {
  const [asking, setAsking] = useState(false);
  const { submitted_after: after, submitted_before: before } = search;
  const span = before === undefined ? SPANS.find(({ value }) => value === after) : undefined;
  const isSet = after !== undefined || before !== undefined;
  return (
    <>
      <Menu
        align="start"
        trigger={
          <Button className={isSet ? "border-accent font-normal" : "font-normal"}>
            <CalendarClock className="size-3.5 text-muted" aria-hidden />
            <span className={isSet ? "text-muted" : ""}>Submitted</span>
            {isSet && <span className="font-medium">{span ? span.label.replace("Last", "last") : "between"}</span>}
            <ChevronDown className="size-3.5 text-muted" aria-hidden />
          </Button>
        }
      >
        <MenuCheck closes checked={!isSet} onChange={() => onChange({ submitted_after: undefined, submitted_before: undefined })}>Any time</MenuCheck>
        {SPANS.map(({ value, label }) => (
          <MenuCheck key={value} closes checked={value === span?.value} onChange={() => onChange({ submitted_after: value, submitted_before: undefined })}>
            {label}
          </MenuCheck>
        ))}
        <MenuCheck closes checked={isSet && !span} onChange={() => setAsking(true)}>Between two times…</MenuCheck>
      </Menu>
      {asking && <Between search={search} onClose={() => setAsking(false)} onChange={onChange} />}
    </>
  );
}

function Between({ search, onClose, onChange }: { search: JobsSearch; onClose: () => void; onChange: (changes: JobsFilter) => void }) {
  const [after, setAfter] = useState(localOf(search.submitted_after));
  const [before, setBefore] = useState(localOf(search.submitted_before));
  const fault = after && before && after >= before ? "This is before the first time" : undefined;
  const apply = () => {
    if (fault) return;
    onChange({ submitted_after: isoOf(after), submitted_before: isoOf(before) });
    onClose();
  };
  return (
    <Dialog
      open
      onOpenChange={onClose}
      title="Submitted between"
      description="In the time of this computer. Leave one empty for no limit."
      footer={<Button kind="primary" disabled={Boolean(fault)} onClick={apply}>Show these</Button>}
    >
      <form className="flex flex-col gap-4" onSubmit={(event) => (event.preventDefault(), apply())}>
        <Field label="From"><Input type="datetime-local" step={1} value={after} onChange={(event) => setAfter(event.target.value)} /></Field>
        <Field label="Until" error={fault}><Input type="datetime-local" step={1} value={before} onChange={(event) => setBefore(event.target.value)} /></Field>
        <button type="submit" hidden />
      </form>
    </Dialog>
  );
}

/** A time of an address as a field for local times has it. */
function localOf(value: string | undefined): string {
  const ms = Date.parse(value ?? "");
  if (Number.isNaN(ms)) return "";
  return new Date(ms - new Date(ms).getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}

function isoOf(local: string): string | undefined {
  const ms = Date.parse(local);
  return Number.isNaN(ms) ? undefined : new Date(ms).toISOString();
}

function TextFilter({ name, search, onClose, onChange }: { name: (typeof TEXTS)[number]["name"]; search: JobsSearch; onClose: () => void; onChange: (changes: JobsFilter) => void }) {
  const [value, setValue] = useState(search[name] ?? "");
  const { label, hint } = TEXTS.find((each) => each.name === name) ?? TEXTS[0];
  const apply = () => {
    onChange({ [name]: value.trim() || undefined });
    onClose();
  };
  return (
    <Dialog open onOpenChange={onClose} title={`Filter by ${label.toLowerCase()}`} footer={<Button kind="primary" onClick={apply}>Filter</Button>}>
      <form onSubmit={(event) => (event.preventDefault(), apply())}>
        <Field label={label} hint={hint}><Input autoFocus maxLength={255} value={value} onChange={(event) => setValue(event.target.value)} /></Field>
      </form>
    </Dialog>
  );
}

/** All that there are, and what is chosen though there is no such thing at present. */
function options(names: readonly string[] | undefined, chosen: readonly string[] | undefined): { value: string; label: React.ReactNode }[] {
  const all = [...new Set([...(names ?? []), ...(chosen ?? [])])].sort((one, other) => one.localeCompare(other));
  return all.map((value) => ({ value, label: <bdi className="max-w-64 truncate">{value}</bdi> }));
}

function some(chosen: string[]): string[] | undefined {
  return chosen.length > 0 ? chosen : undefined;
}
