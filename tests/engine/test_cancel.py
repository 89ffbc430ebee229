"""Cancelling jobs: waiting, and running in each mode."""

from __future__ import annotations

import asyncio
import functools
import os
import threading
from pathlib import Path

import psutil
import pytest

from conduit.core.events import EventKind
from conduit.core.model import JobStatus
from conduit.core.retry import RetryPolicy
from conduit.engine.context import current_job
from conduit.queue.base import Acted
from tests.engine.bench import PATIENCE, Bench, process_task, task
from tests.engine.process_jobs import spin


async def cancel(bench: Bench, job_id: str) -> Acted:
    (action,) = await bench.queue.cancel([job_id], "not needed")
    return action.acted


async def test_a_queued_job_that_is_cancelled_never_starts(bench: Bench) -> None:
    async def job() -> None: ...

    cancelled = await bench.submit("job")
    assert await cancel(bench, cancelled) is Acted.DONE
    await bench.start(task(job))
    await bench.run("job")
    assert (await bench.job(cancelled)).status is JobStatus.CANCELLED
    assert EventKind.STARTED not in await bench.kinds(cancelled)


async def test_a_running_async_job_is_cancelled_at_its_next_await(bench: Bench) -> None:
    running, interrupted = asyncio.Event(), asyncio.Event()

    async def hang() -> None:
        running.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            assert current_job().cancelled
            interrupted.set()
            raise

    await bench.start(task(hang))
    job_id = await bench.submit("hang")
    await running.wait()
    assert await cancel(bench, job_id) is Acted.REQUESTED
    job = await bench.finished(job_id)
    assert (job.status, job.reason) == (JobStatus.CANCELLED, "not needed")
    assert interrupted.is_set()


async def test_a_running_thread_sees_the_cancel_and_stops_by_itself(bench: Bench) -> None:
    running = threading.Event()

    def hang() -> None:
        running.set()
        current_job().sleep_sync(3600)

    await bench.start(task(hang))
    job_id = await bench.submit("hang")
    assert await asyncio.to_thread(running.wait, PATIENCE)
    assert await cancel(bench, job_id) is Acted.REQUESTED
    assert (await bench.finished(job_id)).status is JobStatus.CANCELLED


async def test_a_thread_that_ignores_the_cancel_stays_running_while_its_grace_lasts(
    bench: Bench,
) -> None:
    running, go, seen = threading.Event(), threading.Event(), threading.Event()

    def deaf() -> str:
        running.set()
        while not current_job().cancelled:
            go.wait(0.01)
        seen.set()
        go.wait(PATIENCE)
        return "done after all"

    await bench.start(task(deaf))
    job_id = await bench.submit("deaf")
    assert await asyncio.to_thread(running.wait, PATIENCE)
    await cancel(bench, job_id)
    assert await asyncio.to_thread(seen.wait, PATIENCE)
    job = await bench.job(job_id)
    assert (job.status, job.cancel_requested) == (JobStatus.RUNNING, True)
    go.set()
    assert (await bench.finished(job_id)).status is JobStatus.COMPLETED


async def test_a_running_process_is_terminated(bench: Bench, tmp_path: Path) -> None:
    started = tmp_path / "started"
    await bench.start(process_task(spin), processes=1)
    job_id = await bench.submit("spin", args=b'{"started":"%s"}' % os.fsencode(started))
    while not started.exists():  # noqa: ASYNC110 - another process makes it
        await asyncio.sleep(0.01)
    await cancel(bench, job_id)
    assert (await bench.finished(job_id)).status is JobStatus.CANCELLED
    assert not psutil.pid_exists(int(started.read_text()))


async def test_a_job_that_returns_although_it_was_to_stop_has_completed(bench: Bench) -> None:
    running = asyncio.Event()

    async def stubborn() -> str:
        running.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "done all the same"
        return "never"

    await bench.start(task(stubborn))
    job_id = await bench.submit("stubborn")
    await running.wait()
    await cancel(bench, job_id)
    job = await bench.finished(job_id)
    assert (job.status, job.result) == (JobStatus.COMPLETED, b'"done all the same"')


