import { useEffect, useState, type FormEvent } from "react";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { SearchX, Send, Zap } from "lucide-react";
import { api, call, get, refresh, type Schemas } from "@/api/client";
import { asApiError } from "@/api/errors";
import { useRefusal } from "@/api/role";
import { Badge, StatusBadge } from "@/components/Badge";
import { Button } from "@/components/Button";
import { CodeBlock } from "@/components/Code";
import { Field, Input, SearchInput, TextArea } from "@/components/Field";
import { PageHeader, Panel } from "@/components/Panel";
import { EmptyState, ErrorState, StaleNotice } from "@/components/States";
import { Cell, Head, HeadCell, Row, SkeletonRows, Table } from "@/components/Table";
import { Time } from "@/components/Time";
import { toast } from "@/components/Toaster";
import { count, shortId } from "@/lib/format";
import { isObject, stringify } from "@/lib/json";
import { asObject, emptyValues, fieldsOf, parseJson } from "../functions/form";
import { faultOfName, handlersOf } from "./patterns";

const EXAMPLE = `order_placed = orders.event("order.placed")

@order_placed.on(retries=2)
async def send_receipt(order_id: str, cents: int) -> None: ...

await order_placed.publish(order_id="A-1", cents=4200)`;

/** Which functions handle which events; and a form to publish one. */
export default function Events() {
  const { q, name } = useSearch({ from: "/layout/events" });
  const navigate = useNavigate();
  const set = (changes: { q?: string | undefined; name?: string | undefined }) => void navigate({ to: "/events", search: { q, name, ...changes }, replace: true });
  const events = useQuery(get("/api/v1/events"));
  const words = (q ?? "").toLowerCase().split(/\s+/).filter(Boolean);
  const rows = events.data?.items.filter(({ pattern, handlers }) => words.every((word) => [pattern, ...handlers].join(" ").toLowerCase().includes(word)));
  return (
    <>
      <PageHeader title="Events">{events.data ? `${count(events.data.items.length, "pattern")} that functions handle` : " "}</PageHeader>
      <StaleNotice stale={events.data?.stale ?? false}>
        <Time at={events.data?.at} />
      </StaleNotice>
      <div className="grid items-start gap-4 lg:grid-cols-[minmax(0,1fr)_26rem]">
        <section aria-label="Patterns" className="min-w-0">
          {events.isError && !events.data && <ErrorState error={events.error} onRetry={() => void events.refetch()} />}
          {events.data?.items.length === 0 && (
            <div className="rounded-lg border border-line bg-surface">
              <EmptyState icon={Zap} title="Nothing handles events yet" className="pb-6">
                Functions subscribe to an event's name, or to a pattern such as <code>order.*</code>. Each gets a job of its own when it is published.
              </EmptyState>
              <div className="mx-auto max-w-2xl px-4 pb-8">
                <CodeBlock label="An event and its handler" code={EXAMPLE} />
              </div>
            </div>
          )}
          {(events.isPending || (events.data && events.data.items.length > 0)) && (
            <>
              <SearchInput label="Search patterns" placeholder="Pattern or function" value={q ?? ""} onChange={(text) => set({ q: text || undefined })} className="mb-3 w-64 max-w-full" />
              {rows?.length === 0 ? (
                <EmptyState icon={SearchX} title="No pattern is like that" action={<Button onClick={() => set({ q: undefined })}>Show all {events.data?.items.length}</Button>} />
              ) : (
                <Table label="Patterns">
                  <Head>
                    <HeadCell>Pattern</HeadCell>
                    <HeadCell>Handled by</HeadCell>
                    <HeadCell><span className="sr-only">Actions</span></HeadCell>
                  </Head>
                  <tbody>
                    {!rows && <SkeletonRows rows={4} columns={3} />}
                    {rows?.map(({ pattern, handlers }) => (
                      <Row key={pattern}>
                        <Cell className="min-w-36"><code className="font-mono"><bdi>{pattern}</bdi></code></Cell>
                        <Cell>
                          <span className="flex flex-wrap gap-x-3 gap-y-1">
                            {handlers.map((each) => <Link key={each} to="/functions/$name" params={{ name: each }} className="text-accent hover:underline"><bdi>{each}</bdi></Link>)}
                          </span>
                        </Cell>
                        <Cell className="py-0 text-right">
                          {!pattern.includes("*") && <Button size="small" kind="quiet" aria-label={`Fill in ${pattern}`} onClick={() => set({ name: pattern })}>Fill in</Button>}
                        </Cell>
                      </Row>
                    ))}
                  </tbody>
                </Table>
              )}
            </>
          )}
        </section>
        <Publish name={name ?? ""} onName={(text) => set({ name: text || undefined })} patterns={events.data?.items ?? []} />
      </div>
    </>
  );
}

