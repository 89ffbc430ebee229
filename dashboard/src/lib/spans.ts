/** How far back statistics reach. */
export const SPANS = ["15m", "1h", "24h", "7d"] as const;
export type Span = (typeof SPANS)[number];

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
