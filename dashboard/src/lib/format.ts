export type Zone = "local" | "utc";

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** A span as people say it: `0.8 ms`, `340 ms`, `4.2 s`, `3 m 12 s`, `5 h 2 m`, `3 d 4 h`. */
export function duration(ms: number): string {
  if (!Number.isFinite(ms)) return "–";
  if (ms < 0) return `-${duration(-ms)}`;
  if (ms === 0) return "0 ms";
  if (ms < 1) return `${trim(ms, 2)} ms`;
  if (ms < 10) return `${trim(ms, 1)} ms`;
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  if (ms < 9_950) return `${trim(ms / SECOND, 1)} s`;
  if (ms < 59_500) return `${Math.round(ms / SECOND)} s`;
  const seconds = Math.round(ms / SECOND) * SECOND;
  if (seconds < HOUR) return two(seconds, MINUTE, "m", SECOND, "s");
  const minutes = Math.round(ms / MINUTE) * MINUTE;
  if (minutes < DAY) return two(minutes, HOUR, "h", MINUTE, "m");
  return two(Math.round(ms / HOUR) * HOUR, DAY, "d", HOUR, "h");
}

function two(ms: number, large: number, largeName: string, small: number, smallName: string) {
  const rest = Math.floor((ms % large) / small);
  const head = `${number(Math.floor(ms / large))} ${largeName}`;
  return rest ? `${head} ${rest} ${smallName}` : head;
}

function trim(value: number, digits: number): string {
  return String(Number(value.toFixed(digits)));
}

/** How far a time is from now: `just now`, `12 s ago`, `in 5 m`, `3 d ago`. One unit. */
export function relative(at: number, now: number): string {
  const ms = Math.abs(now - at);
  if (ms < 1500) return "just now";
  const [unit, name] =
    ms < MINUTE - 500 ? [SECOND, "s"] as const
    : ms < HOUR - 30 * SECOND ? [MINUTE, "m"] as const
    : ms < DAY - 30 * MINUTE ? [HOUR, "h"] as const
    : ms < 365 * DAY ? [DAY, "d"] as const
    : [365 * DAY, "y"] as const;
  const text = `${Math.round(ms / unit)} ${name}`;
  return at > now ? `in ${text}` : `${text} ago`;
}

/** A time to the millisecond, with its zone: `2026-11-02 10:00:00.123 +01:00`. */
export function exact(at: number, zone: Zone): string {
  return `${day(at, zone)} ${clock(at, zone)}.${pad(new Date(at).getUTCMilliseconds(), 3)} ${offset(at, zone)}`;
}

/** `2026-11-02` in the zone. */
export function day(at: number, zone: Zone): string {
  const date = new Date(at);
  return zone === "utc"
    ? `${date.getUTCFullYear()}-${pad(date.getUTCMonth() + 1)}-${pad(date.getUTCDate())}`
    : `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())}`;
}

/** `10:00:00` in the zone; `10:00` with `seconds` false. */
export function clock(at: number, zone: Zone, seconds = true): string {
  const date = new Date(at);
  const parts =
    zone === "utc"
      ? [date.getUTCHours(), date.getUTCMinutes(), date.getUTCSeconds()]
      : [date.getHours(), date.getMinutes(), date.getSeconds()];
  return parts.slice(0, seconds ? 3 : 2).map((each) => pad(each)).join(":");
}

function offset(at: number, zone: Zone): string {
  if (zone === "utc") return "UTC";
  const minutes = -new Date(at).getTimezoneOffset();
  const size = Math.abs(minutes);
  return `${minutes < 0 ? "-" : "+"}${pad(Math.floor(size / 60))}:${pad(size % 60)}`;
}

function pad(value: number, digits = 2): string {
  return String(value).padStart(digits, "0");
}

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });

/** A count in full: `12,345`. */
export function number(value: number): string {
  return whole.format(value);
}

/** A count that fits anywhere: `12.3K`. */
export function compact(value: number): string {
  return Math.abs(value) < 10_000 ? number(value) : short.format(value);
}

/** How often in a second, or in a minute or hour where that is seldom: `12.5/s`, `3/min`. */
export function rate(perSecond: number): string {
  if (perSecond === 0) return "0/s";
  if (perSecond >= 100) return `${compact(perSecond)}/s`;
  if (perSecond >= 1) return `${trim(perSecond, 1)}/s`;
  if (perSecond * 60 >= 1) return `${trim(perSecond * 60, 1)}/min`;
  return `${trim(perSecond * 3600, 1)}/h`;
}

/** A share: `0.02` is `2 %`; small ones never look like none. */
export function percent(share: number): string {
  if (share > 0 && share < 0.001) return "<0.1 %";
  if (share < 1 && share > 0.999) return ">99.9 %";
  return `${trim(share * 100, share < 0.1 ? 1 : 0)} %`;
}

/** Bytes: `340 B`, `1.2 MiB`. */
export function bytes(size: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let value = size;
  let unit = 0;
  while (value >= 1023.5 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${trim(value, value < 10 && unit ? 1 : 0)} ${units[unit]}`;
}

/** `1 job`, `2 jobs`, `3 queries` with the plural given where it isn't regular. */
export function count(many: number, one: string, plural = `${one}s`): string {
  return `${number(many)} ${many === 1 ? one : plural}`;
}

/** The first block of an id, enough to tell jobs apart at a glance. */
export function shortId(id: string): string {
  return id.length > 14 ? `${id.slice(0, 8)}…${id.slice(-4)}` : id;
}
