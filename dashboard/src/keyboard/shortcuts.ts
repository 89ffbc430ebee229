import { useEffect, useRef } from "react";
import { Store } from "@/lib/store";

export interface Shortcut {
  /** Keys as `KeyboardEvent.key` names them, with blanks between those that follow each other: `g j`. */
  keys: string;
  /** What it does, for the help: `Go to jobs`. */
  label: string;
  group: string;
  run: () => void;
}

/** All that work at present; the help lists them. */
export const shortcuts = new Store<readonly Shortcut[]>([]);

/** How long a second key may take, in milliseconds. */
const PATIENCE = 1200;

/** Follows what is typed, and runs what it stands for. */
export class Typist {
  private typed = "";
  private last = 0;

  constructor(
    private known: () => readonly Shortcut[],
    private now: () => number,
  ) {}

  /** Whether a key was one of ours. */
  press(key: string): boolean {
    const now = this.now();
    const started = now - this.last < PATIENCE ? this.typed : "";
    this.last = now;
    for (const typed of started ? [`${started} ${key}`, key] : [key]) {
      // Of several with the same keys the newest counts: that of the page, or of the dialog on it.
      const found = this.known().findLast((each) => each.keys === typed);
      if (found) {
        this.typed = "";
        found.run();
        return true;
      }
      if (this.known().some((each) => each.keys.startsWith(`${typed} `))) {
        this.typed = typed;
        return true;
      }
    }
    this.typed = "";
    return false;
  }
}

/** Whether keys belong to what has the focus: a field, or a dialog or menu with keys of its own. */
function isTaken(event: KeyboardEvent): boolean {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return true;
  const target = event.target as HTMLElement | null;
  if (!(target instanceof HTMLElement)) return false;
  // What has the focus may be pressed by keys.
  if ((event.key === "Enter" || event.key === " ") && target.closest("a, button, summary, [role=button]")) return true;
  return target.isContentEditable || target.closest("input:not([type=checkbox]), textarea, select, [role=dialog], [role=alertdialog], [role=menu], [role=listbox]") !== null;
}

/** Listen to the keyboard. */
export function startShortcuts(): void {
  const typist = new Typist(shortcuts.get, Date.now);
  document.addEventListener("keydown", (event) => {
    if (!isTaken(event) && typist.press(event.key)) event.preventDefault();
  });
}

/** Have shortcuts while the component is shown. `run` may change with each drawing. */
export function useShortcuts(wanted: readonly Shortcut[]): void {
  const latest = useRef(wanted);
  useEffect(() => {
    latest.current = wanted;
  });
  const names = wanted.map((each) => `${each.keys}\t${each.label}\t${each.group}`).join("\n");
  useEffect(() => {
    const mine = latest.current.map(({ keys, label, group }, index) => ({
      keys,
      label,
      group,
      run: () => latest.current[index]?.run(),
    }));
    shortcuts.set([...shortcuts.get(), ...mine]);
    return () => shortcuts.set(shortcuts.get().filter((each) => !mine.includes(each as (typeof mine)[number])));
  }, [names]);
}
