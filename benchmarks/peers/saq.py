"""saq: a list of ids and a key per job, a blocking pop per task of the worker."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from saq import Job, Queue, Worker

from benchmarks.peers.peer import CONCURRENCY, POLL_S, WIDE_URL, Peer, started


async def noop(_: dict[str, Any]) -> int:
    started()
    return 1


class Saq(Peer):
    packages = ("saq", "redis", "hiredis")
    concurrency = f"{CONCURRENCY} tasks"
    notes = (
        f"max_concurrent_ops={CONCURRENCY} (default 20), as so many submits are in flight; "
        f"results polled every {POLL_S * 1000:g} ms (default 500 ms)"
    )

    async def open(self) -> None:
        self._queue = Queue.from_url(WIDE_URL, max_concurrent_ops=CONCURRENCY)
        await self._queue.connect()

    async def close(self) -> None:
        await self._queue.disconnect()

    async def submit(self) -> Job | None:
        return await self._queue.enqueue("noop")

    async def wait(self) -> None:
        await self._queue.apply("noop", poll_interval=POLL_S)

    async def drained(self, jobs: Sequence[Any]) -> bool:
        return self.server.command("ZCARD", "saq:default:incomplete") == 0

    def work(self) -> None:
        asyncio.run(_work())


async def _work() -> None:
    queue = Queue.from_url(WIDE_URL, max_concurrent_ops=CONCURRENCY)
    await Worker(queue, [noop], concurrency=CONCURRENCY).start()


PEER = Saq
