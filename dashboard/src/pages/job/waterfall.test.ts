import { expect, it } from "vitest";
import type { Schemas } from "@/api/client";
import { axisOf, nameOf, outcomeOf, stepsOf, type Step } from "./waterfall";

type Attempt = Schemas["AttemptView"];

const at = (ms: number) => new Date(ms).toISOString();
const job = (status: Schemas["JobStatus"], due: number, finished: number | null = null) => ({ status, submitted_at: at(1000), run_at: at(due), finished_at: finished === null ? null : at(finished), generation: 1, attempt: 1, after: [] as string[] });

function attempt(started: number, ended: number | null, outcome: string | null, rest: Partial<Attempt> = {}): Attempt {
  return { number: 1, generation: 1, attempt: 1, worker_id: "w", claimed_at: at(started), started_at: at(started), ended_at: ended === null ? null : at(ended), outcome, reason: null, error: null, ...rest };
}

const words = (steps: readonly Step[]) => steps.map((step) => step.spans.map((span) => `${span.kind} ${span.from}-${span.until}${span.open ? "…" : ""}`).join(", "));

it("tells waiting from running", () => {
  expect(words(stepsOf(job("completed", 1000, 1500), [attempt(1200, 1500, "completed")], 9000))).toEqual(["wait 1000-1200, run 1200-1500"]);
});

it("tells what a worker holds from what has begun", () => {
  const held = { claimed_at: at(1200), started_at: at(1400) };
  expect(words(stepsOf(job("completed", 1000, 1500), [attempt(0, 1500, "completed", held)], 9000))).toEqual(["wait 1000-1200, held 1200-1400, run 1400-1500"]);
  expect(words(stepsOf(job("running", 1000), [attempt(1200, null, null, { started_at: null })], 9000))).toEqual(["wait 1000-1200, held 1200-9000…"]);
  expect(words(stepsOf(job("queued", 1500), [attempt(1200, 1500, "released", { started_at: null })], 9000))[0]).toBe("wait 1000-1200, held 1200-1500");
});

it("names attempts apart that count anew after a retry by hand", () => {
  const rounds = [attempt(1100, 1200, "failed"), attempt(2000, 2100, "lost", { attempt: 0, generation: 2 }), attempt(2200, 2300, "completed", { generation: 2 })];
  expect(rounds.map(nameOf)).toEqual(["Attempt 1", "Run 2 · start", "Run 2 · attempt 1"]);
});

it("tells a delay from a wait, as long as its due time is known", () => {
  expect(words(stepsOf(job("running", 5000), [attempt(5100, null, null)], 6000))).toEqual(["delay 1000-5000, wait 5000-5100, run 5100-6000…"]);
});

it("tells what lies between attempts", () => {
  const attempts = [attempt(1100, 1200, "retrying"), attempt(2200, 2300, "rescued"), attempt(2500, 2600, "failed"), attempt(8000, 8100, "completed")];
  expect(words(stepsOf(job("completed", 7900, 8100), attempts, 9000))).toEqual([
    "wait 1000-1100, run 1100-1200",
    "backoff 1200-2200, run 2200-2300",
    "wait 2300-2500, run 2500-2600",
    "idle 2600-7900, wait 7900-8000, run 8000-8100",
  ]);
});

it("doesn't take the due time of an attempt that isn't known yet for that of an earlier one", () => {
  const retried = { ...job("running", 8000), generation: 2 };
  expect(words(stepsOf(retried, [attempt(1200, 1500, "failed")], 9000))).toEqual(["wait 1000-1200, run 1200-1500"]);
});

it("shows what is waited for now", () => {
  expect(words(stepsOf(job("scheduled", 9000), [], 4000))).toEqual(["delay 1000-4000…"]);
  expect(words(stepsOf(job("queued", 2000), [], 4000))).toEqual(["delay 1000-2000, wait 2000-4000…"]);
  expect(words(stepsOf(job("scheduled", 9000), [attempt(1100, 1200, "retrying")], 4000)).at(-1)).toBe("backoff 1200-4000…");
});

it("tells a wait for other jobs from one for a worker", () => {
  const waiting = (...given: Parameters<typeof job>) => ({ ...job(...given), after: ["other"] });
  expect(words(stepsOf(waiting("blocked", 1000), [], 4000))).toEqual(["blocked 1000-4000…"]);
  expect(words(stepsOf(waiting("queued", 3000), [], 4000))).toEqual(["blocked 1000-3000, wait 3000-4000…"]);
  expect(words(stepsOf(waiting("completed", 3000, 3500), [attempt(3200, 3500, "completed")], 9000))).toEqual(["blocked 1000-3000, wait 3000-3200, run 3200-3500"]);
  expect(words(stepsOf(waiting("cancelled", 1000, 2500), [], 9000))).toEqual(["blocked 1000-2500"]);
  expect(words(stepsOf(waiting("scheduled", 9000), [], 4000))).toEqual(["delay 1000-4000…"]);
});

it("ends where a job was cancelled before it began", () => {
  expect(words(stepsOf(job("cancelled", 9000, 3000), [], 4000))).toEqual(["delay 1000-3000"]);
});

it("never runs backwards, whatever the clocks said", () => {
  const steps = stepsOf(job("completed", 500, 900), [attempt(800, 700, "retrying"), attempt(600, 900, "completed")], 100);
  expect(words(steps)).toEqual(["run 1000-1000", "run 1000-1000"]);
  expect(axisOf(steps).at(1000)).toBe(0);
});

it("puts times on an axis, and squeezes long pauses", () => {
  const short = axisOf(stepsOf(job("completed", 1000, 1500), [attempt(1200, 1500, "completed")], 9000));
  expect([short.at(1000), short.at(1200), short.at(1500), short.squeezed.length]).toEqual([0, 0.4, 1, 0]);

  const attempts = [attempt(1000, 2000, "failed"), attempt(1_002_000, 1_003_000, "completed")];
  const long = axisOf(stepsOf(job("completed", 1_002_000, 1_003_000), attempts, 0));
  expect(long.squeezed.map((span) => span.kind)).toEqual(["idle"]);
  expect(long.at(2000)).toBeCloseTo(1000 / 2600);
  expect(long.at(502_000)).toBeCloseTo(1300 / 2600);
  expect(long.at(1_003_000)).toBe(1);
});

it("says how attempts ended", () => {
  expect([attempt(0, null, null), attempt(0, 1, "rescued"), attempt(0, 1, "failed", { reason: "timeout" }), attempt(0, 1, null), attempt(0, 1, "new")].map((each) => outcomeOf(each).label)).toEqual(["Running", "Lease lost", "Timed out", "Ended", "new"]);
});
