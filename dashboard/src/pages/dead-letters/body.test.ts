import { expect, it } from "vitest";
import { readable } from "./body";

it("shows JSON indented, and any other text as it is", () => {
  expect(readable('{"a":9007199254740993}')).toEqual({ text: '{\n  "a": 9007199254740993\n}', isBytes: false });
  expect(readable("{a")).toEqual({ text: "{a", isBytes: false });
});

it("shows what can be read of bytes", () => {
  expect(readable(`base64:${btoa("\x91\x00<b>no event</b>")}`)).toEqual({ text: "··<b>no event</b>", isBytes: true });
  expect(readable("base64:?")).toEqual({ text: "base64:?", isBytes: false });
});
