"""Every queue backend there is, for the conformance suite and the property test alike.

A new backend takes part by adding one factory to `BACKENDS`.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from redis import Redis

from conduit.core.events import KIND_NUMBERS
from conduit.queue.base import Queue
from conduit.queue.redis import RedisQueue
from conduit.queue.redis.keys import Keys
from conduit.queue.redis.layout import LETTERS, STATUS_LETTERS
from conduit.queue.redis.packing import pack, short
from conduit.queue.sqlite import SqliteQueue


class ManualClock:
    """A store's clock that only moves by hand; milliseconds since the epoch."""

    def __init__(self) -> None:
        self.now = 1_800_000_000_000

    def __call__(self) -> int:
        return self.now

    def advance(self, ms: int) -> None:
        """Move on by `ms`; back when negative."""
        self.now += ms


Connect = Callable[[], Queue]
"""Makes another queue, not opened yet, on the same store with the same clock."""


LetIdle = Callable[[int], None]
"""Makes entries that consumers hold as old as if so many milliseconds had passed."""

Append = Callable[[Any], None]
"""Writes an entry into the event stream past the queue, as the store keeps it."""

Hide = Callable[[str], AbstractContextManager[None]]
"""Takes away, for a while, what the store keeps about who waits for a job."""

Garble = Callable[[str], None]
"""Makes what the store keeps of a job that waits for others unreadable."""

Store = tuple[Connect, LetIdle, Append, Hide, Garble]


def _sqlite(folder: Path, clock: ManualClock, _server: str) -> Store:
    path = folder / "queue.db"

    def append(body: bytes) -> None:
        with closing(sqlite3.connect(path)) as db, db:
            db.execute("INSERT INTO entries (at, body) VALUES (?, ?)", (clock.now, body))

    @contextmanager
    def hide(job_id: str) -> Iterator[None]:
        hidden = "UPDATE dependencies SET awaited = ? WHERE awaited = ?"
        with closing(sqlite3.connect(path)) as db, db:
            db.execute(hidden, (f"hidden {job_id}", job_id))
        yield
        with closing(sqlite3.connect(path)) as db, db:
            db.execute(hidden, (job_id, f"hidden {job_id}"))

    def garble(job_id: str) -> None:
        with closing(sqlite3.connect(path)) as db, db:
            db.execute("UPDATE jobs SET after = 'nonsense' WHERE id = ?", (job_id,))

    return lambda: SqliteQueue(path, clock=clock), clock.advance, append, hide, garble


def _redis(_folder: Path, clock: ManualClock, server: str) -> Store:
    """The server measures by its own clock for how long an entry is with a consumer."""
    namespace = f"test-{uuid4().hex}"
    events = Keys(namespace).name("events")

    def let_idle(ms: int) -> None:
        clock.advance(ms)
        with Redis.from_url(server) as client:
            for group in client.xinfo_groups(events):
                name: Any = group["name"]
                held: Any
                for held in client.xpending_range(events, name, "-", "+", 1000):
                    client.xclaim(
                        events,
                        name,
                        held["consumer"],
                        min_idle_time=0,
                        message_ids=[held["message_id"]],
                        idle=held["time_since_delivered"] + ms,
                        retrycount=held["times_delivered"],
                        justid=True,
                    )

    def append(fields: dict[Any, Any]) -> None:
        with Redis.from_url(server) as client:
            client.xadd(events, fields)

    @contextmanager
    def hide(job_id: str) -> Iterator[None]:
        key = Keys(namespace).name("dependants", short(job_id))
        with Redis.from_url(server) as client:
            client.rename(key, key + ":hidden")
            yield
            client.rename(key + ":hidden", key)

    def garble(job_id: str) -> None:
        with Redis.from_url(server) as client:
            client.hset(Keys(namespace).name("states"), short(job_id), b"\xc1nonsense")

    url = f"{server}?namespace={namespace}"
    return lambda: RedisQueue(url, clock=clock), let_idle, append, hide, garble


BACKENDS: dict[str, Callable[[Path, ManualClock, str], Store]] = {
    "sqlite": _sqlite,
    "redis": _redis,
    "redis-6.2": _redis,
}


def server_for(name: str, request: pytest.FixtureRequest) -> str:
    """The URL of the server that a backend needs, started if it has to be; empty for none."""
    if name == "redis":
        return request.getfixturevalue("redis_url")
    if name == "redis-6.2":
        return request.getfixturevalue("old_redis_server").url
    return ""


_COUNTERS = ("generation", "fence", "failures", "rescues")


def _packed(event: dict[str, Any]) -> bytes:
    """An event as Redis's scripts pack it."""
    kind = KIND_NUMBERS.get(event["kind"], event["kind"])
    status = STATUS_LETTERS.get(event["status"], event["status"])
    extra = {letter: event[name] for name, letter in LETTERS.items() if name in event}
    head = [kind, short(event["job_id"]), event["seq"], event["attempt"], status]
    counters = [event.get(name, 1 if name == "generation" else 0) for name in _COUNTERS]
    return pack([*head, *counters, extra])


class Backend:
    """One empty store under test, with as many queues opened on it as a test asks for."""

    def __init__(self, name: str, folder: Path, server: str) -> None:
        self.clock = ManualClock()
        self.log_is_whole = True
        """Whether the event log still starts at the beginning; a test that trims it says no."""
        store = BACKENDS[name](folder, self.clock, server)
        self.connect, self.let_idle, self._append, self.hide_dependants, self._garble = store
        self._name = name
        self._opened: list[Queue] = []

    async def open(self) -> None:
        """Open the first queue."""
        self.queue = await self.second()

    async def second(self) -> Queue:
        """Open another queue on the same store, as another process would."""
        queue = self.connect()
        await queue.open()
        self._opened.append(queue)
        return queue

    async def reopen(self) -> Queue:
        """Close everything and open the store anew; the new queue is also `self.queue`."""
        await self.close()
        await self.open()
        return self.queue

    def append_raw(self, *events: Any) -> None:
        """Write an entry of events past the queue, each as it would be written as JSON.

        What isn't a dict goes into the stream as it is. The log isn't whole any more.
        """
        self.log_is_whole = False
        if self._name == "sqlite":
            pieces = (e if isinstance(e, bytes) else json.dumps(e).encode() for e in events)
            self._append(b'{"events":[' + b",".join(pieces) + b"]}")
            return
        rows = b"".join(e if isinstance(e, bytes) else _packed(e) for e in events)
        self._append({"a": self.clock.now, "b": bytes([0x90 + len(events)]) + rows})

    def append_garbage(self) -> None:
        """Write an entry that can't be made sense of at all."""
        self.log_is_whole = False
        self._append(b"\xffgarbage" if self._name == "sqlite" else {"b": b"\xc1garbage"})

    def garble(self, job_id: str) -> None:
        """Make a job that waits for others unreadable. It can't be held to the log any more."""
        self.log_is_whole = False
        self._garble(job_id)

    async def close(self) -> None:
        """Close every queue."""
        while self._opened:
            await self._opened.pop().close()
