import { useState } from "react";
import { useNavigate } from "@tanstack/react-router";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { api, call, get, refresh, type Schemas } from "@/api/client";
import { asApiError } from "@/api/errors";
import { Button } from "@/components/Button";
import { Dialog } from "@/components/Dialog";
import { Field, Input, TextArea } from "@/components/Field";
import { toast } from "@/components/Toaster";
import { isObject, parse, stringify } from "@/lib/json";
import { asCall } from "./commands";

/** Submits a job like this one, with its arguments as they are or changed. */
export function RunAgain({ job, onClose }: { job: Schemas["JobDetail"]; onClose: () => void }) {
  const client = useQueryClient();
  const navigate = useNavigate();
  const [args, setArgs] = useState(() => stringify(job.args, 2));
  const [queue, setQueue] = useState(job.queue);
  const [isBusy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const functions = useQuery(get("/api/v1/functions"));
  const info = functions.data?.items.find((each) => each.name === job.function);
  const fault = faultOf(args);
  const submit = async () => {
    if (fault || isBusy) return;
    setBusy(true);
    setError(null);
    try {
      const wanted = { function: job.function, ...asCall(parse(args), info?.parameters), queue: queue.trim() || null, priority: job.priority };
      const { job_id } = await call(api.POST("/api/v1/jobs", { body: wanted as Schemas["SubmitRequest"] }));
      toast({ title: "Submitted", detail: `${job.function} runs as a job of its own.` });
      refresh(client, "/api/v1/jobs");
      onClose();
      void navigate({ to: "/jobs/$id", params: { id: job_id } });
    } catch (thrown) {
      setError(thrown);
    } finally {
      setBusy(false);
    }
  };
  const shown = error === null ? null : asApiError(error);
  return (
    <Dialog
      open
      onOpenChange={onClose}
      title={`Run ${job.function} again`}
      description="As a new job, with these arguments. This one stays as it is."
      className="w-[40rem]"
      footer={
        <>
          <Button onClick={onClose}>Close</Button>
          <Button kind="primary" busy={isBusy} disabled={Boolean(fault)} onClick={() => void submit()}>Submit</Button>
        </>
      }
    >
      <div className="flex flex-col gap-4">
        <Field label="Arguments" hint={info ? info.signature : "JSON, by the parameters' names"} error={fault}>
          <TextArea rows={Math.min(16, args.split("\n").length + 1)} spellCheck={false} value={args} onChange={(event) => setArgs(event.target.value)} />
        </Field>
        <Field label="Queue"><Input value={queue} maxLength={255} onChange={(event) => setQueue(event.target.value)} /></Field>
        {shown && (
          <div role="alert" className="rounded-md bg-red-soft px-3 py-2 text-red">
            <p className="font-medium">{shown.title}</p>
            <p className="break-words">{shown.detail}</p>
            {shown.problem?.errors?.map((each) => <p key={each.where} className="break-words">{each.where}: {each.message}</p>)}
          </div>
        )}
      </div>
    </Dialog>
  );
}

function faultOf(text: string): string | undefined {
  try {
    return isObject(parse(text)) ? undefined : "An object with the arguments by name is wanted";
  } catch (error) {
    return `This isn't JSON: ${error instanceof Error ? error.message : String(error)}`;
  }
}
