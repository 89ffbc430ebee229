import { useSyncExternalStore } from "react";

/** The server's clock less this browser's, in milliseconds; 0 while they agree within two seconds. */
let skew = 0;

/** Learn of the server's clock from the `Date` of an answer. */
export function noteServerTime(header: string | null): void {
  const told = header === null ? NaN : Date.parse(header);
  if (Number.isNaN(told)) return;
  // The header has whole seconds, so half of one is added; less than two is delay, not skew.
  const difference = told + 500 - Date.now();
  skew = Math.abs(difference) < 2000 ? 0 : difference;
}

/** Now, by the server's clock. */
export function now(): number {
  return Date.now() + skew;
}

const listeners = new Set<() => void>();
let timer: ReturnType<typeof setInterval> | undefined;

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  timer ??= setInterval(() => listeners.forEach((each) => each()), 1000);
  return () => {
    listeners.delete(listener);
    if (listeners.size === 0) {
      clearInterval(timer);
      timer = undefined;
    }
  };
}

/** What `of` makes of the time, each second; the component is drawn anew only when that changes. */
export function useTicking<T extends string | number | boolean | null>(of: (now: number) => T): T {
  return useSyncExternalStore(subscribe, () => of(now()));
}
