import { useMemo, useState, type FormEvent } from "react";
import { Link } from "@tanstack/react-router";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { ChevronRight, Play } from "lucide-react";
import { api, call, get, refresh, type Schemas } from "@/api/client";
import { asApiError } from "@/api/errors";
import { useRefusal } from "@/api/role";
import { StatusBadge, isHeld } from "@/components/Badge";
import { Button } from "@/components/Button";
import { Dialog } from "@/components/Dialog";
import { Field, Input, TextArea } from "@/components/Field";
import { JsonView } from "@/components/JsonView";
import { Segments } from "@/components/Tabs";
import { Duration } from "@/components/Time";
import { shortId } from "@/lib/format";
import { isObject, stringify } from "@/lib/json";
import { ArgumentInput } from "./ArgumentInput";
import { argumentsOf, asObject, emptyValues, faultsOf, fieldsOf, fromObject, parseJson, parseSpan, type Arguments, type ArgumentField, type Faults, type FieldValue, type Values } from "./form";

const NO_FAULTS: Faults = { fields: {}, options: {}, rest: undefined };

interface Options {
  delay: string;
  key: string;
  queue: string;
  priority: string;
}

const NO_OPTIONS: Options = { delay: "", key: "", queue: "", priority: "" };

/** A form made of the function's signature; it stays open to run it again, and follows the job. */
export function RunDialog({ info, open, onOpenChange }: { info: Schemas["FunctionView"]; open: boolean; onOpenChange: (open: boolean) => void }) {
  return (
    <Dialog
      open={open}
      onOpenChange={onOpenChange}
      title={`Run ${info.name}`}
      description={<code className="font-mono text-sm break-words">{info.signature}</code>}
      className="top-[6vh] max-h-[88dvh] w-[40rem]"
    >
      <RunForm key={info.signature} info={info} />
    </Dialog>
  );
}

