import { expect, it } from "vitest";
import type { Schemas } from "@/api/client";
import { branches } from "./tree";

type Job = Schemas["JobSummary"];
const job = (id: string, parent_id: string | null = null) => ({ id, parent_id }) as Job;
const rows = (...jobs: Job[]) => branches(jobs).map(({ job: { id }, depth, children }) => `${id}${depth}${children}`);

it("puts each job below its parent", () => {
  expect(rows(job("a"), job("b", "a"), job("c", "a"), job("d", "b"))).toEqual(["a02", "b11", "d20", "c10"]);
});

it("shows those whose parent is gone", () => {
  expect(rows(job("a"), job("b", "deleted"))).toEqual(["a00", "b00"]);
});

it("takes any depth, and a job that is its own parent", () => {
  const deep = Array.from({ length: 20_000 }, (_, number) => job(`${number}`, number ? `${number - 1}` : null));
  expect(branches(deep)).toHaveLength(20_000);
  expect(rows(job("a", "a"))).toEqual(["a00"]);
});
