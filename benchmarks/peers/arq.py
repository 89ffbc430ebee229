"""arq: a sorted set that the worker polls, a few transactions per job."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from arq.connections import ArqRedis, RedisSettings, create_pool
from arq.jobs import Job
from arq.worker import Worker, func

from benchmarks.peers.peer import CONCURRENCY, POLL_S, URL, Peer, started

SETTINGS = RedisSettings.from_dsn(URL)


async def noop(_: dict[str, Any]) -> int:
    started()
    return 1


class Arq(Peer):
    packages = ("arq", "redis", "hiredis")
    concurrency = f"{CONCURRENCY} tasks"
    notes = f"worker and results poll every {POLL_S * 1000:g} ms (default 500 ms)"

    async def open(self) -> None:
        self._redis: ArqRedis = await create_pool(SETTINGS)

    async def close(self) -> None:
        await self._redis.aclose()

    async def submit(self) -> Job:
        job = await self._redis.enqueue_job("noop")
        assert job is not None
        return job

    async def wait(self) -> None:
        job = await self.submit()
        await job.result(poll_delay=POLL_S)

    async def drained(self, jobs: Sequence[Job]) -> bool:
        return self.server.all_exist([f"arq:result:{job.job_id}" for job in jobs])

    def work(self) -> None:
        Worker(
            [func(noop, name="noop")],
            redis_settings=SETTINGS,
            max_jobs=CONCURRENCY,
            poll_delay=POLL_S,
        ).run()


PEER = Arq
