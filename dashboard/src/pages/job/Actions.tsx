import { useState } from "react";
import { useNavigate } from "@tanstack/react-router";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Ban, ChevronDown, ClipboardCopy, Play, RotateCcw, Terminal, Trash2 } from "lucide-react";
import { api, call, get, refresh, type Schemas } from "@/api/client";
import { asApiError } from "@/api/errors";
import { Button } from "@/components/Button";
import { copyText } from "@/components/Copy";
import { ConfirmDialog } from "@/components/Dialog";
import { Menu, MenuItem } from "@/components/Menu";
import { toast, toastError } from "@/components/Toaster";
import { useShortcuts } from "@/keyboard/shortcuts";
import { stringify } from "@/lib/json";
import { RunAgain } from "./RunAgain";
import { refusals } from "./actions";
import { asCall, asCli, asCurl, type Submission } from "./commands";

type Job = Schemas["JobDetail"];

/** What can be done with a job. What can't says why. */
export function Actions({ job }: { job: Job }) {
  const client = useQueryClient();
  const navigate = useNavigate();
  const { data: session } = useQuery(get("/api/v1/session"));
  const [asking, setAsking] = useState<"cancel" | "delete" | "run" | null>(null);
  const not = refusals(job, session?.role);
  const path = { params: { path: { job_id: job.id } } };
  const after = (title: string, detail?: string) => {
    toast(detail ? { title, detail } : { title });
    refresh(client, "/api/v1/jobs");
  };
  const failed = (error: unknown) => {
    // Somebody else was faster, as a rule: what is shown is what is wrong.
    toastError(error);
    if (asApiError(error).status === 409 || asApiError(error).status === 404) refresh(client, "/api/v1/jobs");
  };
  const retry = useMutation({ mutationFn: () => call(api.POST("/api/v1/jobs/{job_id}/retry", path)), onSuccess: () => after("Queued again", "It runs with fresh attempts and the same arguments."), onError: failed });
  const cancel = async () => {
    try {
      const { status } = await call(api.POST("/api/v1/jobs/{job_id}/cancel", path));
      if (status === "running") after("Cancelling", "Its worker has been asked to stop it.");
      else after("Cancelled");
    } catch (error) {
      failed(error);
    }
  };
  const remove = async () => {
    try {
      await call(api.DELETE("/api/v1/jobs/{job_id}", path));
    } catch (error) {
      failed(error);
      return;
    }
    toast({ title: "Deleted" });
    void navigate({ to: "/jobs" });
    client.removeQueries({ predicate: ({ queryKey }) => JSON.stringify(queryKey).includes(job.id) });
    refresh(client, "/api/v1/jobs");
  };
  const unless = (refused: string | undefined, act: () => void) => () => (refused ? toast({ tone: "blue", title: "That isn't possible", detail: `${refused}.` }) : act());
  useShortcuts([
    { keys: "r", label: "Retry", group: "Job", run: unless(not.retry, () => retry.mutate()) },
    { keys: "c", label: "Cancel", group: "Job", run: unless(not.cancel, () => setAsking("cancel")) },
    { keys: "e", label: "Run again, edited", group: "Job", run: unless(not.submit, () => setAsking("run")) },
  ]);
  return (
    <>
      <Button icon={RotateCcw} kind={job.status === "failed" ? "primary" : "plain"} refused={not.retry} busy={retry.isPending} onClick={() => retry.mutate()}>Retry</Button>
      <Button icon={Ban} refused={not.cancel} onClick={() => setAsking("cancel")}>Cancel</Button>
      <Button icon={Play} refused={not.submit} onClick={() => setAsking("run")}>Run again…</Button>
      <CopyAs job={job} withKey={session?.keys_required ?? true} />
      <Button icon={Trash2} kind={not.delete ? "plain" : "danger"} refused={not.delete} onClick={() => setAsking("delete")}>Delete</Button>
      {asking === "run" && <RunAgain job={job} onClose={() => setAsking(null)} />}
      {asking === "cancel" && (
        <ConfirmDialog
          open
          onOpenChange={() => setAsking(null)}
          title="Cancel this job?"
          description={job.status === "running" ? "Its worker is asked to stop it. What it has done so far stays done." : "It won't be started. It can be retried later."}
          confirm="Cancel the job"
          onConfirm={cancel}
        />
      )}
      {asking === "delete" && (
        <ConfirmDialog open onOpenChange={() => setAsking(null)} title="Delete this job?" description="It is forgotten with its attempts, logs and artifacts. This can't be undone." confirm="Delete the job" onConfirm={remove} />
      )}
    </>
  );
}

function CopyAs({ job, withKey }: { job: Job; withKey: boolean }) {
  const { data: functions } = useQuery(get("/api/v1/functions"));
  const submission = (): Submission => ({
    function: job.function,
    ...asCall(job.args, functions?.items.find((each) => each.name === job.function)?.parameters),
    queue: job.queue,
    priority: job.priority,
    key: job.key,
  });
  const copy = (what: string, text: string) =>
    void copyText(text).then(
      () => toast({ title: `${what} copied`, detail: text.length > 200 ? `${text.slice(0, 200)}…` : text }),
      () => toast({ tone: "red", title: "Couldn't copy", detail: "The browser doesn't allow it here." }),
    );
  return (
    <Menu
      trigger={
        <Button icon={ClipboardCopy}>
          Copy as
          <ChevronDown className="size-3.5 text-muted" aria-hidden />
        </Button>
      }
    >
      <MenuItem icon={Terminal} onSelect={() => copy("Command", asCli(submission()))}>CLI command</MenuItem>
      <MenuItem icon={Terminal} onSelect={() => copy("curl", asCurl(submission(), location.origin, withKey))}>curl</MenuItem>
      <MenuItem icon={ClipboardCopy} onSelect={() => copy("Arguments", stringify(job.args, 2))}>Arguments as JSON</MenuItem>
    </Menu>
  );
}
