import { keepPreviousData, queryOptions, useQuery } from "@tanstack/react-query";
import { api, call, get, type Schemas } from "@/api/client";
import { asApiError } from "@/api/errors";
import { now } from "@/lib/clock";
import type { Span } from "./search";

const MINUTE = 60_000;

/**
 * How far back each span reaches, how long its buckets are (in seconds), and how often it is looked
 * at anew at most and at least, in milliseconds: the longer the span, the less a moment changes it.
 */
export const REACH: Record<Span, { ms: number; bucket: number; atMost: number; atLeast: number; words: string }> = {
  "15m": { ms: 15 * MINUTE, bucket: 15, atMost: 3_000, atLeast: 15_000, words: "15 minutes" },
  "1h": { ms: 60 * MINUTE, bucket: 60, atMost: 5_000, atLeast: 30_000, words: "hour" },
  "24h": { ms: 24 * 60 * MINUTE, bucket: 1800, atMost: 30_000, atLeast: 60_000, words: "24 hours" },
  "7d": { ms: 7 * 24 * 60 * MINUTE, bucket: 3 * 3600, atMost: 60_000, atLeast: 120_000, words: "7 days" },
};

/** A span that ends now: its beginning moves, so the key has the span and not the time. */
function stats(span: Span) {
  const { ms, atMost, atLeast } = REACH[span];
  return queryOptions({
    queryKey: ["/api/v1/stats", { span, every: atMost }] as const,
    queryFn: ({ signal }) => call(api.GET("/api/v1/stats", { params: { query: { after: String(Math.round(now() - ms)) } }, signal })),
    refetchInterval: atLeast,
    placeholderData: keepPreviousData,
  });
}

function trends(span: Span) {
  const { ms, bucket, atMost, atLeast } = REACH[span];
  return queryOptions({
    queryKey: ["/api/v1/trends", { span, every: atMost }] as const,
    queryFn: ({ signal }) => {
      // Whole buckets: one that is cut would look like a sudden calm.
      const after = Math.floor((now() - ms) / (bucket * 1000)) * bucket * 1000;
      return call(api.GET("/api/v1/trends", { params: { query: { after: String(after), bucket } }, signal }));
    },
    refetchInterval: atLeast,
    placeholderData: keepPreviousData,
  });
}

/** Whether the stores answer; 503 is an answer, too. */
const ready = queryOptions({
  queryKey: ["/api/v1/ready"] as const,
  queryFn: async ({ signal }): Promise<Schemas["ReadyView"]> => {
    try {
      const { data, error } = await api.GET("/api/v1/ready", { signal });
      return (data ?? error) as Schemas["ReadyView"];
    } catch (thrown) {
      throw asApiError(thrown);
    }
  },
  refetchInterval: 10_000,
});

const failed = get("/api/v1/jobs", { params: { query: { status: ["failed"], sort: "-finished_at", limit: 50 } } });

/** All that the page shows. The verdict is about the last 15 minutes, whatever span is looked at. */
export function useOverview(span: Span) {
  return {
    stats: useQuery(stats(span)),
    recent: useQuery(stats("15m")),
    trends: useQuery(trends(span)),
    queues: useQuery(get("/api/v1/queues")),
    workers: useQuery(get("/api/v1/workers")),
    failed: useQuery(failed),
    letters: useQuery({ ...get("/api/v1/dead-letters", { params: { query: { limit: 100 } } }), refetchInterval: 30_000 }),
    ready: useQuery(ready),
  };
}
