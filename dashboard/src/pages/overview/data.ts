import { queryOptions, useQuery } from "@tanstack/react-query";
import { api, call, get, type Schemas } from "@/api/client";
import { asApiError } from "@/api/errors";
import { stats, trends } from "@/api/statistics";
import type { Span } from "@/lib/spans";

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

/** The latest failures. Every change of any job could be one, so it isn't asked for at each. */
const failed = queryOptions({
  queryKey: ["/api/v1/jobs", { status: ["failed"], every: 5_000 }] as const,
  queryFn: ({ signal }) =>
    call(api.GET("/api/v1/jobs", { params: { query: { status: ["failed"], sort: "-finished_at", limit: 50 } }, signal })),
});

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
