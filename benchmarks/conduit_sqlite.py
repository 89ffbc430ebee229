"""Conduit on its embedded queue: every job durable, every event recorded, results kept."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

from benchmarks import noop_service
from benchmarks.measure import ROOT, Stopwatch, arguments, percentile, report, resident_mib
from benchmarks.noop_service import noop
from conduit import submit_many
from conduit.engine.worker import WorkerService
from conduit.queue import open_queue


async def main() -> None:
    """Measure submits, the drain, and the time from submit to result in another process."""
    folder, parameters = arguments()
    jobs, single, waits = parameters["jobs"], parameters["single"], parameters["waits"]
    url = f"sqlite:///{folder / 'queue.db'}"
    os.environ["CONDUIT_QUEUE_URL"] = url

    with Stopwatch() as one_by_one:
        for _ in range(single):
            await noop.submit()
    with Stopwatch() as in_flight:
        for _ in range(0, jobs, 100):
            await asyncio.gather(*(noop.submit() for _ in range(100)))
    with Stopwatch() as batched:
        futures = await submit_many(noop, [()] * jobs)
    total = single + (jobs + 99) // 100 * 100 + jobs
    with Stopwatch() as drain:
        await _drain(url, futures[-1].job_id)
    memory = resident_mib(os.getpid())
    samples = await _latencies(url, folder, waits)
    report(
        single=single / one_by_one.seconds,
        in_flight=jobs / in_flight.seconds,
        batched=jobs / batched.seconds,
        drain=total / drain.seconds,
        p50_ms=percentile(samples, 0.5) * 1000,
        p99_ms=percentile(samples, 0.99) * 1000,
        memory_mib=memory,
    )


async def _drain(url: str, last: str) -> None:
    """Run a worker until nothing is left; counting all along would cost more than it tells."""
    worker = WorkerService(noop_service.worker.spec(), url)
    await worker.start()
    async with open_queue(url) as queue:
        while not await queue.wait_finished([last], 60):
            pass
        while any(info.queued or info.running for info in await queue.queues()):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    await worker.stop()


async def _latencies(url: str, folder: Path, waits: int) -> list[float]:
    """Submit to a worker in another process, at rest, and wait for the result; seconds each."""
    log = (folder / "worker.log").open("w")
    command = [sys.executable, "-m", "conduit", "run", "benchmarks/noop_service.py"]
    child = await asyncio.create_subprocess_exec(
        *command, "--queue-url", url, cwd=ROOT, stderr=log, stdout=log
    )
    try:
        await noop.wait()
        samples: list[float] = []
        for _ in range(waits):
            began = time.perf_counter()
            await noop.wait()
            samples.append(time.perf_counter() - began)
    finally:
        child.terminate()
        await child.wait()
    return samples


if __name__ == "__main__":
    asyncio.run(main())
