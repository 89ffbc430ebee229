import { expect, it } from "vitest";
import type { Schemas } from "@/api/client";
import { groupFailures } from "./failures";

it("groups failed jobs by function and error", () => {
  const job = (id: string, name: string, type: string | null) =>
    ({ id, function: name, reason: "queue_data_lost", error: type && { type, message: `of ${id}` } }) as Schemas["JobSummary"];
  const groups = groupFailures([job("1", "charge", "CardError"), job("2", "mail", null), job("3", "charge", "CardError")]);
  expect(groups.map((each) => [each.function, each.type, each.message, each.many, each.last.id])).toEqual([
    ["charge", "CardError", "of 1", 2, "1"],
    ["mail", "queue_data_lost", "", 1, "2"],
  ]);
});
