"""Every queue backend there is, for the conformance suite and the property test alike.

A new backend takes part by adding one factory to `BACKENDS`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from conduit.queue.base import Queue
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


def _sqlite(folder: Path, clock: ManualClock) -> Connect:
    return lambda: SqliteQueue(folder / "queue.db", clock=clock)


BACKENDS: dict[str, Callable[[Path, ManualClock], Connect]] = {"sqlite": _sqlite}


class Backend:
    """One empty store under test, with as many queues opened on it as a test asks for."""

    def __init__(self, name: str, folder: Path) -> None:
        self.clock = ManualClock()
        self.log_is_whole = True
        """Whether the event log still starts at the beginning; a test that trims it says no."""
        self.connect = BACKENDS[name](folder, self.clock)
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
