import { cx } from "@/lib/cx";

/** How much of something is used, as a bar and in numbers: `3/10`. */
export function Meter({ used, of, label, className }: { used: number; of: number; label: string; className?: string }) {
  const share = of > 0 ? Math.min(1, used / of) : 0;
  return (
    <span role="meter" aria-label={label} aria-valuemin={0} aria-valuemax={of} aria-valuenow={Math.min(used, of)} aria-valuetext={`${used} of ${of}`} title={`${used} of ${of} at a time`} className={cx("inline-flex w-32 items-center gap-2", className)}>
      <span aria-hidden className="h-1.5 flex-1 overflow-hidden rounded-full bg-hover">
        <span className={cx("block h-full rounded-full transition-[width]", share > 0.9 ? "bg-amber" : "bg-accent")} style={{ width: `${share * 100}%` }} />
      </span>
      <span aria-hidden className="min-w-10 text-right">{used}/{of}</span>
    </span>
  );
}
