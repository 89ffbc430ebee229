import { expect, it } from "vitest";
import type { Schemas } from "@/api/client";
import type { Change } from "@/live/rules";
import { isDeleted, steady } from "./steady";

type Job = Schemas["JobSummary"];

function job(id: string, rest: Partial<Job> = {}): Job {
  return { id, status: "queued", attempt: 0, seq: 1, claimed_at: null, started_at: null, finished_at: null, error: null, cancel_requested: false, ...rest } as Job;
}

function change(subject: string, data: object, kind = "job.started"): Change {
  return { id: 1, topic: "job", kind, subject, at: "2026-11-02T09:00:00.000Z", data };
}

const heard = (...changes: Change[]) => new Map(changes.map((each) => [each.subject, each]));
const ids = (jobs: readonly Job[]) => jobs.map((each) => each.id).join("");

it("leaves rows where they are and counts what is new", () => {
  const { rows, fresh } = steady([job("b"), job("a")], [job("d"), job("c"), job("b", { status: "running", seq: 2 })], new Map());
  expect([ids(rows), fresh, rows[0]?.status, rows[1]?.status]).toEqual(["ba", 2, "running", "queued"]);
});

it("takes from the stream what the list doesn't show any more", () => {
  const { rows } = steady([job("a")], [], heard(change("a", { status: "running", attempt: 1, seq: 2, worker_id: "w" })));
  expect(rows[0]).toMatchObject({ status: "running", attempt: 1, worker_id: "w", claimed_at: "2026-11-02T09:00:00.000Z", started_at: null });
});

it("learns from the stream when a held job has begun", () => {
  const begun = change("a", { status: "running", attempt: 1, seq: 3, worker_id: "w", started_at: Date.parse("2026-11-02T08:59:58.000Z") }, "job.begun");
  const { rows } = steady([job("a", { status: "running", seq: 2, attempt: 1, claimed_at: "x" })], [], heard(begun));
  expect(rows[0]).toMatchObject({ claimed_at: "x", started_at: "2026-11-02T08:59:58.000Z" });
});

it("keeps what is further on", () => {
  const latest = [job("a", { status: "completed", seq: 3, finished_at: "x" })];
  const { rows } = steady([job("a")], latest, heard(change("a", { status: "running", seq: 2 })));
  expect(rows[0]).toBe(latest[0]);
});

it("forgets the error of a job that is tried again, and tells when one ended", () => {
  const failed = job("a", { status: "failed", seq: 3, finished_at: "x", error: { type: "E", message: "", traceback: null, qualified_name: null } });
  expect(steady([failed], [], heard(change("a", { status: "queued", seq: 4 }, "job.requeued"))).rows[0]).toMatchObject({ status: "queued", error: null, finished_at: null });
  expect(steady([failed], [], heard(change("a", { status: "completed", seq: 6 }, "job.completed"))).rows[0]?.finished_at).toBe("x");
});

it("knows deleted jobs, whose rows it leaves as they were", () => {
  const gone = heard(change("a", {}, "job.deleted"));
  expect(isDeleted(job("a"), gone)).toBe(true);
  expect(steady([job("a")], [], gone).rows[0]?.status).toBe("queued");
});
