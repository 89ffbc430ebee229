"""Jobs in worker processes have places of their own, and no more are claimed than can run."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from conduit.core.events import EventKind
from conduit.core.model import JobStatus
from conduit.queue.base import JobFilter
from tests.engine.bench import PATIENCE, Bench, process_task, task
from tests.engine.process_jobs import double, spin, wait_for


def path_json(name: str, path: Path) -> bytes:
    return b'{"%s":"%s"}' % (name.encode(), os.fsencode(path))


async def held(bench: Bench) -> int:
    page = await bench.queue.find(JobFilter(statuses=(JobStatus.RUNNING,)))
    return page.total


async def test_jobs_that_wait_for_a_process_do_not_time_out(bench: Bench) -> None:
    args = b'{"path":null,"seconds":0.4}'
    jobs = [await bench.submit("wait_for", args=args) for _ in range(12)]
    await bench.start(process_task(wait_for, timeout=2.0), processes=2)  # for 12 it takes 2.4 s
    for job in jobs:
        assert (await bench.completed(job)).attempt == 1


async def test_a_worker_claims_no_more_jobs_than_it_has_processes(
    bench: Bench, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    jobs = [await bench.submit("wait_for", args=path_json("path", go)) for _ in range(6)]
    first = await bench.start(process_task(wait_for), processes=2)
    second = await bench.start(process_task(wait_for), name="idle", processes=3)
    for job in jobs[:5]:
        await bench.event(job, EventKind.STARTED)
    running = await bench.queue.find(JobFilter(statuses=(JobStatus.RUNNING,)))
    workers = [job.worker_id for job in running.items]
    assert (workers.count(first.id), workers.count(second.id)) == (2, 3)
    go.touch()
    for job in jobs:
        await bench.completed(job)


async def test_what_a_worker_says_of_its_concurrency_is_how_many_jobs_run_at_once(
    bench: Bench,
) -> None:
    async def job() -> None: ...

    await bench.start(process_task(double), name="pure", processes=3)
    await bench.start(process_task(double), task(job), name="mixed", processes=3)
    await bench.start(task(job), name="plain", processes=3)
    await bench.start(process_task(double), name="narrow", processes=3, concurrency=1)
    said = {info.name: info.concurrency for info in await bench.queue.workers()}
    assert said == {"pure": 3, "mixed": 53, "plain": 50, "narrow": 1}


async def test_full_processes_do_not_keep_other_jobs_from_running(
    bench: Bench, tmp_path: Path
) -> None:
    async def on_the_loop() -> None: ...

    def in_a_thread() -> None: ...

    go = tmp_path / "go"
    busy = [await bench.submit("wait_for", args=path_json("path", go)) for _ in range(60)]
    functions = process_task(wait_for), task(on_the_loop), task(in_a_thread)
    await bench.start(*functions, processes=1)
    await bench.run("on_the_loop")
    await bench.run("in_a_thread")
    assert await held(bench) == 1
    go.touch()
    for job in busy:
        await bench.completed(job)


async def test_a_full_loop_does_not_keep_process_jobs_from_running(bench: Bench) -> None:
    go = threading.Event()

    def hold() -> None:
        go.wait(PATIENCE)

    holding = [await bench.submit("hold") for _ in range(6)]
    await bench.start(task(hold), process_task(double), concurrency=2, processes=1)
    for number in range(3):
        await bench.completed(await bench.submit("double", args=b'{"number":%d}' % number))
    go.set()
    for job in holding:
        await bench.completed(job)


async def test_an_idle_loop_does_not_keep_a_free_process_from_its_next_job(bench: Bench) -> None:
    async def rare() -> None: ...

    jobs = [await bench.submit("double", args=b'{"number":1}') for _ in range(40)]
    await bench.start(task(rare), process_task(double), processes=1)
    for job in jobs:
        await bench.completed(job)


async def test_short_process_jobs_fetched_ahead_do_not_stay_behind_long_ones(
    bench: Bench, tmp_path: Path
) -> None:
    started = tmp_path / "started"
    functions = process_task(double), process_task(spin)
    short = [await bench.submit("double", args=b'{"number":1}') for _ in range(100)]
    await bench.start(*functions, processes=1)
    for job in short:
        await bench.completed(job)  # the worker has seen short jobs, and fetches ahead
    long = await bench.submit("spin", args=path_json("started", started), priority=9)
    more = [await bench.submit("double", args=b'{"number":1}') for _ in range(5)]
    await bench.event(long, EventKind.STARTED)
    idle = await bench.start(*functions, name="idle", processes=1)
    for job in more:
        ended = await bench.completed(job)
        assert (ended.attempt, ended.failures) == (1, 0)
    assert idle.id in {(await bench.job(job)).worker_id for job in more}
    await bench.queue.cancel([long], "enough")
    await bench.finished(long)
