/** The tick for which a job was submitted, in milliseconds: it is part of its id. Null for other jobs. */
export function tickOf(jobId: string, cron: string): number | null {
  const start = `cron:${cron}:`;
  const at = jobId.startsWith(start) ? /^[0-9a-f]+:(\d+)$/.exec(jobId.slice(start.length))?.[1] : undefined;
  return at === undefined ? null : Number(at);
}
