import { expect, it } from "vitest";
import { refusal } from "./role";

it("lets roles do what they and those below them may", () => {
  expect(refusal("admin", "operate")).toBeUndefined();
  expect(refusal("operate", "operate")).toBeUndefined();
  expect(refusal("operate", "admin")).toContain("the role admin; yours is operate");
  expect(refusal("read", "operate")).toContain("yours is read");
});

it("leaves it to the server while the role isn't known, or is a newer server's", () => {
  expect(refusal(undefined, "admin")).toBeUndefined();
  expect(refusal("owner", "admin")).toBeUndefined();
});
