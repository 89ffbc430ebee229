"""upnext: a Redis stream per function, finishes sent in batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import upnext

from benchmarks.peers.peer import CONCURRENCY, WIDE_URL, Peer, started

QUEUE = upnext.WorkerQueueConfig(batch_size=CONCURRENCY, inbox_size=CONCURRENCY)


async def noop() -> int:
    started()
    return 1


class Upnext(Peer):
    packages = ("upnext", "redis", "hiredis")
    concurrency = f"{CONCURRENCY} tasks"
    notes = f"batch_size and inbox_size {CONCURRENCY} (default 4), raised as in its own benchmark"

    async def open(self) -> None:
        self._worker = _worker()
        self._worker.initialize()
        self._noop = self._worker.tasks["noop"]

    async def close(self) -> None:
        await self._worker.stop()

    async def submit(self) -> Any:
        return await self._noop.submit()

    async def wait(self) -> None:
        await self._noop.wait()

    async def drained(self, jobs: Sequence[Any]) -> bool:
        stream = f"upnext:fn:{self._noop.function_key}:stream"
        (group,) = self.server.command("XINFO", "GROUPS", stream)
        facts = dict(zip(group[::2], group[1::2], strict=True))
        return facts[b"pending"] == 0 and facts[b"lag"] == 0

    def work(self) -> None:
        upnext.run(_worker())


def _worker() -> upnext.Worker:
    """A worker serves one event loop, as worker or as client."""
    worker = upnext.Worker("bench", concurrency=CONCURRENCY, redis_url=WIDE_URL, queue_config=QUEUE)
    worker.task(name="noop")(noop)
    return worker


PEER = Upnext
