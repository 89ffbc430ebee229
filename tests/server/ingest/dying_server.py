"""An ingest that is killed at a chosen moment: `python dying_server.py MOMENT QUEUE HISTORY`.

`after_read`: entries were given to it and nothing was done with them. `before_commit`: they were
applied, in a transaction that is lost. `after_commit`: they are in the history and not
acknowledged.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from conduit.queue import open_queue
from conduit.queue.base import Queue, StoredEntry
from conduit.server.db.database import Database
from conduit.server.ingest.consumer import Ingest


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class DeadlyQueue:
    """A queue that kills its user."""

    def __init__(self, queue: Queue, moment: str) -> None:
        self._queue = queue
        self._moment = moment
        self.has_been_read = False

    def __getattr__(self, verb: str) -> Any:
        return getattr(self._queue, verb)

    async def read_events(self, *args: Any, **kwargs: Any) -> list[StoredEntry]:
        entries = await self._queue.read_events(*args, **kwargs)
        if entries and self._moment == "after_read":
            die()
        self.has_been_read |= bool(entries)
        return entries

    async def ack(self, group: str, positions: Sequence[str]) -> int:
        if self._moment == "after_commit":
            die()
        return await self._queue.ack(group, positions)


class DeadlyDatabase:
    """A history that kills its user before it commits what `queue` has given out."""

    def __init__(self, database: Database, queue: DeadlyQueue) -> None:
        self._database = database
        self._queue = queue

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)

    @asynccontextmanager
    async def begin(self) -> AsyncGenerator[AsyncConnection]:
        async with self._database.begin() as connection:
            yield connection
            if self._queue.has_been_read:
                die()


async def main(moment: str, queue_url: str, history_url: str) -> None:
    async with open_queue(queue_url) as queue, Database(history_url) as database:
        deadly: Any = DeadlyQueue(queue, moment)
        history: Any = DeadlyDatabase(database, deadly) if moment == "before_commit" else database
        ingest = Ingest(deadly, history, lambda _: None)
        await ingest.start()
        await ingest.wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
