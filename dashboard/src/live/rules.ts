/** What happened: one message of the server's stream. */
export interface Change {
  id: number;
  topic: Topic;
  kind: string;
  subject: string;
  at: string;
  data: unknown;
}

export type Topic = "job" | "worker" | "cron" | "api" | "queue" | "function";
export const TOPICS: readonly Topic[] = ["job", "worker", "cron", "api", "queue", "function"];

interface Rule {
  path: RegExp;
  topics: readonly Topic[];
  /** How often such a query may be fetched anew because of changes, in milliseconds at least. */
  every: number;
}

/** Which changes make which answers old. The first that fits is taken. */
const RULES: readonly Rule[] = [
  { path: /^\/api\/v1\/jobs\/\{job_id\}\/graph$/, topics: ["job"], every: 1000 },
  { path: /^\/api\/v1\/jobs\/\{job_id\}/, topics: ["job"], every: 500 },
  { path: /^\/api\/v1\/jobs$/, topics: ["job"], every: 1000 },
  { path: /^\/api\/v1\/(stats|trends|activity)$/, topics: ["job"], every: 4000 },
  { path: /^\/api\/v1\/queues/, topics: ["job", "queue"], every: 2000 },
  { path: /^\/api\/v1\/crons/, topics: ["cron", "worker"], every: 1000 },
  { path: /^\/api\/v1\/workers/, topics: ["worker"], every: 2000 },
  { path: /^\/api\/v1\/functions/, topics: ["worker", "function"], every: 2000 },
  { path: /^\/api\/v1\/events/, topics: ["worker"], every: 2000 },
  { path: /^\/api\/v1\/apis/, topics: ["api"], every: 4000 },
];

/** The part of a query's key that rules look at: `[path, init]`, as `get` makes it. */
export type Key = readonly unknown[];

export function ruleOf(key: Key): Rule | undefined {
  const path = key[0];
  return typeof path === "string" ? RULES.find((rule) => rule.path.test(path)) : undefined;
}

/** How often an answer may be fetched anew, in milliseconds at least; a query may say so itself. */
export function everyOf(key: Key): number {
  return (key[1] as { every?: number } | undefined)?.every ?? ruleOf(key)?.every ?? 0;
}

/** Whether a change makes an answer old. */
export function concerns(change: Pick<Change, "topic" | "subject"> & { kind?: string }, key: Key): boolean {
  const rule = ruleOf(key);
  if (!rule?.topics.includes(change.topic)) return false;
  const jobId = jobIdOf(key);
  // Of a job that is gone one question tells so; the others would all be answered 404.
  if (change.kind === "job.deleted" && jobId === change.subject) return /\{job_id\}$/.test(String(key[0]));
  // What hangs together changes with any of its jobs, and a change doesn't say which those are.
  return jobId === undefined || jobId === change.subject || /\/(tree|graph)$/.test(String(key[0]));
}

function jobIdOf(key: Key): string | undefined {
  const init = key[1] as { params?: { path?: { job_id?: string } } } | undefined;
  return init?.params?.path?.job_id;
}
