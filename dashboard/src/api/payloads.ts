import { parse, plain } from "@/lib/json";
import type { Schemas } from "./client";

/** What is a job's own, not the server's. */
const PAYLOADS: readonly string[] = ["args", "result", "metadata", "checkpoint", "steps"] satisfies (keyof Schemas["JobDetail"])[];

/** A job as the server wrote it, each number of its own with all digits. */
export function readJob(text: string): unknown {
  const job = parse(text) as Record<string, unknown>;
  return Object.fromEntries(Object.entries(job).map(([name, value]) => [name, PAYLOADS.includes(name) ? value : plain(value)]));
}
