"""Every queue backend there is, for the conformance suite and the property test alike.

A new backend takes part by adding one factory to `BACKENDS`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from redis import Redis

from conduit.queue.base import Queue
from conduit.queue.redis import RedisQueue
from conduit.queue.redis.keys import Keys
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


def _sqlite(folder: Path, clock: ManualClock, _server: str) -> tuple[Connect, LetIdle]:
    return lambda: SqliteQueue(folder / "queue.db", clock=clock), clock.advance


def _redis(_folder: Path, clock: ManualClock, server: str) -> tuple[Connect, LetIdle]:
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

    url = f"{server}?namespace={namespace}"
    return lambda: RedisQueue(url, clock=clock), let_idle


BACKENDS: dict[str, Callable[[Path, ManualClock, str], tuple[Connect, LetIdle]]] = {
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


class Backend:
    """One empty store under test, with as many queues opened on it as a test asks for."""

    def __init__(self, name: str, folder: Path, server: str) -> None:
        self.clock = ManualClock()
        self.log_is_whole = True
        """Whether the event log still starts at the beginning; a test that trims it says no."""
        self.connect, self.let_idle = BACKENDS[name](folder, self.clock, server)
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

    async def close(self) -> None:
        """Close every queue."""
        while self._opened:
            await self._opened.pop().close()
