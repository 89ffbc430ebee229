import { STATUSES, STATUS_NAMES, TEXTS } from "@/components/Badge";
import type { JobStatus } from "@/api/client";
import { compact, number } from "@/lib/format";
import { cx } from "@/lib/cx";

/** Which statuses are shown, with how many jobs there are of each. */
export function StatusChips({ chosen, counts, onChange }: { chosen: readonly JobStatus[]; counts: Partial<Record<JobStatus, number>> | null | undefined; onChange: (chosen: JobStatus[]) => void }) {
  const all = counts ? Object.values(counts).reduce((sum, each) => sum + each, 0) : undefined;
  // Few have jobs that wait for others: it is shown where there are any, or they are looked for.
  const names = STATUS_NAMES.filter((name) => name !== "blocked" || chosen.includes(name) || counts?.blocked);
  const toggle = (name: JobStatus) => onChange(chosen.includes(name) ? chosen.filter((each) => each !== name) : [...chosen, name]);
  return (
    <div role="group" aria-label="Status" className="-mx-4 mb-3 flex gap-1.5 overflow-x-auto px-4 py-0.5 md:mx-0 md:flex-wrap md:px-0">
      <Chip label="All" count={all} pressed={chosen.length === 0} onPress={() => onChange([])} />
      {names.map((name) => {
        const { label, icon: Icon, tone, help } = STATUSES[name];
        return (
          <Chip key={name} label={label} help={help} count={counts ? (counts[name] ?? 0) : undefined} pressed={chosen.includes(name)} onPress={() => toggle(name)}>
            <Icon className={cx("size-3.5", TEXTS[tone])} aria-hidden />
          </Chip>
        );
      })}
    </div>
  );
}

function Chip({ label, help, count, pressed, onPress, children }: { label: string; help?: string; count: number | undefined; pressed: boolean; onPress: () => void; children?: React.ReactNode }) {
  return (
    <button
      type="button"
      aria-pressed={pressed}
      title={help}
      onClick={onPress}
      className={cx(
        "inline-flex h-8 shrink-0 items-center gap-1.5 rounded-full border px-3 transition-colors",
        pressed ? "border-accent bg-selected font-medium text-ink" : "border-line bg-surface text-muted hover:bg-hover hover:text-ink",
      )}
    >
      {children}
      {label}
      <span className={cx("min-w-4 text-right text-sm", pressed ? "text-ink" : "text-faint")} title={count === undefined ? undefined : number(count)}>
        {count === undefined ? "–" : compact(count)}
      </span>
    </button>
  );
}