function Publish({ name, onName, patterns }: { name: string; onName: (name: string) => void; patterns: readonly Schemas["EventView"][] }) {
  const [json, setJson] = useState("{}");
  const [touched, setTouched] = useState(false);
  const [faults, setFaults] = useState<{ name?: string | undefined; json?: string | undefined; rest?: string | undefined }>({});
  const [published, setPublished] = useState<Schemas["PublishedView"] | null>(null);
  const refused = useRefusal("operate");
  const client = useQueryClient();
  const { data: functions } = useQuery(get("/api/v1/functions"));
  const handlers = handlersOf(patterns, name);
  const first = functions?.items.find((each) => each.name === handlers[0]);
  // What the first handler takes is a good beginning, until something else is written.
  useEffect(() => {
    const fields = first && fieldsOf(first.parameters);
    if (!touched && fields) setJson(stringify(asObject(fields, emptyValues(fields)), 2));
  }, [first?.name, touched]);
  const publish = useMutation({
    mutationFn: (given: Record<string, unknown>) => call(api.POST("/api/v1/events/{name}", { params: { path: { name } }, body: { arguments: given } })),
    onSuccess: (answer) => {
      setPublished(answer);
      toast({ title: `${name} was published`, detail: answer.jobs.length === 0 ? "Nobody handles it." : `${count(answer.jobs.length, "job")} came of it.`, tone: answer.jobs.length === 0 ? "blue" : "green" });
      refresh(client, "/api/v1/jobs", "/api/v1/queues");
    },
    onError: (error) => {
      const { detail, message, advice, status } = asApiError(error);
      setFaults(status === 422 ? { json: sentence(detail.replace(/; its signature is [^]*$/, "")) } : { rest: `${message}. ${advice}` });
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (refused || publish.isPending) return;
    setPublished(null);
    const found: typeof faults = { name: faultOfName(name) };
    try {
      const given = parseJson(json.trim() || "{}");
      if (!isObject(given)) throw new Error('Has to be an object: {"order_id": "A-1"}');
      if (!found.name) publish.mutate(given);
    } catch (error) {
      found.json = (error as Error).message;
    }
    setFaults(found);
  };
  return (
    <Panel title="Publish an event">
      <form
        noValidate
        onSubmit={submit}
        onKeyDown={(event) => {
          if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) submit(event);
        }}
        className="flex flex-col gap-4"
      >
        <Field label="Event" error={faults.name} hint={name === "" ? undefined : faultOfName(name) ? undefined : handlers.length === 0 ? "Nobody handles it at present" : `A job each for ${handlers.join(", ")}`}>
          <Input value={name} onChange={(event) => onName(event.target.value.trim())} placeholder="order.placed" list="conduit-events" spellCheck={false} autoCapitalize="off" autoComplete="off" className="font-mono" />
        </Field>
        <datalist id="conduit-events">{patterns.filter(({ pattern }) => !pattern.includes("*")).map(({ pattern }) => <option key={pattern} value={pattern} />)}</datalist>
        <Field label="Arguments, as JSON" hint="By name, the same for each handler" error={faults.json}>
          <TextArea
            rows={Math.min(16, Math.max(6, json.split("\n").length))}
            spellCheck={false}
            value={json}
            onChange={(event) => {
              setTouched(true);
              setJson(event.target.value);
            }}
          />
        </Field>
        {faults.rest && <p role="alert" className="rounded-md bg-red-soft px-3 py-2 break-words text-red">{faults.rest}</p>}
        <Button type="submit" kind="primary" icon={Send} busy={publish.isPending} refused={refused} className="self-end">Publish</Button>
        {published && (
          <div role="status" className="border-t border-line pt-3">
            {published.jobs.length === 0 ? (
              <p className="text-muted">Published, but no function handles it: no job came of it.</p>
            ) : (
              <ul className="flex flex-col gap-1">
                {published.jobs.map(({ job_id, function: handler }) => <li key={job_id}><HandledBy jobId={job_id} handler={handler} /></li>)}
              </ul>
            )}
          </div>
        )}
      </form>
    </Panel>
  );
}

/** A job that came of it, until its end. */
function HandledBy({ jobId, handler }: { jobId: string; handler: string }) {
  const { data: job } = useQuery({ ...get("/api/v1/jobs/{job_id}", { params: { path: { job_id: jobId } } }), refetchInterval: ({ state }) => (state.data ? false : 1000) });
  return (
    <Link to="/jobs/$id" params={{ id: jobId }} className="-mx-2 flex items-center gap-3 rounded-md px-2 py-1 hover:bg-hover">
      {job ? <StatusBadge status={job.status} /> : <Badge tone="amber">Submitted</Badge>}
      <bdi className="truncate font-medium">{handler}</bdi>
      <code className="ml-auto shrink-0 font-mono text-sm text-muted">{shortId(jobId)}</code>
    </Link>
  );
}

function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
