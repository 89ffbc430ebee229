import { useState } from "react";
import { useShortcuts } from "./shortcuts";

/**
 * `j` and `k` move through rows, `Enter` and `o` open the one that is marked, `x`
 * selects it. Pass `marked` to the row, so that it is drawn so and scrolled into view.
 */
export function useRowKeys({
  count,
  onOpen,
  onSelect,
}: {
  count: number;
  onOpen: (index: number) => void;
  onSelect?: (index: number) => void;
}): { marked: number; mark: (index: number) => void } {
  const [marked, mark] = useState(-1);
  const current = Math.min(marked, count - 1);
  const move = (step: number) => count > 0 && mark(Math.max(0, Math.min(count - 1, current + step)));
  const group = "Rows";
  useShortcuts([
    { keys: "j", label: "Next row", group, run: () => move(1) },
    { keys: "k", label: "Previous row", group, run: () => move(-1) },
    { keys: "Enter", label: "Open the row", group, run: () => current >= 0 && onOpen(current) },
    { keys: "o", label: "Open the row", group, run: () => current >= 0 && onOpen(current) },
    ...(onSelect ? [{ keys: "x", label: "Select the row", group, run: () => current >= 0 && onSelect(current) }] : []),
  ]);
  return { marked: current, mark };
}
