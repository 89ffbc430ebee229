/** Which jobs are selected: some by their ids, or all that match. */
export type Selection = { all: true } | { all: false; ids: ReadonlySet<string> };

export const NONE: Selection = { all: false, ids: new Set() };

/** Select a row, or no longer. */
export function toggled(selection: Selection, id: string): Selection {
  const ids = new Set(idsOf(selection));
  if (!ids.delete(id)) ids.add(id);
  return { all: false, ids };
}

/** Select from one row to another, as a click with shift does. */
export function ranged(selection: Selection, shown: readonly string[], from: string | null, to: string): Selection {
  const [start, end] = [from === null ? -1 : shown.indexOf(from), shown.indexOf(to)];
  if (start < 0 || end < 0) return toggled(selection, to);
  const range = shown.slice(Math.min(start, end), Math.max(start, end) + 1);
  return { all: false, ids: new Set([...idsOf(selection), ...range]) };
}

/** Select all rows that are shown, or none where all of them were. */
export function pageToggled(selection: Selection, shown: readonly string[]): Selection {
  if (selection.all || isWholePage(selection, shown)) return NONE;
  return { all: false, ids: new Set([...selection.ids, ...shown]) };
}

export function isWholePage(selection: Selection, shown: readonly string[]): boolean {
  return shown.length > 0 && shown.every((id) => isSelected(selection, id));
}

export function isSelected(selection: Selection, id: string): boolean {
  return selection.all || selection.ids.has(id);
}

function idsOf(selection: Selection): Iterable<string> {
  return selection.all ? [] : selection.ids;
}
