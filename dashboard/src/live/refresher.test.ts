import { beforeEach, expect, it } from "vitest";
import { Refresher } from "./refresher";
import type { Change, Key, Topic } from "./rules";

const JOBS: Key = ["/api/v1/jobs", {}];
const JOB = (job_id: string): Key => ["/api/v1/jobs/{job_id}", { params: { path: { job_id } } }];
const STATS: Key = ["/api/v1/stats", {}];
const CRONS: Key = ["/api/v1/crons", {}];

let now: number;
let shown: Key[];
let fetched: Key[];
let refresher: Refresher;

beforeEach(() => {
  now = 100_000;
  shown = [JOBS, JOB("1"), JOB("2"), STATS, CRONS];
  fetched = [];
  refresher = new Refresher({ shown: () => shown, refetch: (key) => fetched.push(key) }, () => now);
});

function change(topic: Topic, subject: string): Change {
  return { id: 1, topic, subject, kind: `${topic}.changed`, at: "", data: {} };
}

it("fetches what a change concerns, and once for many changes", () => {
  for (let i = 0; i < 100; i += 1) refresher.note(change("job", "1"));
  refresher.tick();
  expect(fetched).toEqual([JOBS, JOB("1"), STATS]);
  refresher.tick();
  expect(fetched).toHaveLength(3);
});

it("fetches nothing more often than its rule allows, and forgets no change", () => {
  refresher.note(change("job", "1"));
  refresher.tick();
  fetched = [];
  refresher.note(change("job", "1"));
  refresher.tick();
  expect(fetched).toEqual([]);
  now += 1000;
  refresher.tick();
  expect(fetched).toEqual([JOBS, JOB("1")]);
  now += 3000;
  refresher.tick();
  expect(fetched).toEqual([JOBS, JOB("1"), STATS]);
});

it("fetches all that is shown after changes were missed", () => {
  refresher.noteAll();
  refresher.tick();
  expect(fetched).toEqual(shown);
});

it("takes any job's change for the family's", () => {
  shown = [["/api/v1/jobs/{job_id}/tree", { params: { path: { job_id: "1" } } }]];
  refresher.note(change("job", "child"));
  refresher.tick();
  expect(fetched).toEqual(shown);
});
