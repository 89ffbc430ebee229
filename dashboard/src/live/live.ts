import { useEffect, useRef } from "react";
import type { QueryClient } from "@tanstack/react-query";
import { signedOut } from "@/api/client";
import { useStore } from "@/lib/store";
import { now } from "@/lib/clock";
import { Connection, type Source, type State } from "./connection";
import { Refresher } from "./refresher";
import { ruleOf, type Change } from "./rules";

const TICK = 250;
const POLL = 5000;

const listeners = new Set<(change: Change) => void>();
let refresher: Refresher | undefined;

/** The tab's only event stream. */
const connection = new Connection(
  () => new EventSource("/api/v1/stream") as unknown as Source,
  (change) => {
    refresher?.note(change);
    for (const listener of [...listeners]) listener(change);
  },
  () => refresher?.noteAll(),
);

/** Keep all that is shown up to date: by the stream, or by asking every 5 seconds while it is away. */
export function startLive(client: QueryClient): void {
  refresher = new Refresher(
    {
      shown: () =>
        client
          .getQueryCache()
          .findAll({ type: "active" })
          .map((query) => query.queryKey)
          .filter((key) => ruleOf(key)),
      refetch: (queryKey) => void client.invalidateQueries({ queryKey, exact: true }, { cancelRefetch: false }),
    },
    now,
  );
  let polled = now();
  setInterval(() => {
    if (document.hidden) return;
    if (connection.state.get() === "lost" && now() - polled >= POLL) {
      polled = now();
      refresher?.noteAll();
    }
    refresher?.tick();
  }, TICK);
  document.addEventListener("visibilitychange", () => !document.hidden && connection.hurry());
  window.addEventListener("online", () => connection.hurry());
  const follow = () => (signedOut.get() ? connection.stop() : connection.start());
  signedOut.subscribe(follow);
  follow();
}

/** Whether live updates come. */
export function useConnection(): State {
  return useStore(connection.state);
}

/** Try to connect at once. */
export function reconnect(): void {
  connection.hurry();
  refresher?.noteAll();
}

/** Be told of each change while the component is shown, for what isn't a query: logs that follow. */
export function useChanges(listener: (change: Change) => void): void {
  const latest = useRef(listener);
  useEffect(() => {
    latest.current = listener;
  });
  useEffect(() => {
    const told = (change: Change) => latest.current(change);
    listeners.add(told);
    return () => void listeners.delete(told);
  }, []);
}