function RunForm({ info }: { info: Schemas["FunctionView"] }) {
  const fields = useMemo(() => fieldsOf(info.parameters), [info.signature]);
  const [values, setValues] = useState<Values>(() => emptyValues(fields));
  const [json, setJson] = useState<string | null>(null);
  const [options, setOptions] = useState(NO_OPTIONS);
  const [faults, setFaults] = useState<Faults>(NO_FAULTS);
  const [submitted, setSubmitted] = useState<Schemas["SubmittedView"] | null>(null);
  const refused = useRefusal("operate");
  const client = useQueryClient();
  const run = useMutation({
    mutationFn: (body: Partial<Schemas["SubmitRequest"]>) => call(api.POST("/api/v1/jobs", { body: { function: info.name, ...body } as Schemas["SubmitRequest"] })),
    onSuccess: (answer) => {
      setSubmitted(answer);
      refresh(client, "/api/v1/jobs", "/api/v1/queues");
    },
    onError: (error) => setFaults(faultsOf(asApiError(error), fields)),
  });
  const submit = (event?: FormEvent) => {
    event?.preventDefault();
    if (refused || run.isPending) return;
    const read = readForm(fields, values, json);
    const chosen = readOptions(options);
    const found: Faults = { ...(read.ok ? NO_FAULTS : read.faults), options: chosen.faults };
    setFaults(found);
    setSubmitted(null);
    if (read.ok && Object.keys(chosen.faults).length === 0) run.mutate({ ...read.arguments, ...chosen.options });
  };
  const turn = (wanted: "form" | "json") => {
    if ((wanted === "json") === (json !== null)) return;
    if (wanted === "json") {
      setJson(stringify(asObject(fields, values), 2));
      setFaults(NO_FAULTS);
      return;
    }
    try {
      const { values: read, unknown } = fromObject(fields, parseJson(json ?? "{}"));
      if (unknown.length > 0) throw new Error(`There is no parameter ${unknown[0]}`);
      setValues(read);
      setJson(null);
      setFaults(NO_FAULTS);
    } catch (error) {
      setFaults({ ...NO_FAULTS, fields: { [JSON_FIELD]: (error as Error).message } });
    }
  };
  const change = (name: string, value: FieldValue) => {
    setValues((known) => ({ ...known, [name]: value }));
    setFaults((known) => ({ ...known, fields: Object.fromEntries(Object.entries(known.fields).filter(([each]) => each !== name)) }));
  };
  return (
    <form
      noValidate
      onSubmit={submit}
      onKeyDown={(event) => {
        if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) submit(event);
      }}
      className="flex flex-col gap-4"
    >
      <div className="flex flex-col gap-4" role="group" aria-label="Arguments">
        {fields.length > 0 && (
          <Segments label="Give arguments by" value={json === null ? "form" : "json"} onChange={turn} options={[{ value: "form", label: "Form" }, { value: "json", label: "JSON" }]} className="self-start" />
        )}
        {json === null && fields.map((field) => (
          <ArgumentInput key={field.name} field={field} value={values[field.name] ?? { mode: "value", text: "" }} onChange={(value) => change(field.name, value)} fault={faults.fields[field.name]} />
        ))}
        {json === null && fields.length === 0 && <p className="text-muted">It takes no arguments.</p>}
        {json !== null && (
          <Field label="Arguments by name, as JSON" error={faults.fields[JSON_FIELD] ?? Object.entries(faults.fields).map(([name, fault]) => `${name}: ${fault}`).join(". ")}>
            <TextArea spellCheck={false} rows={8} value={json} onChange={(event) => setJson(event.target.value)} />
          </Field>
        )}
      </div>
      <RunOptions info={info} options={options} onChange={setOptions} faults={faults.options} />
      {faults.rest && <p role="alert" className="rounded-md bg-red-soft px-3 py-2 break-words text-red">{faults.rest}</p>}
      {submitted && <Submitted answer={submitted} key={submitted.job_id} />}
      <div className="flex items-center justify-end gap-3">
        <span className="text-sm text-muted max-sm:hidden">Ctrl Enter runs it</span>
        <Button type="submit" kind="primary" icon={Play} busy={run.isPending} refused={refused}>{submitted ? "Run again" : "Run"}</Button>
      </div>
    </form>
  );
}

/** Where faults of the JSON itself are kept: no parameter has this name. */
const JSON_FIELD = " json";

function readForm(fields: readonly ArgumentField[], values: Values, json: string | null): { ok: true; arguments: Arguments } | { ok: false; faults: Faults } {
  let of = values;
  if (json !== null) {
    try {
      const object = parseJson(json);
      if (!isObject(object)) throw new Error('Has to be an object: {"name": 1}');
      const { values: read, unknown } = fromObject(fields, object);
      if (unknown.length > 0) throw new Error(`There is no parameter ${unknown[0]}`);
      of = read;
    } catch (error) {
      return { ok: false, faults: { ...NO_FAULTS, fields: { [JSON_FIELD]: (error as Error).message } } };
    }
  }
  const read = argumentsOf(fields, of);
  return read.ok ? read : { ok: false, faults: { ...NO_FAULTS, fields: read.faults } };
}

function readOptions({ delay, key, queue, priority }: Options): { options: Partial<Schemas["SubmitRequest"]>; faults: Record<string, string> } {
  const faults: Record<string, string> = {};
  const options: Partial<Schemas["SubmitRequest"]> = {};
  if (delay.trim()) {
    const ms = parseSpan(delay);
    if (ms === null) faults.delay = "Write 90s, 5m or 1h30m";
    else options.delay = ms / 1000;
  }
  if (priority.trim()) {
    if (/^[+-]?\d+$/.test(priority.trim())) options.priority = Number(priority);
    else faults.priority = "Has to be a whole number";
  }
  if (key.trim()) options.key = key.trim();
  if (queue.trim()) options.queue = queue.trim();
  return { options, faults };
}

