import type { ReactNode } from "react";
import { Ban, CircleCheck, CircleDashed, CircleX, Clock, Hand, Link2, LoaderCircle, type LucideIcon } from "lucide-react";
import type { JobStatus } from "@/api/client";
import { cx } from "@/lib/cx";

export type Tone = "gray" | "green" | "red" | "amber" | "blue" | "violet";

const TONES: Record<Tone, string> = {
  gray: "bg-gray-soft text-gray",
  green: "bg-green-soft text-green",
  red: "bg-red-soft text-red",
  amber: "bg-amber-soft text-amber",
  blue: "bg-blue-soft text-blue",
  violet: "bg-violet-soft text-violet",
};

export function Badge({ tone = "gray", icon: Icon, spin = false, className, children }: { tone?: Tone; icon?: LucideIcon; spin?: boolean; className?: string; children: ReactNode }) {
  return (
    <span className={cx("inline-flex h-5 items-center gap-1 rounded-full px-2 text-xs font-medium whitespace-nowrap", TONES[tone], className)}>
      {Icon && <Icon className={cx("size-3 shrink-0", spin && "animate-spin [animation-duration:2s]")} aria-hidden />}
      {children}
    </span>
  );
}

/** How each status looks: a colour, an icon and its name, for none of them alone is enough. */
export const STATUSES: Record<JobStatus, { tone: Tone; icon: LucideIcon; label: string; help: string }> = {
  blocked: { tone: "gray", icon: Link2, label: "Blocked", help: "Waits for the jobs that it comes after" },
  scheduled: { tone: "violet", icon: Clock, label: "Scheduled", help: "Waits for its time, or for its next attempt" },
  queued: { tone: "amber", icon: CircleDashed, label: "Queued", help: "Waits for a worker" },
  running: { tone: "blue", icon: LoaderCircle, label: "Running", help: "A worker holds it; Held until it is known to have begun" },
  completed: { tone: "green", icon: CircleCheck, label: "Completed", help: "Returned a result" },
  failed: { tone: "red", icon: CircleX, label: "Failed", help: "Has used up its attempts" },
  cancelled: { tone: "gray", icon: Ban, label: "Cancelled", help: "Was stopped before its end" },
};

export const STATUS_NAMES = Object.keys(STATUSES) as JobStatus[];

/** Whether a worker has a job whose function hasn't begun, as far as the queue has heard. */
export const isHeld = (job: { status: JobStatus; started_at: string | null }) => job.status === "running" && job.started_at === null;

/** A job's status. With `cancelling` for a running job whose worker was asked to stop it, `held` for one that hasn't begun. */
export function StatusBadge({ status, cancelling = false, held = false }: { status: JobStatus; cancelling?: boolean; held?: boolean }) {
  const { tone, icon, label } = STATUSES[status];
  if (cancelling && status === "running") return <Badge tone="amber" icon={LoaderCircle} spin>Cancelling</Badge>;
  if (held) return <Badge tone="blue" icon={Hand}>Held</Badge>;
  return <Badge tone={tone} icon={icon} spin={status === "running"}>{label}</Badge>;
}

export const TEXTS: Record<Tone, string> = { gray: "text-gray", green: "text-green", red: "text-red", amber: "text-amber", blue: "text-blue", violet: "text-violet" };

/** A status where there is no room for its name, which is read out and shown on hover. */
export function StatusIcon({ status, className }: { status: JobStatus; className?: string }) {
  const { tone, icon: Icon, label } = STATUSES[status];
  return (
    <span title={label} className={cx("inline-flex shrink-0", TEXTS[tone], className)}>
      <Icon className={cx("size-4", status === "running" && "animate-spin [animation-duration:2s]")} aria-hidden />
      <span className="sr-only">{label}</span>
    </span>
  );
}
