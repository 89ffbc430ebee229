import { expect, it } from "vitest";
import { argumentsLine } from "./JobCells";

it.each([
  ["{}", ""],
  ['{"order_id":"o1","cents":100}', 'order_id: "o1", cents: 100'],
  ['{"a":{"b":1},"odd name":[1]}', 'a: {b: 1},"odd name":[1]'],
  ['{"order":{"id":"S-1","cents":3},"lines":[{"sku":"a"}]}', 'order: {id: "S-1", cents: 3}, lines: [{sku: "a"}]'],
  ['{"text":"{\\"a\\":1,\\"b\\":2}"}', 'text: "{\\"a\\":1,\\"b\\":2}"'],
  ['{"text":"cut off he', 'text: "cut off he'],
])("shows %s", (preview, line) => expect(argumentsLine(preview)).toBe(line));
