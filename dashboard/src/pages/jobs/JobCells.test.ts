import { expect, it } from "vitest";
import { argumentsLine } from "./JobCells";

it.each([
  ["{}", ""],
  ['{"order_id":"o1","cents":100}', 'order_id: "o1", cents: 100'],
  ['{"a":{"b":1},"odd name":[1]}', 'a: {"b":1},"odd name":[1]'],
  ['{"text":"cut off he', 'text: "cut off he'],
])("shows %s", (preview, line) => expect(argumentsLine(preview)).toBe(line));
