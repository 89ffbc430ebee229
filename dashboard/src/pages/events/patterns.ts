import type { Schemas } from "@/api/client";

const NAME = /^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$/;
const MAX_NAME_LENGTH = 255;

/** What is wrong with the name of an event; undefined if nothing is. */
export function faultOfName(name: string): string | undefined {
  if (name === "") return "Has to be filled in";
  if (name.includes("*")) return "Wildcards subscribe; only a plain name can be published: order.placed";
  if (name.length > MAX_NAME_LENGTH) return `Has more than ${MAX_NAME_LENGTH} characters`;
  return NAME.test(name) ? undefined : "Letters, digits, _ and -, in parts with a dot between: order.placed";
}

/** Whether an event goes to the subscribers of a pattern: `*` is one part or some of it, `**` are several. */
export function matches(pattern: string, name: string): boolean {
  if (!NAME.test(name)) return false;
  const expression = pattern
    .split(".")
    .map((segment) => {
      if (segment === "**") return "[A-Za-z0-9_-]+(?:\\.[A-Za-z0-9_-]+)*";
      if (segment === "*") return "[A-Za-z0-9_-]+";
      return segment.split("*").map((text) => text.replace(/[^A-Za-z0-9_-]/g, "\\$&")).join("[A-Za-z0-9_-]*");
    })
    .join("\\.");
  return new RegExp(`^${expression}$`).test(name);
}

/** The functions that would get a job. */
export function handlersOf(patterns: readonly Schemas["EventView"][], name: string): string[] {
  return [...new Set(patterns.filter(({ pattern }) => matches(pattern, name)).flatMap(({ handlers }) => handlers))].sort();
}
