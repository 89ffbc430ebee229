import { useZone } from "@/app/settings";
import { useTicking } from "@/lib/clock";
import { duration, exact, relative } from "@/lib/format";
import { cx } from "@/lib/cx";

type Moment = string | number | null | undefined;

/** A time as it is from now; the exact one, in the user's zone, on hover. `–` where there is none. */
export function Time({ at, className, absolute = false }: { at: Moment; className?: string; absolute?: boolean }) {
  const ms = toMs(at);
  const zone = useZone();
  const text = useTicking((now) => (ms === null ? "–" : absolute ? exact(ms, zone) : relative(ms, now)));
  if (ms === null) return <span className="text-faint">–</span>;
  return (
    <time dateTime={new Date(ms).toISOString()} title={exact(ms, zone)} className={cx("whitespace-nowrap", className)}>
      {text}
    </time>
  );
}

/** A span: `ms`, or from `from` until `until`, or until now, counting, where that is null. */
export function Duration({ ms, from, until, className }: { ms?: number | null; from?: Moment; until?: Moment; className?: string }) {
  const start = toMs(from);
  const end = toMs(until);
  const text = useTicking((now) => {
    if (typeof ms === "number") return duration(ms);
    if (start === null) return "–";
    return end === null ? duration(Math.max(0, Math.floor((now - start) / 1000) * 1000)) : duration(Math.max(0, end - start));
  });
  return <span className={cx("whitespace-nowrap", text === "–" && "text-faint", className)}>{text}</span>;
}

function toMs(at: Moment): number | null {
  if (at === null || at === undefined) return null;
  const ms = typeof at === "number" ? at : Date.parse(at);
  return Number.isNaN(ms) ? null : ms;
}
