import { useSyncExternalStore } from "react";

/** A value that components can watch. */
export class Store<T> {
  private listeners = new Set<() => void>();
  constructor(private value: T) {}

  get = (): T => this.value;

  set = (value: T): void => {
    if (Object.is(value, this.value)) return;
    this.value = value;
    for (const listener of [...this.listeners]) listener();
  };

  subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };
}

/** The store's value; the component is drawn anew when it changes. */
export function useStore<T>(store: Store<T>): T {
  return useSyncExternalStore(store.subscribe, store.get);
}

/** A choice of the user's that outlives the tab, where the browser keeps anything at all. */
export class Setting<T extends string> extends Store<T> {
  constructor(
    private name: string,
    private allowed: readonly T[],
    usual: T,
  ) {
    super(usual);
    const kept = read(name);
    if (allowed.includes(kept as T)) this.set(kept as T);
  }

  choose = (value: T): void => {
    if (!this.allowed.includes(value)) return;
    this.set(value);
    try {
      localStorage.setItem(this.name, value);
    } catch {
      // Storage is full or switched off: the choice lasts as long as the tab.
    }
  };
}

/** Something of the user's that outlives the tab, as JSON. `parse` makes what it can of what was kept, or of null. */
export class Kept<T> extends Store<T> {
  constructor(
    private name: string,
    parse: (kept: unknown) => T,
  ) {
    super(parse(parsed(read(name))));
  }

  keep = (value: T): void => {
    this.set(value);
    try {
      localStorage.setItem(this.name, JSON.stringify(value));
    } catch {
      // As above.
    }
  };
}

function parsed(text: string | null): unknown {
  try {
    return text === null ? null : JSON.parse(text);
  } catch {
    return null;
  }
}

function read(name: string): string | null {
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}
