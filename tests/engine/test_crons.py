"""Schedules that a worker keeps."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

from conduit.core.errors import QueueUnavailableError
from conduit.core.model import Job, WorkerInfo
from conduit.core.schedule import parse_schedule
from conduit.engine.function import Cron
from conduit.engine.ticker import tick_forever
from conduit.queue import Queue
from conduit.queue.base import JobFilter, Registration
from conduit.queue.sqlite import SqliteQueue
from tests.engine.bench import Bench, task


def often(**options: Any) -> Cron:
    fields: dict[str, Any] = {
        "name": "report",
        "function": "report",
        "queue": "default",
        "timezone": "UTC",
    }
    schedule = parse_schedule(timedelta(milliseconds=100), "UTC")
    return Cron(schedule=schedule, **fields | options)


async def ticked(queue: Queue, times: int = 1) -> list[Job]:
    """The jobs that came of ticks, once there are so many."""
    while True:
        page = await queue.find(JobFilter(functions=("report",)))
        if page.total >= times:
            return page.items
        await queue.wait_for_jobs(["default"], 1)


async def test_a_tick_has_the_priority_and_deliveries_that_its_task_declares(bench: Bench) -> None:
    ran = asyncio.Event()

    async def report() -> None:
        ran.set()

    cron = often(priority=50, max_deliveries=1)
    await bench.start(task(report, priority=50, max_deliveries=1), crons=[cron])
    await ran.wait()
    (job, *_) = await ticked(bench.queue)
    assert (job.priority, job.max_deliveries) == (50, 1)
    (info,) = await bench.queue.crons()
    assert (info.priority, info.max_deliveries) == (50, 1)


class Flickering(SqliteQueue):
    """A queue whose clock is out of reach for a moment, between one tick and the next."""

    looks = 0

    async def now(self) -> int:
        self.looks += 1
        if self.looks == 2:
            raise QueueUnavailableError("connection reset")
        return await super().now()


async def test_a_store_that_is_away_between_two_ticks_does_not_end_the_schedule(
    tmp_path: Path,
) -> None:
    cron = often()
    worker = WorkerInfo(
        id="orders-1",
        name="orders",
        host="here",
        pid=1,
        version="0",
        queues=("default",),
        concurrency=1,
    )
    async with Flickering(tmp_path / "queue.db") as queue:
        await queue.register(Registration(worker=worker, crons=(cron.info("orders"),)))
        ticking = asyncio.create_task(tick_forever(queue, [cron]))
        waiting = asyncio.create_task(ticked(queue, times=2))
        done, _ = await asyncio.wait({ticking, waiting}, return_when=asyncio.FIRST_COMPLETED)
        ticking.cancel()
        assert done == {waiting}
    assert queue.looks > 2
