import { expect, it } from "vitest";
import { inWords } from "./words";

it.each([
  ["* * * * *", "Every minute"],
  ["*/5 * * * *", "Every 5 minutes"],
  ["0 * * * *", "Every hour"],
  ["15 * * * *", "Every hour at 15 past"],
  ["0 */2 * * *", "Every 2 hours"],
  ["30 3 * * *", "Every day at 03:30"],
  ["0 9,17 * * *", "Every day at 09:00 and 17:00"],
  ["0 9 * * MON-FRI", "At 09:00, Monday to Friday"],
  ["0 9 * * 1-5", "At 09:00, Monday to Friday"],
  ["0 9 * * sat,SUN", "At 09:00, Saturdays and Sundays"],
  ["0 9 * * 7", "At 09:00, Sundays"],
  ["0 0 1 * *", "At 00:00, on the 1st of the month"],
  ["0 0 L * *", "At 00:00, on the last day of the month"],
  ["0 0 1,22 JAN,JUL *", "At 00:00, on the 1st and 22nd of the month, in January and July"],
  ["*/10 8-18 * * MON-FRI", "Every 10 minutes from 08:00 to 18:59, Monday to Friday"],
  ["0 8-18 * * *", "Every hour at 0 past, from 08 to 18"],
  ["@daily", "Every day at 00:00"],
  ["@weekly", "At 00:00, Sundays"],
  ["@every 15s", "Every 15 seconds"],
  ["@every 1h30m", "Every 1 hour 30 minutes"],
  ["@every 1d", "Every day"],
])("tells %s", (schedule, words) => {
  expect(inWords(schedule)).toBe(words);
});

it.each(["", "0 9", "0 9 * * MON#1", "0 9 13 * FRI", "1-59/7 * * * *", "0 25 * * *", "@every soon"])("leaves %s as it is", (schedule) => {
  expect(inWords(schedule)).toBeNull();
});
