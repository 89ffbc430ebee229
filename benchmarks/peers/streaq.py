"""streaq: a Redis stream of ids, a key per job, results by publish and subscribe."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

from streaq import Worker

from benchmarks.peers.peer import CONCURRENCY, URL, Peer, started

worker = Worker(redis_url=URL, concurrency=CONCURRENCY)


@worker.task(silent=True)
async def noop() -> int:
    started()
    return 1


class Streaq(Peer):
    packages = ("streaq", "coredis")
    concurrency = f"{CONCURRENCY} tasks"
    notes = (
        "silent=True: no log line is put together for each job; of each wait, a tenth of a second "
        "is coredis leaving its subscription, when the result is there already"
    )
    batches = True

    async def open(self) -> None:
        self._stack = AsyncExitStack()
        await self._stack.enter_async_context(worker)

    async def close(self) -> None:
        await self._stack.aclose()

    async def submit(self) -> Any:
        return await noop.enqueue()

    async def submit_many(self, count: int) -> Sequence[Any]:
        tasks = [noop.enqueue() for _ in range(count)]
        await worker.enqueue_many(tasks)
        return tasks

    async def wait(self) -> None:
        task = await noop.enqueue()
        await task.result()

    async def drained(self, jobs: Sequence[Any]) -> bool:
        return self.server.all_exist([worker.results_key + job.id for job in jobs])

    def work(self) -> None:
        worker.run_sync()


PEER = Streaq
