import { concerns, everyOf, type Change, type Key } from "./rules";

/** What the refresher needs of a cache of answers. */
export interface Answers {
  /** The keys of all answers that are on the screen. */
  shown(): Key[];
  /** Fetch one anew, or when it is next shown. */
  refetch(key: Key): void;
}

/**
 * Turns changes into fetches: many changes of a moment are one fetch, and no answer is fetched more
 * often than its rule allows. `tick` is to be called a few times a second.
 */
export class Refresher {
  private waiting: Change[] = [];
  private everything = false;
  private old = new Map<string, Key>();
  private fetched = new Map<string, number>();

  constructor(
    private answers: Answers,
    private now: () => number,
  ) {}

  note(change: Change): void {
    this.waiting.push(change);
  }

  /** All that is shown may be old, as after changes were missed. */
  noteAll(): void {
    this.everything = true;
  }

  tick(): void {
    if (this.everything || this.waiting.length > 0) this.mark();
    const now = this.now();
    for (const [name, key] of this.old) {
      const every = everyOf(key);
      if (now - (this.fetched.get(name) ?? -Infinity) < every) continue;
      this.old.delete(name);
      this.fetched.set(name, now);
      this.answers.refetch(key);
    }
  }

  private mark(): void {
    const changes = distinct(this.waiting);
    for (const key of this.answers.shown()) {
      if (this.everything || changes.some((change) => concerns(change, key))) this.old.set(JSON.stringify(key), key);
    }
    this.waiting = [];
    this.everything = false;
  }
}

function distinct(changes: readonly Change[]): Change[] {
  return [...new Map(changes.map((change) => [`${change.topic}\n${change.subject}`, change])).values()];
}