function RunOptions({ info, options, onChange, faults }: { info: Schemas["FunctionView"]; options: Options; onChange: (options: Options) => void; faults: Record<string, string> }) {
  const [open, setOpen] = useState(false);
  const { data: queues } = useQuery(get("/api/v1/queues"));
  const shown = open || Object.keys(faults).length > 0;
  const set = (name: keyof Options) => ({ value: options[name], onChange: (event: { target: { value: string } }) => onChange({ ...options, [name]: event.target.value }) });
  const chosen = Object.values(options).filter(Boolean).length;
  // Those of a request's body that have no field here are told below it.
  const others = Object.entries(faults).filter(([name]) => !(name in NO_OPTIONS));
  return (
    <div className="rounded-lg border border-line">
      <button type="button" aria-expanded={shown} onClick={() => setOpen(!shown)} className="flex h-9 w-full items-center gap-1.5 rounded-lg px-3 font-medium hover:bg-hover">
        <ChevronRight className={shown ? "size-4 rotate-90 text-muted transition-transform" : "size-4 text-muted transition-transform"} aria-hidden />
        Options
        <span className="font-normal text-muted">{chosen > 0 ? `${chosen} set` : "delay, key, queue, priority"}</span>
      </button>
      {shown && (
        <div className="grid gap-3 px-3 pt-1 pb-3 sm:grid-cols-2">
          <Field label="Delay" hint="How long it waits at least: 90s, 5m, 1h30m" error={faults.delay}><Input placeholder="none" {...set("delay")} /></Field>
          <Field label="Key" hint="While a job with it is unfinished, no other is added" error={faults.key}><Input placeholder="none" {...set("key")} /></Field>
          <Field label="Queue" hint="Some worker has to serve it" error={faults.queue}><Input placeholder={info.queue} list="conduit-queues" {...set("queue")} /></Field>
          <Field label="Priority" hint="From -100 to 100; the higher, the sooner" error={faults.priority}><Input inputMode="numeric" placeholder={String(info.priority)} {...set("priority")} /></Field>
          <datalist id="conduit-queues">{queues?.items.map(({ name }) => <option key={name} value={name} />)}</datalist>
        </div>
      )}
      {others.map(([name, message]) => <p key={name} role="alert" className="px-3 pb-3 text-red">{name}: {message}</p>)}
    </div>
  );
}

/** The job that came of it, until its end. */
function Submitted({ answer }: { answer: Schemas["SubmittedView"] }) {
  // A server that hasn't heard of the job yet says that there is none: it is asked anew with the job's first change.
  const { data: job } = useQuery({ ...get("/api/v1/jobs/{job_id}", { params: { path: { job_id: answer.job_id } } }), refetchInterval: ({ state }) => (state.data ? false : 1000) });
  return (
    <div role="status" className="flex flex-col gap-2 rounded-lg border border-line bg-surface p-3">
      <div className="flex flex-wrap items-center gap-x-3 gap-y-1">
        <StatusBadge status={job?.status ?? "queued"} held={job !== undefined && isHeld(job)} />
        <Link to="/jobs/$id" params={{ id: answer.job_id }} title={answer.job_id} className="font-mono text-sm text-accent hover:underline">{shortId(answer.job_id)}</Link>
        {answer.duplicate && <span className="text-muted">An unfinished job has this key: nothing was added.</span>}
        {job?.started_at && <span className="ml-auto text-muted">ran <Duration from={job.started_at} until={job.status === "running" ? null : (job.finished_at ?? job.started_at)} /></span>}
      </div>
      {job?.error && <p className="text-sm break-words text-red"><bdi>{job.error.type}: {job.error.message.slice(0, 500)}</bdi></p>}
      {job?.status === "completed" && job.result !== null && <JsonView value={job.result} label="Result" openDepth={1} />}
    </div>
  );
}
