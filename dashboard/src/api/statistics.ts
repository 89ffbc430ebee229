import { keepPreviousData, queryOptions } from "@tanstack/react-query";
import { now } from "@/lib/clock";
import { REACH, type Span } from "@/lib/spans";
import { api, call } from "./client";

/** Of which functions or queues; of all where nothing is said. */
interface Of {
  function?: string[];
  queue?: string[];
}

/** A span ends now: its beginning moves, so the key of each query has the span and not the time. */
export function stats(span: Span, of: Of = {}) {
  const { ms, atMost, atLeast } = REACH[span];
  return queryOptions({
    queryKey: ["/api/v1/stats", { span, of, every: atMost }] as const,
    queryFn: ({ signal }) => call(api.GET("/api/v1/stats", { params: { query: { ...of, after: String(Math.round(now() - ms)) } }, signal })),
    refetchInterval: atLeast,
    placeholderData: keepPreviousData,
  });
}

export function trends(span: Span, of: Of = {}) {
  const { bucket, atMost, atLeast } = REACH[span];
  return queryOptions({
    queryKey: ["/api/v1/trends", { span, of, every: atMost }] as const,
    queryFn: ({ signal }) => call(api.GET("/api/v1/trends", { params: { query: { ...of, after: beginning(span), bucket } }, signal })),
    refetchInterval: atLeast,
    placeholderData: keepPreviousData,
  });
}

/** What ended over time, by function or by queue. */
export function activity(span: Span, by: "function" | "queue") {
  const { bucket, atMost, atLeast } = REACH[span];
  return queryOptions({
    queryKey: ["/api/v1/activity", { span, by, every: atMost }] as const,
    queryFn: ({ signal }) => call(api.GET("/api/v1/activity", { params: { query: { by, after: beginning(span), bucket } }, signal })),
    refetchInterval: atLeast,
    placeholderData: keepPreviousData,
  });
}

/** Whole buckets: one that is cut would look like a sudden calm. */
export function beginning(span: Span, bucket = REACH[span].bucket): string {
  const { ms } = REACH[span];
  return String(Math.floor((now() - ms) / (bucket * 1000)) * bucket * 1000);
}
