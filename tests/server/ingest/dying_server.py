"""An ingest that is killed at a chosen moment: `python dying_server.py MOMENT QUEUE HISTORY`.

`after_read`: entries were given to it and nothing was done with them. `after_commit`: they are in
the history and not acknowledged.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

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

    def __getattr__(self, verb: str) -> Any:
        return getattr(self._queue, verb)

    async def read_events(self, *args: Any, **kwargs: Any) -> list[StoredEntry]:
        entries = await self._queue.read_events(*args, **kwargs)
        if entries and self._moment == "after_read":
            die()
        return entries

    async def ack(self, _group: str, _positions: Sequence[str]) -> int:
        die()
        return 0


async def main(moment: str, queue_url: str, history_url: str) -> None:
    async with open_queue(queue_url) as queue, Database(history_url) as database:
        deadly: Any = DeadlyQueue(queue, moment)
        ingest = Ingest(deadly, database, lambda _: None)
        await ingest.start()
        await ingest.wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
