import type { Schemas } from "@/api/client";

type Job = Pick<Schemas["JobDetail"], "status" | "cancel_requested">;
type Role = Schemas["SessionView"]["role"];

const UNFINISHED = ["blocked", "scheduled", "queued", "running"];

/** Why something can't be done with a job now; undefined where it can. */
export interface Hindrances {
  retry?: string | undefined;
  cancel?: string | undefined;
  delete?: string | undefined;
  submit?: string | undefined;
}

/** What stands in the way of each action: the job's status, or the role of whoever looks. */
export function hindrances(job: Job, role: Role | undefined): Hindrances {
  const isFinished = !UNFINISHED.includes(job.status);
  const mayNot = role === "read" ? "Your key's role is read: it may only look" : undefined;
  return {
    retry: mayNot ?? (job.status === "failed" || job.status === "cancelled" ? undefined : job.status === "completed" ? "It has completed; run it again instead" : `It is ${job.status}; only failed and cancelled jobs can be retried`),
    cancel: mayNot ?? (isFinished ? `It has ended: it is ${job.status}` : job.cancel_requested ? "Its worker has been asked to stop it" : undefined),
    delete: (role === "read" || role === "operate" ? "Deleting takes a key of the role admin" : undefined) ?? (isFinished ? undefined : `It is ${job.status}; cancel it first`),
    submit: mayNot,
  };
}
