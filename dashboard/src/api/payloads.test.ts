import { expect, it } from "vitest";
import { ExactNumber } from "@/lib/json";
import { readJob } from "./payloads";

it("keeps the digits of what is the job's, and counts with what is the server's", () => {
  expect(readJob('{"id":"1","attempt":2,"progress":1.0,"args":{"order":9007199254740993},"error":{"code":2.0},"result":1.0}')).toEqual({
    id: "1",
    attempt: 2,
    progress: 1,
    args: { order: new ExactNumber("9007199254740993") },
    error: { code: 2 },
    result: new ExactNumber("1.0"),
  });
});
