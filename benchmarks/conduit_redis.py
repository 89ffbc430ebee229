"""Conduit on Redis, in the scenario of its peers: every job durable, every event, results kept."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

import conduit
from benchmarks.peers.peer import CONCURRENCY, URL, Peer, started
from conduit.queue import open_queue

os.environ["CONDUIT_QUEUE_URL"] = URL
worker = conduit.Worker("bench", concurrency=CONCURRENCY)


@worker.task
async def noop() -> int:
    started()
    return 1


class ConduitPeer(Peer):
    packages = ("conduit", "redis", "hiredis")
    concurrency = f"{CONCURRENCY} tasks"
    batches = True

    async def open(self) -> None:
        self._queue = open_queue(URL)
        await self._queue.open()

    async def close(self) -> None:
        await self._queue.close()

    async def submit(self) -> conduit.Future[int]:
        return await noop.submit()

    async def submit_many(self, count: int) -> Sequence[Any]:
        return await conduit.submit_many(noop, [()] * count)

    async def wait(self) -> None:
        await noop.wait()

    async def drained(self, jobs: Sequence[Any]) -> bool:
        """Waits for the last one first: to count all along would cost more than it tells."""
        if not await self._queue.wait_finished([jobs[-1].job_id], 0):
            return False
        return not any(info.queued or info.running for info in await self._queue.queues())

    def work(self) -> None:
        command = ["-m", "conduit", "run", "benchmarks/conduit_redis.py", "--queue-url", URL]
        os.execv(sys.executable, [sys.executable, *command])


PEER = ConduitPeer
