"""docket: a Redis stream, one script per step of a job."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from docket import Docket, Worker

from benchmarks.peers.peer import CONCURRENCY, WIDE_URL, Peer, started

CHECK = timedelta(milliseconds=10)


async def noop() -> int:
    started()
    return 1


class DocketPeer(Peer):
    packages = ("pydocket", "redis", "hiredis")
    concurrency = f"{CONCURRENCY} tasks"
    notes = "minimum_check_interval 10 ms (default 250 ms): it sleeps so long when all are busy"
    batches = True

    async def open(self) -> None:
        self._docket = await Docket("bench", WIDE_URL).__aenter__()
        self._docket.register(noop)

    async def close(self) -> None:
        await self._docket.__aexit__(None, None, None)

    async def submit(self) -> Any:
        return await self._docket.add(noop)()

    async def submit_many(self, count: int) -> Sequence[Any]:
        return await self._docket.add_many(self._docket.call(noop)() for _ in range(count))

    async def wait(self) -> None:
        execution = await self._docket.add(noop)()
        await execution.get_result()

    async def drained(self, jobs: Sequence[Any]) -> bool:
        results = self._docket.results_collection
        first_run = 1
        return self.server.all_exist([f"{results}::{job.key}:{first_run}" for job in jobs])

    def work(self) -> None:
        asyncio.run(_work())


async def _work() -> None:
    async with Docket("bench", WIDE_URL) as docket:
        docket.register(noop)
        worker = Worker(docket, concurrency=CONCURRENCY, minimum_check_interval=CHECK)
        async with worker:
            await worker.run_forever()


PEER = DocketPeer
