import { useEffect, useRef, useState } from "react";
import { api, call } from "@/api/client";
import { useChanges, useConnection } from "@/live/live";
import { appended, type LogLine } from "./lines";

const AT_ONCE = 5000;
/** How often new lines are fetched at most, in milliseconds; and while there are no live updates. */
const PACE = 300;
const POLL = 5000;

/** A job's log lines: those there are, then those that come. */
export function useLines(jobId: string, isFinished: boolean): { lines: readonly LogLine[]; isLoading: boolean; error: unknown; retry: () => void } {
  const [lines, setLines] = useState<readonly LogLine[]>([]);
  const [isLoading, setLoading] = useState(true);
  const [error, setError] = useState<unknown>(null);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  const reader = useRef<{ more: () => void }>({ more: () => {} });
  const connection = useConnection();
  const fetchMore = () => reader.current.more();

  useEffect(() => {
    const control = new AbortController();
    let last = 0;
    let isBusy = false;
    let again = false;
    const readOn = async () => {
      let after: number | null = last;
      while (after !== null) {
        const answer: { items: LogLine[]; next_after: number | null } = await call(
          api.GET("/api/v1/jobs/{job_id}/logs", { params: { path: { job_id: jobId }, query: { after, limit: AT_ONCE } }, signal: control.signal }),
        );
        if (control.signal.aborted) return;
        last = answer.items.at(-1)?.number ?? last;
        setLines((before) => appended(before, answer.items));
        after = answer.next_after;
      }
    };
    // One at a time, each to its end: lines that come faster than they are read hold nothing up.
    const more = async () => {
      again = true;
      if (isBusy) return;
      isBusy = true;
      try {
        while (again && !control.signal.aborted) {
          again = false;
          await readOn();
        }
        setError(null);
      } catch (thrown) {
        if (!control.signal.aborted) setError(thrown);
      } finally {
        isBusy = false;
        if (!control.signal.aborted) setLoading(false);
      }
    };
    reader.current.more = () => void more();
    void more();
    return () => control.abort();
  }, [jobId]);

  useEffect(() => () => clearTimeout(timer.current), []);
  useChanges((change) => {
    // The last lines come with, or just before, the change that ends the attempt.
    if (change.topic !== "job" || change.subject !== jobId || change.kind === "job.progress") return;
    timer.current ??= setTimeout(() => {
      timer.current = undefined;
      fetchMore();
    }, PACE);
  });
  useEffect(() => {
    if (connection !== "lost" || isFinished) return;
    const poll = setInterval(fetchMore, POLL);
    return () => clearInterval(poll);
  }, [connection, isFinished]);
  const wasLost = useRef(false);
  useEffect(() => {
    if (connection === "lost") wasLost.current = true;
    else if (connection === "live" && wasLost.current) {
      wasLost.current = false;
      fetchMore();
    }
  }, [connection]);
  return { lines, isLoading, error, retry: fetchMore };
}
