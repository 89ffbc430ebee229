import { useEffect, useMemo, useRef, useState } from "react";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { get, type Schemas } from "@/api/client";
import { useChanges } from "@/live/live";
import type { Change } from "@/live/rules";
import { steady } from "./steady";
import type { JobsQuestion } from "./search";

type Job = Schemas["JobSummary"];

/** How often rows take over what the stream tells, in milliseconds. */
const PACE = 200;

/** The jobs of a page: rows stay in place and are kept up to date; new ones wait until they are asked for. */
export function useSteadyJobs(question: JobsQuestion) {
  const list = useQuery({ ...get("/api/v1/jobs", { params: { query: question } }), placeholderData: keepPreviousData });
  const asked = JSON.stringify(question);
  const [shown, setShown] = useState<{ asked: string; items: readonly Job[] } | null>(null);
  const { heard, forget } = useHeard(useMemo(() => new Set(shown?.items.map((job) => job.id)), [shown]));

  const latest = list.isPlaceholderData ? undefined : list.data?.items;
  const isOther = latest !== undefined && shown?.asked !== asked;
  const wasEmpty = latest !== undefined && latest.length > 0 && shown?.items.length === 0;
  if (latest && (isOther || wasEmpty)) setShown({ asked, items: latest });

  const showLatest = () => {
    forget();
    if (latest) setShown({ asked, items: latest });
  };
  const refetch = async () => {
    const { data } = await list.refetch();
    forget();
    if (data) setShown({ asked, items: data.items });
  };
  const { rows, fresh } = useMemo(() => steady(shown?.items ?? [], latest ?? [], heard), [shown, latest, heard]);
  return { list, rows, fresh, heard, isChanging: list.isPlaceholderData, showLatest, refetch };
}

/** What the stream told of these jobs, the last of each. */
function useHeard(ids: ReadonlySet<string>): { heard: ReadonlyMap<string, Change>; forget: () => void } {
  const [heard, setHeard] = useState<ReadonlyMap<string, Change>>(new Map());
  const waiting = useRef(new Map<string, Change>());
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  useEffect(() => () => clearTimeout(timer.current), []);
  useChanges((change) => {
    if (change.topic !== "job" || !ids.has(change.subject)) return;
    waiting.current.set(change.subject, change);
    timer.current ??= setTimeout(() => {
      timer.current = undefined;
      const news = waiting.current;
      waiting.current = new Map();
      setHeard((before) => new Map([...before, ...news]));
    }, PACE);
  });
  return { heard, forget: () => setHeard(new Map()) };
}