@pytest.mark.parametrize("error", [ValueError("cleaning up failed"), OSError("closed")])
async def test_a_cancel_beats_a_retry(bench: Bench, error: Exception) -> None:
    running = asyncio.Event()

    async def clean_up_badly() -> None:
        running.set()
        try:
            await asyncio.Event().wait()
        finally:
            raise error

    await bench.start(task(clean_up_badly, retry=RetryPolicy(retries=3, delay=0)))
    job_id = await bench.submit("clean_up_badly")
    await running.wait()
    await cancel(bench, job_id)
    job = await bench.finished(job_id)
    assert (job.status, job.attempt) == (JobStatus.CANCELLED, 1)
    assert job.error is not None
    assert job.error.message == str(error)


async def test_a_job_waiting_for_its_retry_can_be_cancelled(bench: Bench) -> None:
    async def flaky() -> None:
        raise OSError

    await bench.start(task(flaky, retry=RetryPolicy(retries=3, delay=600)))
    job_id = await bench.submit("flaky")
    await bench.event(job_id, EventKind.RETRYING)
    assert await cancel(bench, job_id) is Acted.DONE
    assert (await bench.finished(job_id)).status is JobStatus.CANCELLED


async def test_a_job_fetched_ahead_and_then_cancelled_never_starts(bench: Bench) -> None:
    running, go = asyncio.Event(), asyncio.Event()
    began: list[str] = []

    async def hold() -> None:
        began.append(current_job().job_id)
        running.set()
        await go.wait()

    first = await bench.submit("hold")
    second = await bench.submit("hold")
    await bench.start(task(hold), concurrency=1, prefetch=1)
    await running.wait()
    assert (await bench.job(second)).status is JobStatus.RUNNING  # claimed, and waiting there
    await cancel(bench, second)
    assert (await bench.finished(second)).status is JobStatus.CANCELLED
    go.set()
    assert (await bench.finished(first)).status is JobStatus.COMPLETED
    assert began == [first]


async def test_cancelling_one_job_leaves_its_neighbours_alone(bench: Bench) -> None:
    running, go = asyncio.Semaphore(0), asyncio.Event()

    async def hold() -> None:
        running.release()
        await go.wait()

    await bench.start(task(hold))
    one, other = await bench.submit("hold"), await bench.submit("hold")
    await running.acquire()
    await running.acquire()
    await cancel(bench, one)
    assert (await bench.finished(one)).status is JobStatus.CANCELLED
    go.set()
    assert (await bench.finished(other)).status is JobStatus.COMPLETED


def relayed(call):
    """A decorator that knows nothing of coroutines, as libraries have them."""

    @functools.wraps(call)
    def relay(*args, **kwargs):
        return call(*args, **kwargs)

    return relay


async def test_a_coroutine_behind_a_plain_decorator_is_cancelled_as_any(bench: Bench) -> None:
    running, interrupted = asyncio.Event(), asyncio.Event()

    @relayed
    async def hang() -> None:
        running.set()
        try:
            await asyncio.Event().wait()
        finally:
            interrupted.set()

    await bench.start(task(hang))
    job_id = await bench.submit("hang")
    await running.wait()
    await cancel(bench, job_id)
    assert (await bench.finished(job_id)).status is JobStatus.CANCELLED
    assert interrupted.is_set()


async def test_a_cancel_while_a_decorator_still_runs_reaches_the_coroutine_behind_it(
    bench: Bench,
) -> None:
    deciding, seen = threading.Event(), threading.Event()

    async def hang() -> None:
        await asyncio.Event().wait()

    def decide():
        deciding.set()
        while not current_job().cancelled:
            seen.wait(0.01)
        return hang()

    await bench.start(task(decide), lease_ms=600_000)  # no heartbeat repeats the cancel
    job_id = await bench.submit("decide")
    assert await asyncio.to_thread(deciding.wait, PATIENCE)
    await cancel(bench, job_id)
    assert (await bench.finished(job_id)).status is JobStatus.CANCELLED
