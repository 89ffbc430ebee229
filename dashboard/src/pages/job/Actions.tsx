import { useState } from "react";
import { useNavigate } from "@tanstack/react-router";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Ban, ChevronDown, ClipboardCopy, Play, RotateCcw, Terminal, Trash2, type LucideIcon } from "lucide-react";
import { api, call, get, refresh, type Schemas } from "@/api/client";
import { asApiError } from "@/api/errors";
import { Button } from "@/components/Button";
import { copyText } from "@/components/Copy";
import { ConfirmDialog } from "@/components/Dialog";
import { Menu, MenuItem } from "@/components/Menu";
import { Tooltip } from "@/components/Tooltip";
import { toast, toastError } from "@/components/Toaster";
import { useShortcuts } from "@/keyboard/shortcuts";
import { cx } from "@/lib/cx";
import { RunAgain } from "./RunAgain";
import { hindrances } from "./actions";
import { asCall, asCli, asCurl, type Submission } from "./commands";

type Job = Schemas["JobDetail"];

/** What can be done with a job. What can't says why. */
export function Actions({ job }: { job: Job }) {
  const client = useQueryClient();
  const navigate = useNavigate();
  const { data: session } = useQuery(get("/api/v1/session"));
  const [asking, setAsking] = useState<"cancel" | "delete" | "run" | null>(null);
  const not = hindrances(job, session?.keys_required === false ? undefined : session?.role);
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
  useShortcuts([
    { keys: "r", label: "Retry", group: "Job", run: () => (not.retry ? toast({ tone: "blue", title: "It can't be retried", detail: not.retry }) : retry.mutate()) },
    { keys: "c", label: "Cancel", group: "Job", run: () => (not.cancel ? toast({ tone: "blue", title: "It can't be cancelled", detail: not.cancel }) : setAsking("cancel")) },
    { keys: "e", label: "Run again, edited", group: "Job", run: () => !not.submit && setAsking("run") },
  ]);
  return (
    <>
      <Act icon={RotateCcw} label="Retry" keys="r" kind={job.status === "failed" ? "primary" : "plain"} hindrance={not.retry} busy={retry.isPending} onAct={() => retry.mutate()} />
      <Act icon={Ban} label="Cancel" keys="c" hindrance={not.cancel} onAct={() => setAsking("cancel")} />
      <Act icon={Play} label="Run again…" keys="e" hindrance={not.submit} onAct={() => setAsking("run")} />
      <CopyAs job={job} withKey={session?.keys_required ?? true} />
      <Act icon={Trash2} label="Delete" kind="danger" hindrance={not.delete} onAct={() => setAsking("delete")} />
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

interface ActProps {
  icon: LucideIcon;
  label: string;
  keys?: string;
  kind?: "plain" | "primary" | "danger";
  hindrance: string | undefined;
  busy?: boolean;
  onAct: () => void;
}

/** A button that can be reached even when it can't be used, so that everybody learns why. */
function Act({ icon, label, keys, kind = "plain", hindrance, busy = false, onAct }: ActProps) {
  const button = (
    <Button
      icon={icon}
      kind={hindrance ? "plain" : kind}
      busy={busy}
      aria-disabled={hindrance ? true : undefined}
      className={cx(hindrance && "cursor-not-allowed text-faint hover:bg-surface")}
      onClick={() => (hindrance ? toast({ tone: "blue", title: `${label.replace("…", "")} isn't possible`, detail: `${hindrance}.` }) : onAct())}
    >
      {label}
    </Button>
  );
  return <Tooltip text={hindrance ?? label.replace("…", "")} keys={hindrance ? undefined : keys}>{button}</Tooltip>;
}

function CopyAs({ job, withKey }: { job: Job; withKey: boolean }) {
  const { data: functions } = useQuery(get("/api/v1/functions"));
  const submission = (): Submission => ({
    function: job.function,
    ...asCall(job.args, functions?.items.find((each) => each.name === job.function)?.signature),
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
      <MenuItem icon={ClipboardCopy} onSelect={() => copy("Arguments", JSON.stringify(job.args, null, 2))}>Arguments as JSON</MenuItem>
    </Menu>
  );
}
