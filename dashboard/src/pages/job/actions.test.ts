import { expect, it } from "vitest";
import type { JobStatus } from "@/api/client";
import { refusals } from "./actions";

const of = (status: JobStatus, role: "read" | "operate" | "admin" = "admin", cancel_requested = false) => {
  const found = refusals({ status, cancel_requested }, role);
  return (["retry", "cancel", "delete", "submit"] as const).filter((name) => found[name] === undefined);
};

it("allows what a job's status allows", () => {
  expect(of("failed")).toEqual(["retry", "delete", "submit"]);
  expect(of("completed")).toEqual(["delete", "submit"]);
  expect(of("scheduled")).toEqual(["cancel", "submit"]);
  expect(of("running", "admin", true)).toEqual(["submit"]);
});

it("allows what the role allows", () => {
  expect([of("failed", "read"), of("failed", "operate"), of("running", "operate")]).toEqual([[], ["retry", "submit"], ["cancel", "submit"]]);
});

it("says why not", () => {
  expect(refusals({ status: "completed", cancel_requested: false }, "admin").retry).toMatch(/run it again/);
});
