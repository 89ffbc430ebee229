const DAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];
const NICKNAMES: Record<string, string> = {
  "@hourly": "0 * * * *",
  "@daily": "0 0 * * *",
  "@midnight": "0 0 * * *",
  "@weekly": "0 0 * * 0",
  "@monthly": "0 0 1 * *",
  "@yearly": "0 0 1 1 *",
  "@annually": "0 0 1 1 *",
};
const UNITS: Record<string, string> = { ms: "millisecond", s: "second", m: "minute", h: "hour", d: "day", w: "week" };

/** A schedule in words, if it is a simple one: `0 9 * * MON-FRI` is `At 09:00, Monday to Friday`. */
export function inWords(schedule: string): string | null {
  const text = schedule.trim();
  const every = /^(?:@every\s+|every\s+)(.+)$/i.exec(text)?.[1];
  if (every !== undefined) return everySpan(every);
  const fields = (NICKNAMES[text.toLowerCase()] ?? text).toUpperCase().split(/\s+/);
  if (fields.length !== 5) return null;
  const [minute = "", hour = "", dayOfMonth = "", month = "", dayOfWeek = ""] = fields;
  const time = timeOf(minute, hour);
  const days = daysOf(dayOfMonth, dayOfWeek);
  const months = monthsOf(month);
  if (time === null || days === null || months === null) return null;
  if (!days && !months && time.isOnce) return `${time.text.replace(/^At/, "Every day at")}`;
  return [time.text, days, months].filter(Boolean).join(", ");
}

/** `90s` is `Every 90 seconds`, `1h30m` is `Every 1 hour 30 minutes`. */
function everySpan(text: string): string | null {
  const parts = [...text.matchAll(/(\d+)(ms|[smhdw])/g)];
  if (parts.length === 0 || parts.map(([whole]) => whole).join("") !== text.replace(/\s/g, "")) return null;
  const words = parts.map(([, many = "", unit = ""]) => `${many} ${UNITS[unit]}${many === "1" ? "" : "s"}`);
  return parts.length === 1 && parts[0]?.[1] === "1" ? `Every ${UNITS[parts[0][2] ?? ""]}` : `Every ${words.join(" ")}`;
}

function timeOf(minute: string, hour: string): { text: string; isOnce: boolean } | null {
  const minutes = numbers(minute, 0, 59);
  const hours = numbers(hour, 0, 23);
  const stepOfMinutes = step(minute);
  const stepOfHours = step(hour);
  if (minute === "*" && hour === "*") return { text: "Every minute", isOnce: false };
  if (stepOfMinutes && hour === "*") return { text: `Every ${stepOfMinutes} minutes`, isOnce: false };
  if (minutes?.length === 1 && hour === "*") return { text: minutes[0] === 0 ? "Every hour" : `Every hour at ${minutes[0]} past`, isOnce: false };
  if (minutes?.length === 1 && stepOfHours) return { text: `Every ${stepOfHours} hours${minutes[0] === 0 ? "" : ` at ${minutes[0]} past`}`, isOnce: false };
  if (minutes && hours && minutes.length * hours.length <= 4) {
    const times = hours.flatMap((each) => minutes.map((other) => `${pad(each)}:${pad(other)}`));
    return { text: `At ${listed(times)}`, isOnce: true };
  }
  const between = range(hour, 0, 23);
  if (between && (minute === "*" || stepOfMinutes)) {
    const often = minute === "*" ? "Every minute" : `Every ${stepOfMinutes} minutes`;
    return { text: `${often} from ${pad(between[0])}:00 to ${pad(between[1])}:59`, isOnce: false };
  }
  if (between && minutes?.length === 1) return { text: `Every hour at ${minutes[0]} past, from ${pad(between[0])} to ${pad(between[1])}`, isOnce: false };
  return null;
}

/** Empty where every day is meant; null where it isn't simple. */
function daysOf(dayOfMonth: string, dayOfWeek: string): string | null {
  if (dayOfMonth === "*" && dayOfWeek === "*") return "";
  if (dayOfMonth !== "*" && dayOfWeek !== "*") return null; // either of them, as cron has it
  if (dayOfWeek !== "*") {
    const named = dayOfWeek.replace(/SUN|MON|TUE|WED|THU|FRI|SAT/g, (name) => String(DAYS.findIndex((day) => day.toUpperCase().startsWith(name))));
    const span = range(named, 0, 7);
    if (span) return span[1] - span[0] === 6 ? "" : `${DAYS[span[0] % 7]} to ${DAYS[span[1] % 7]}`;
    const days = numbers(named, 0, 7);
    return days && listed(days.map((day) => `${DAYS[day % 7]}s`));
  }
  if (dayOfMonth === "L") return "on the last day of the month";
  const days = numbers(dayOfMonth, 1, 31);
  return days && `on the ${listed(days.map(ordinal))} of the month`;
}

function monthsOf(month: string): string | null {
  if (month === "*") return "";
  const named = month.replace(/[A-Z]{3}/g, (name) => String(MONTHS.findIndex((each) => each.toUpperCase().startsWith(name)) + 1));
  const span = range(named, 1, 12);
  if (span) return `${MONTHS[span[0] - 1]} to ${MONTHS[span[1] - 1]}`;
  const months = numbers(named, 1, 12);
  return months && `in ${listed(months.map((each) => MONTHS[each - 1] ?? ""))}`;
}

/** `5` or `1,15,30`; null for anything else. */
function numbers(field: string, least: number, most: number): number[] | null {
  if (!/^\d+(,\d+)*$/.test(field)) return null;
  const found = field.split(",").map(Number);
  return found.every((each) => each >= least && each <= most) ? found : null;
}

/** The 5 of a step of 5: star, slash, 5. */
function step(field: string): number | null {
  const found = Number(/^\*\/(\d+)$/.exec(field)?.[1]);
  return found > 1 ? found : null;
}

function range(field: string, least: number, most: number): [number, number] | null {
  const found = /^(\d+)-(\d+)$/.exec(field);
  const [from, to] = [Number(found?.[1]), Number(found?.[2])];
  return found && from >= least && to <= most && from < to ? [from, to] : null;
}

function ordinal(day: number): string {
  const ending = day % 100 >= 11 && day % 100 <= 13 ? "th" : ["th", "st", "nd", "rd"][day % 10] ?? "th";
  return `${day}${ending}`;
}

function listed(parts: readonly string[]): string {
  return parts.length < 2 ? (parts[0] ?? "") : `${parts.slice(0, -1).join(", ")} and ${parts.at(-1)}`;
}

function pad(value: number): string {
  return String(value).padStart(2, "0");
}
