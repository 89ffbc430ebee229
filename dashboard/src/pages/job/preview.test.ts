import { expect, it } from "vitest";
import { previewOf, typeOf } from "./preview";

const kind = (content_type: string, size = 100) => previewOf({ name: "a", content_type, size })?.kind;

it("shows pictures and texts, and nothing else", () => {
  expect([kind("image/png"), kind("IMAGE/SVG+XML"), kind("image/tiff")]).toEqual(["image", "image", undefined]);
  expect([kind("text/csv; charset=utf-8"), kind("application/json"), kind("application/ld+json"), kind("text/html")]).toEqual(["text", "text", "text", "text"]);
  expect([kind("application/pdf"), kind("application/octet-stream"), kind(""), kind("image/png", 0), kind("image/png", 2 ** 30)]).toEqual([undefined, undefined, undefined, undefined, undefined]);
});

it("fetches small ones unasked", () => {
  expect([previewOf({ name: "a", content_type: "image/png", size: 2 ** 21 })?.atOnce, previewOf({ name: "a", content_type: "image/png", size: 2 ** 22 })?.atOnce, previewOf({ name: "a", content_type: "text/plain", size: 2 ** 20 })?.atOnce]).toEqual([true, false, false]);
});

it("goes by the name where nothing else was said", () => {
  const type = (name: string, content_type = "application/octet-stream") => typeOf({ name, content_type });
  expect([type("a/teapot.PNG"), type("notes.md", ""), type("a.png", "text/plain; charset=utf-8"), type("model.bin"), type("constructor")]).toEqual(["image/png", "text/markdown", "text/plain", "application/octet-stream", "application/octet-stream"]);
});
