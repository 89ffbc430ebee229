"""Attempts that run longer than they may."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import psutil

from conduit.core.events import EventKind
from conduit.core.model import NO_TIMEOUT, JobStatus, Reason
from conduit.core.retry import RetryPolicy
from conduit.engine.context import Context, current_job
from tests.engine.bench import PATIENCE, Bench, process_task, task
from tests.engine.process_jobs import double, spin

LATE = 0.5
"""Seconds by which a thread or a process, too, has begun with what it is given."""


async def test_an_async_job_past_its_timeout_is_cancelled_and_fails(bench: Bench) -> None:
    cancelled = asyncio.Event()

    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    await bench.start(task(hang, timeout=0.1))
    job = await bench.run("hang")
    assert (job.status, job.reason) == (JobStatus.FAILED, Reason.TIMEOUT)
    assert job.error is not None
    assert "0.1 s" in job.error.message
    assert cancelled.is_set()


async def test_a_job_that_swallows_its_timeout_has_timed_out_all_the_same(bench: Bench) -> None:
    async def deaf() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "fine"
        return "never"

    await bench.start(task(deaf, timeout=0.1))
    job = await bench.run("deaf")
    assert (job.status, job.reason) == (JobStatus.FAILED, Reason.TIMEOUT)


async def test_a_thread_past_its_timeout_is_told_and_left_behind(bench: Bench) -> None:
    contexts: list[Context] = []
    go, went = threading.Event(), threading.Event()

    def hang() -> None:
        contexts.append(current_job())
        go.wait(PATIENCE)
        went.set()

    def quick() -> None: ...

    await bench.start(task(hang, timeout=LATE), task(quick), concurrency=1)
    job = await bench.run("hang")
    assert (job.status, job.reason) == (JobStatus.FAILED, Reason.TIMEOUT)
    assert contexts[0].cancelled
    assert (await bench.run("quick")).status is JobStatus.COMPLETED  # its slot is free again
    go.set()
    assert await asyncio.to_thread(went.wait, PATIENCE)
    assert (await bench.job(job.id)).status is JobStatus.FAILED


async def test_a_thread_that_sleeps_through_its_context_wakes_at_its_timeout(
    bench: Bench,
) -> None:
    woken = threading.Event()

    def sleep() -> None:
        try:
            current_job().sleep_sync(3600)
        finally:
            woken.set()

    await bench.start(task(sleep, timeout=LATE))
    job = await bench.run("sleep")
    assert (job.status, job.reason) == (JobStatus.FAILED, Reason.TIMEOUT)
    assert await asyncio.to_thread(woken.wait, PATIENCE)


async def test_a_process_past_its_timeout_is_killed(bench: Bench, tmp_path: Path) -> None:
    started = tmp_path / "started"
    await bench.start(process_task(double), process_task(spin, timeout=LATE), processes=1)
    await bench.run("double", args=b'{"number":1}')  # its process is there
    job = await bench.run("spin", args=b'{"started":"%s"}' % os.fsencode(started))
    assert (job.status, job.reason) == (JobStatus.FAILED, Reason.TIMEOUT)
    assert not psutil.pid_exists(int(started.read_text()))


async def test_a_timeout_is_retried_as_any_error(bench: Bench) -> None:
    attempts: list[int] = []

    async def slow_once() -> str:
        attempts.append(current_job().attempt)
        if len(attempts) == 1:
            await asyncio.Event().wait()
        return "done"

    await bench.start(task(slow_once, timeout=0.1, retry=RetryPolicy(retries=1, delay=0)))
    job = await bench.completed(await bench.submit("slow_once"))
    assert attempts == [1, 2]
    assert (await bench.event(job.id, EventKind.RETRYING)).reason == Reason.TIMEOUT


async def test_a_submit_may_bring_its_own_timeout(bench: Bench) -> None:
    deadlines: list[bool] = []

    async def hang() -> None:
        deadlines.append(current_job().deadline is not None)
        await asyncio.Event().wait()

    await bench.start(task(hang))
    job = await bench.run("hang", timeout_ms=100)
    assert (job.status, job.reason) == (JobStatus.FAILED, Reason.TIMEOUT)
    assert deadlines == [True]


async def test_a_submit_may_lift_the_timeout_of_its_function(bench: Bench) -> None:
    deadlines: list[object] = []

    async def slow() -> str:
        deadlines.append(current_job().deadline)
        await asyncio.sleep(0.3)
        return "done"

    await bench.start(task(slow, timeout=0.1))
    job = await bench.completed(await bench.submit("slow", timeout_ms=NO_TIMEOUT))
    assert (job.result, deadlines) == (b'"done"', [None])


async def test_time_spent_waiting_for_room_is_not_counted(bench: Bench) -> None:
    running, go = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        running.set()
        await go.wait()

    first = await bench.submit("hold")
    second = await bench.submit("hold", timeout_ms=300)
    await bench.start(task(hold), concurrency=1, prefetch=1)
    await running.wait()
    assert (await bench.job(second)).status is JobStatus.RUNNING  # claimed, and waiting there
    await asyncio.sleep(0.5)  # longer than the second one may run
    go.set()
    await bench.completed(first)
    assert (await bench.completed(second)).attempt == 1
