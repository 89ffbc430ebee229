import { expect, it } from "vitest";
import { sharesOf } from "./statuses";

it("tells the share and the kind of each status", () => {
  expect(sharesOf({ "500": 1, "200": 2, "404": 1, "302": 0 })).toEqual([
    { name: "200", many: 2, share: 0.5, tone: "green" },
    { name: "404", many: 1, share: 0.25, tone: "amber" },
    { name: "500", many: 1, share: 0.25, tone: "red" },
  ]);
  expect(sharesOf({})).toEqual([]);
});
