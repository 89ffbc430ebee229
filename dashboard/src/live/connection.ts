import { Store } from "@/lib/store";
import { TOPICS, type Change } from "./rules";

/** `live`: changes come as they happen. `lost`: they don't, and what is shown is asked for instead. */
export type State = "connecting" | "live" | "lost";

/** The part of EventSource that is used, so that tests can bring their own. */
export interface Source {
  readonly readyState: number;
  addEventListener(name: string, listener: (event: { data?: string }) => void): void;
  close(): void;
}

const CLOSED = 2;
const FIRST_DELAY = 1000;
const LONGEST_DELAY = 15_000;

/** One event stream, opened anew when it breaks. */
export class Connection {
  readonly state = new Store<State>("connecting");
  private source: Source | undefined;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private delay = FIRST_DELAY;
  private reopened = false;

  constructor(
    private open: () => Source,
    private onChange: (change: Change) => void,
    /** Changes may have been missed: load anew what is shown. */
    private onGap: () => void,
    /** The stream broke, or was refused. */
    private onLost: () => void = () => {},
  ) {}

  start(): void {
    if (this.source || this.timer) return;
    this.connect();
  }

  stop(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.source?.close();
    this.source = undefined;
    this.state.set("connecting");
  }

  /** Try at once instead of when the delay is over. */
  hurry(): void {
    if (!this.timer) return;
    clearTimeout(this.timer);
    this.timer = undefined;
    this.connect();
  }

  private connect(): void {
    const source = this.open();
    this.source = source;
    source.addEventListener("ready", () => {
      this.delay = FIRST_DELAY;
      this.state.set("live");
      // What was missed while a stream was away, the browser asks for with Last-Event-ID; one that
      // we opened anew has no such id.
      if (this.reopened) this.onGap();
      this.reopened = false;
    });
    source.addEventListener("reset", () => {
      this.state.set("live");
      this.onGap();
    });
    for (const topic of TOPICS) {
      source.addEventListener(topic, ({ data }) => {
        const change = parse(data);
        if (change) this.onChange(change);
      });
    }
    source.addEventListener("error", () => {
      if (source !== this.source) return;
      this.state.set("lost");
      this.onLost();
      // The browser comes back by itself, unless the answer wasn't a stream (401, 503, a proxy's 502).
      if (source.readyState === CLOSED) this.later();
    });
  }

  private later(): void {
    this.source?.close();
    this.source = undefined;
    this.timer = setTimeout(() => {
      this.timer = undefined;
      this.connect();
    }, this.delay);
    this.reopened = true;
    this.delay = Math.min(this.delay * 2, LONGEST_DELAY);
  }
}

function parse(data: string | undefined): Change | null {
  try {
    return data === undefined ? null : (JSON.parse(data) as Change);
  } catch {
    return null;
  }
}
