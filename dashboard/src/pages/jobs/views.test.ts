import { afterEach, expect, it, vi } from "vitest";
import { BUILT_IN, nameFault, SavedViews, viewOf } from "./views";

const KEPT = "conduit.jobs.views";

afterEach(() => {
  vi.restoreAllMocks();
  localStorage.clear();
});

it("keeps views over reloads, without the page that was open", () => {
  const views = new SavedViews();
  views.save("Cards", { q: "card", status: ["failed"], page: 3, cursor: "x", limit: 100, sort: "-duration" });
  const [view] = new SavedViews().get();
  expect(JSON.parse(JSON.stringify(view))).toEqual({ name: "Cards", search: { q: "card", status: ["failed"], sort: "-duration" } });
});

it("replaces, renames and removes", () => {
  const views = new SavedViews();
  views.save("a", { q: "1" });
  views.save("b", { q: "2" });
  views.save("a", { q: "3" });
  views.rename("b", "c");
  expect(views.get().map(({ name, search }) => [name, search.q])).toEqual([["c", "2"], ["a", "3"]]);
  views.rename("c", "a");
  expect(views.get().map(({ name, search }) => [name, search.q])).toEqual([["a", "2"]]);
  views.remove("a");
  expect(views.get()).toEqual([]);
});

it.each(["not JSON", '{"a":1}', '[null, 1, {"name": ""}, {"name": "x"}, {"name": "y", "search": {"status": ["wrong"], "sort": 5}}]'])(
  "takes what it can of %s",
  (kept) => {
    localStorage.setItem(KEPT, kept);
    for (const { search } of new SavedViews().get()) expect([search.status, search.sort]).toEqual([undefined, undefined]);
  },
);

it("works without any storage", () => {
  vi.spyOn(Storage.prototype, "setItem").mockImplementation(() => {
    throw new Error("full");
  });
  const views = new SavedViews();
  views.save("a", {});
  expect([views.get().length, new SavedViews().get().length]).toEqual([1, 0]);
});

it("knows the view that is shown", () => {
  expect(viewOf({ page: 2 }, [])?.name).toBe("All jobs");
  expect(viewOf({ status: ["running"], sort: "started_at", limit: 500 }, [])?.name).toBe("Running");
  expect(viewOf({ q: "x" }, [{ name: "mine", search: { q: "x" } }])?.name).toBe("mine");
  expect(viewOf({ q: "y" }, [])).toBeUndefined();
});

it("says what is wrong with a name", () => {
  expect([nameFault(" ", []), nameFault("x".repeat(61), []), nameFault(BUILT_IN[1]?.name ?? "", []), nameFault("a", ["a"]), nameFault("b", ["a"])]).toEqual([
    "Give it a name",
    "At most 60 characters",
    "A built-in view has this name",
    "Another view has this name",
    undefined,
  ]);
});
