"""taskiq on a Redis stream, results in keys."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from taskiq.api import run_receiver_task
from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

from benchmarks.peers.peer import CONCURRENCY, POLL_S, URL, Peer, started

CONNECTIONS = 2 * CONCURRENCY
broker = RedisStreamBroker(URL, max_connection_pool_size=CONNECTIONS).with_result_backend(
    RedisAsyncResultBackend(URL, max_connection_pool_size=CONNECTIONS)
)


@broker.task(task_name="noop")
async def noop() -> int:
    started()
    return 1


class Taskiq(Peer):
    packages = ("taskiq", "taskiq-redis", "redis", "hiredis")
    concurrency = f"{CONCURRENCY} tasks"
    notes = (
        f"{CONNECTIONS} connections (the default of 50 refuses some of a hundred in flight); "
        f"results polled every {POLL_S * 1000:g} ms (default 200 ms)"
    )

    async def open(self) -> None:
        await broker.startup()

    async def close(self) -> None:
        await broker.shutdown()

    async def submit(self) -> Any:
        return await noop.kiq()

    async def wait(self) -> None:
        task = await noop.kiq()
        await task.wait_result(check_interval=POLL_S)

    async def drained(self, jobs: Sequence[Any]) -> bool:
        return self.server.all_exist([job.task_id for job in jobs])

    def work(self) -> None:
        asyncio.run(run_receiver_task(broker, max_async_tasks=CONCURRENCY, run_startup=True))


PEER = Taskiq
