import type { Schemas } from "@/api/client";
import { refusal } from "@/api/role";

type Job = Pick<Schemas["JobDetail"], "status" | "cancel_requested">;

const UNFINISHED = ["blocked", "scheduled", "queued", "running"];

/** Why something can't be done with a job now; undefined where it can. */
export interface Refusals {
  retry: string | undefined;
  cancel: string | undefined;
  delete: string | undefined;
  submit: string | undefined;
}

/** What stands in the way of each action: the role of whoever looks, or the job's status. */
export function refusals({ status, cancel_requested }: Job, role: string | undefined): Refusals {
  const isFinished = !UNFINISHED.includes(status);
  const mayNotAct = refusal(role, "operate");
  const retry =
    status === "failed" || status === "cancelled" ? undefined
    : status === "completed" ? "It has completed; run it again instead"
    : `It is ${status}; only failed and cancelled jobs can be retried`;
  const cancel = isFinished ? `It has ended: it is ${status}` : cancel_requested ? "Its worker has been asked to stop it" : undefined;
  return {
    retry: mayNotAct ?? retry,
    cancel: mayNotAct ?? cancel,
    delete: refusal(role, "admin") ?? (isFinished ? undefined : `It is ${status}; cancel it first`),
    submit: mayNotAct,
  };
}
