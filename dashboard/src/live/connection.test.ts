import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { Connection, type Source } from "./connection";
import type { Change } from "./rules";

class FakeSource implements Source {
  readyState = 0;
  closed = false;
  private listeners = new Map<string, (event: { data?: string }) => void>();
  addEventListener(name: string, listener: (event: { data?: string }) => void) {
    this.listeners.set(name, listener);
  }
  close() {
    this.closed = true;
    this.readyState = 2;
  }
  tell(name: string, data?: string) {
    this.listeners.get(name)?.({ data });
  }
  breakOff(readyState: number) {
    this.readyState = readyState;
    this.tell("error");
  }
}

let sources: FakeSource[];
let changes: Change[];
let gaps: number;
let connection: Connection;

beforeEach(() => {
  vi.useFakeTimers();
  sources = [];
  changes = [];
  gaps = 0;
  connection = new Connection(
    () => {
      const source = new FakeSource();
      sources.push(source);
      return source;
    },
    (change) => changes.push(change),
    () => (gaps += 1),
  );
  connection.start();
});

afterEach(() => void vi.useRealTimers());

it("is live once the server says so, and passes changes on", () => {
  expect(connection.state.get()).toBe("connecting");
  sources[0]?.tell("ready");
  sources[0]?.tell("job", '{"id":1,"topic":"job","kind":"job.started","subject":"a","at":"","data":{}}');
  sources[0]?.tell("job", "not JSON");
  expect(connection.state.get()).toBe("live");
  expect(changes.map((each) => each.subject)).toEqual(["a"]);
});

it("leaves coming back to the browser, which asks for what was missed", () => {
  sources[0]?.tell("ready");
  sources[0]?.breakOff(0);
  expect(connection.state.get()).toBe("lost");
  sources[0]?.tell("ready");
  expect([connection.state.get(), sources.length, gaps]).toEqual(["live", 1, 0]);
});

it("comes back by itself where the browser gives up, and loads all anew", () => {
  sources[0]?.tell("ready");
  sources[0]?.breakOff(2);
  vi.advanceTimersByTime(1000);
  expect(sources).toHaveLength(2);
  sources[1]?.breakOff(2);
  vi.advanceTimersByTime(1999);
  expect(sources).toHaveLength(2);
  vi.advanceTimersByTime(1);
  sources[2]?.tell("ready");
  expect([connection.state.get(), gaps]).toEqual(["live", 1]);
});

it("hurries when asked to", () => {
  sources[0]?.breakOff(2);
  connection.hurry();
  connection.hurry();
  expect(sources).toHaveLength(2);
});

it("loads all anew after a reset", () => {
  sources[0]?.tell("reset");
  expect([connection.state.get(), gaps]).toEqual(["live", 1]);
});

it("stays away once stopped", () => {
  sources[0]?.breakOff(2);
  connection.stop();
  vi.advanceTimersByTime(60_000);
  expect(sources).toHaveLength(1);
});
