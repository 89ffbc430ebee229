"""Drains with many functions and queues, and with much that waits in front of them.

Each scenario runs in a process of its own with a worker in it, and counts the jobs that have run: a
counter that knows nothing of the store. `lanes_table` runs them in turn.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any
from uuid import uuid4

import redis

import conduit
from benchmarks.measure import Stopwatch, arguments, report
from conduit.core.model import NewJob
from conduit.engine.worker import WorkerService
from conduit.queue import open_queue
from conduit.queue.base import Queue

BATCH = 1000
LOOKS = 15


class Counter:
    """How many jobs have run, and when the first and the last of them did."""

    def __init__(self, jobs: int) -> None:
        self._left = jobs
        self._first = self._last = 0.0
        self._over = asyncio.Event()

    def ran(self) -> None:
        """One more."""
        self._first = self._first or time.perf_counter()
        self._left -= 1
        if self._left == 0:
            self._last = time.perf_counter()
            self._over.set()

    async def seconds(self) -> float:
        """How long it took from the first one to the last."""
        await self._over.wait()
        return self._last - self._first


def service(name: str, functions: Iterable[int], queues: int, counter: Counter) -> conduit.Worker:
    """A worker of some of the functions, each in the queue of its number."""
    worker = conduit.Worker(name, concurrency=100, queues=[f"q{n}" for n in range(queues)])

    async def noop() -> None:
        counter.ran()

    for number in functions:
        worker.task(name=f"f{number}", queue=f"q{number % queues}")(noop)
    return worker


async def submit(queue: Queue, jobs: int, lanes: list[tuple[str, str]]) -> None:
    """Submit jobs, one of each lane after the other."""
    for start in range(0, jobs, BATCH):
        await queue.submit(
            [
                NewJob(id=str(uuid4()), queue=lane[0], function=lane[1])
                for lane in (lanes[n % len(lanes)] for n in range(start, min(start + BATCH, jobs)))
            ]
        )


async def main() -> None:
    """Fill the queue, drain it, and report what that took."""
    folder, given = arguments()
    jobs, functions, queues = given["jobs"], given["functions"], given["queues"]
    url = os.environ.get("BENCH_URL") or f"sqlite:///{folder / 'queue.db'}"
    lanes = [(f"q{n % queues}", f"f{n}") for n in range(max(functions, queues))]
    counter = Counter(jobs)
    async with open_queue(url) as queue:
        for name, paused in (("foreign", False), ("paused", True)):
            if paused and given[name]:
                await queue.pause_function(name)
            await submit(queue, given[name], [("q0", name)])
        await submit(queue, jobs, lanes)
        looks = [await _seconds_of(queue.queues) for _ in range(LOOKS)]
        workers = [
            WorkerService(each.spec(), url)
            for each in _services(len(lanes), queues, given["workers"], counter)
        ]
        before = _server_seconds(url)
        for worker in workers:
            await worker.start()
        began = time.process_time()
        took = await counter.seconds()
        used, server = time.process_time() - began, _server_seconds(url) - before
        for worker in workers:
            await worker.stop()
    report(
        drain=jobs / took,
        worker_us=used / jobs * 1e6,
        server_us=server / jobs * 1e6,
        queues_ms=sorted(looks)[LOOKS // 2] * 1000,
    )


def _services(lanes: int, queues: int, workers: int, counter: Counter) -> list[conduit.Worker]:
    """One with all functions; or two, which have the middle half of them in common."""
    if workers == 1:
        return [service("bench", range(lanes), queues, counter)]
    return [
        service("one", range(lanes * 3 // 4), queues, counter),
        service("two", range(lanes // 4, lanes), queues, counter),
    ]


async def _seconds_of(call: Callable[[], Awaitable[Any]]) -> float:
    with Stopwatch() as watch:
        await call()
    return watch.seconds


def _server_seconds(url: str) -> float:
    """Processor time that the server has used; none for the embedded queue."""
    if url.startswith("sqlite"):
        return 0.0
    with redis.Redis.from_url(url) as client:
        used: Any = client.info("cpu")
    return used["used_cpu_sys"] + used["used_cpu_user"]


if __name__ == "__main__":
    asyncio.run(main())
