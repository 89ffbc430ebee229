/** How many times as high as nearly all values one may be before it is left out of the picture. */
const FAR = 5;
/** A part of the values that is nearly all of them. */
const NEARLY_ALL = 0.9;
const FEWEST = 10;

/** Where an axis ends on which few values would flatten all others; undefined where none would. */
export function topOf(values: readonly (number | null)[]): number | undefined {
  const sorted = values.filter((value) => value !== null).sort((one, other) => one - other);
  const usual = sorted[Math.floor(sorted.length * NEARLY_ALL)] ?? 0;
  const most = sorted.at(-1) ?? 0;
  return sorted.length >= FEWEST && usual > 0 && most > FAR * usual ? 2 * usual : undefined;
}
