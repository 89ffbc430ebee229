import { expect, it } from "vitest";
import { previewOf } from "./preview";

const kind = (content_type: string, size = 100) => previewOf({ content_type, size })?.kind;

it("shows pictures and texts, and nothing else", () => {
  expect([kind("image/png"), kind("IMAGE/SVG+XML"), kind("image/tiff")]).toEqual(["image", "image", undefined]);
  expect([kind("text/csv; charset=utf-8"), kind("application/json"), kind("application/ld+json"), kind("text/html")]).toEqual(["text", "text", "text", "text"]);
  expect([kind("application/pdf"), kind("application/octet-stream"), kind(""), kind("image/png", 0), kind("image/png", 2 ** 30)]).toEqual([undefined, undefined, undefined, undefined, undefined]);
});

it("fetches small ones unasked", () => {
  expect([previewOf({ content_type: "image/png", size: 2 ** 21 })?.atOnce, previewOf({ content_type: "image/png", size: 2 ** 22 })?.atOnce, previewOf({ content_type: "text/plain", size: 2 ** 20 })?.atOnce]).toEqual([true, false, false]);
});
