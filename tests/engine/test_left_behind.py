"""Jobs that go on although they were told to stop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from conduit.core.errors import LeaseLostError
from conduit.core.model import JobStatus, Reason
from conduit.core.retry import RetryPolicy
from conduit.engine.attempts.function import Hooks, Next
from conduit.engine.context import Context, current_job
from tests.engine.bench import PATIENCE, Bench, task
from tests.engine.heard import Heard
from tests.sdk.support import run_script


class Deaf:
    """A coroutine that swallows every cancel until the test lets it go."""

    def __init__(self) -> None:
        self.running = asyncio.Event()
        self.go = asyncio.Event()
        self.ended = asyncio.Event()
        self.refused: list[str] = []

    async def job(self) -> str:
        self.running.set()
        while not self.go.is_set():
            try:
                await self.go.wait()
            except asyncio.CancelledError:
                continue
        try:
            await current_job().set_metadata(late=True)
        except LeaseLostError as error:
            self.refused.append(str(error))
        self.ended.set()
        return "too late"


class DeafThread:
    """A plain function that hears of nothing until the test lets it go."""

    def __init__(self) -> None:
        self.running = threading.Event()
        self.go = threading.Event()
        self.ended = threading.Event()
        self.refused: list[str] = []

    def job(self) -> None:
        self.running.set()
        self.go.wait(PATIENCE)
        try:
            current_job().set_metadata_sync(late=True)
        except LeaseLostError as error:
            self.refused.append(str(error))
        self.ended.set()

    async def until_running(self) -> None:
        assert await asyncio.to_thread(self.running.wait, PATIENCE)

    async def let_go(self) -> None:
        self.go.set()
        if self.running.is_set():
            assert await asyncio.to_thread(self.ended.wait, PATIENCE)


@pytest.fixture
async def deaf_thread() -> AsyncIterator[DeafThread]:
    deaf = DeafThread()
    yield deaf
    await deaf.let_go()


@pytest.fixture
async def deaf() -> AsyncIterator[Deaf]:
    deaf = Deaf()
    yield deaf
    deaf.go.set()
    if deaf.running.is_set():
        await deaf.ended.wait()


async def quick() -> None: ...


async def test_a_coroutine_deaf_to_its_timeout_fails_and_gives_its_slot_back(
    bench: Bench, deaf: Deaf
) -> None:
    await bench.start(task(deaf.job, timeout=0.1), task(quick), concurrency=1, cancel_grace=0.1)
    job = await bench.run("job")
    assert (job.status, job.reason) == (JobStatus.FAILED, Reason.TIMEOUT)
    assert (await bench.run("quick")).status is JobStatus.COMPLETED
    deaf.go.set()
    await deaf.ended.wait()
    assert len(deaf.refused) == 1
    assert await bench.job(job.id) == job


async def test_a_coroutine_deaf_to_its_timeout_is_retried_as_any(bench: Bench, deaf: Deaf) -> None:
    attempts: list[int] = []

    async def job() -> str:
        attempts.append(current_job().attempt)
        return await deaf.job() if len(attempts) == 1 else "done"

    retry = RetryPolicy(retries=1, delay=0)
    await bench.start(task(job, timeout=0.2, retry=retry), cancel_grace=0.1)
    assert (await bench.run("job")).result == b'"done"'
    assert attempts == [1, 2]


async def test_a_coroutine_deaf_to_its_cancel_is_cancelled_after_a_grace(
    bench: Bench, deaf: Deaf
) -> None:
    await bench.start(task(deaf.job), task(quick), concurrency=1, cancel_grace=0.1)
    job_id = await bench.submit("job")
    await deaf.running.wait()
    await bench.queue.cancel([job_id], "not needed")
    job = await bench.finished(job_id)
    assert (job.status, job.reason) == (JobStatus.CANCELLED, "not needed")
    assert (await bench.run("quick")).status is JobStatus.COMPLETED


async def test_within_its_grace_a_cancelled_coroutine_may_end_in_good_order(bench: Bench) -> None:
    running = asyncio.Event()

    async def tidy() -> None:
        running.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.2)
            await current_job().set_metadata(tidy=True)

    await bench.start(task(tidy), cancel_grace=PATIENCE)
    job_id = await bench.submit("tidy")
    await running.wait()
    await bench.queue.cancel([job_id], "not needed")
    job = await bench.finished(job_id)
    assert (job.status, job.metadata) == (JobStatus.CANCELLED, b'{"tidy":true}')


async def test_a_thread_deaf_to_its_cancel_gives_its_slot_back_after_a_grace(
    bench: Bench, deaf_thread: DeafThread
) -> None:
    await bench.start(task(deaf_thread.job), task(quick), concurrency=1, cancel_grace=0.1)
    job_id = await bench.submit("job")
    await deaf_thread.until_running()
    await bench.queue.cancel([job_id], "not needed")
    job = await bench.finished(job_id)
    assert (job.status, job.reason) == (JobStatus.CANCELLED, "not needed")
    assert (await bench.run("quick")).status is JobStatus.COMPLETED
    await deaf_thread.let_go()
    assert len(deaf_thread.refused) == 1
    assert await bench.job(job_id) == job


async def test_middleware_that_swallows_a_cancel_gives_the_slot_back_after_a_grace(
    bench: Bench, deaf: Deaf
) -> None:
    async def swallow(ctx: Context, call_next: Next) -> object:
        return await deaf.job() if ctx.function == "job" else await call_next()

    async def job() -> None: ...

    await bench.start(task(job), task(quick), concurrency=1, cancel_grace=0.1, middleware=[swallow])
    job_id = await bench.submit("job")
    await deaf.running.wait()
    await bench.queue.cancel([job_id], "not needed")
    assert (await bench.finished(job_id)).status is JobStatus.CANCELLED
    assert (await bench.run("quick")).status is JobStatus.COMPLETED


async def test_a_job_that_hangs_in_its_last_hook_ends_as_it_had_a_grace_after_its_cancel(
    bench: Bench, deaf: Deaf, caplog: pytest.LogCaptureFixture
) -> None:
    async def hang(ctx: Context, value: object) -> None:
        await deaf.job()

    hooks = Hooks(on_success=hang)
    await bench.start(
        task(quick, name="job", hooks=hooks), task(quick), concurrency=1, cancel_grace=0.1
    )
    job_id = await bench.submit("job")
    await deaf.running.wait()
    await bench.queue.cancel([job_id], "not needed")
    assert (await bench.finished(job_id)).status is JobStatus.COMPLETED
    assert (await bench.run("quick")).status is JobStatus.COMPLETED
    assert f"a hook of job {job_id} (job) goes on" in caplog.text


async def test_the_hook_of_a_failure_may_hang_no_longer_than_its_job(
    bench: Bench, deaf: Deaf
) -> None:
    async def hang(ctx: Context, error: Exception) -> None:
        await deaf.job()

    async def job() -> None:
        await asyncio.Event().wait()

    hooks = Hooks(on_failure=hang)
    await bench.start(
        task(job, timeout=0.1, hooks=hooks), task(quick), concurrency=1, cancel_grace=0.1
    )
    job_id = await bench.submit("job")
    assert (await bench.finished(job_id)).reason == Reason.TIMEOUT
    assert (await bench.run("quick")).status is JobStatus.COMPLETED


async def test_a_job_in_the_thread_of_a_step_is_cancelled_at_once_and_its_thread_told_of(
    bench: Bench, deaf_thread: DeafThread, caplog: pytest.LogCaptureFixture
) -> None:
    async def job() -> None:
        await current_job().step("hang", deaf_thread.job)

    told = Heard("in a thread although told to stop")
    with told.on("conduit.engine"):
        await bench.start(task(job), cancel_grace=0.1)
        job_id = await bench.submit("job")
        await deaf_thread.until_running()
        await bench.queue.cancel([job_id], "not needed")
        assert (await bench.finished(job_id)).status is JobStatus.CANCELLED
        (words,) = await told.lines(1)
    assert words.startswith(f"1 job goes on in a thread although told to stop: job (job {job_id}).")


async def test_threads_that_are_left_behind_are_counted_and_named(bench: Bench) -> None:
    threads = [DeafThread(), DeafThread()]
    waiting = list(threads)

    def hang() -> None:
        waiting.pop().job()

    told = Heard("in a thread although told to stop")
    with told.on("conduit.engine"):
        await bench.start(task(hang), cancel_grace=0.1)
        first = await bench.submit("hang", timeout_ms=100)
        await told.lines(1)
        second = await bench.submit("hang", timeout_ms=100)
        _, words = await told.lines(2)
    assert words.startswith("2 jobs go on in a thread although told to stop: ")
    assert first in words
    assert second in words
    for each in threads:
        await each.let_go()


async def test_a_stop_hands_a_deaf_coroutine_back_and_ends(bench: Bench, deaf: Deaf) -> None:
    worker = await bench.start(task(deaf.job), shutdown_timeout=0)
    job_id = await bench.submit("job")
    await deaf.running.wait()
    await worker.stop()
    job = await bench.job(job_id)
    assert (job.status, job.attempt, job.failures) == (JobStatus.QUEUED, 1, 0)
    deaf.go.set()
    await deaf.ended.wait()
    assert len(deaf.refused) == 1
    assert (await bench.job(job_id)).metadata == b"{}"


async def test_a_thread_left_behind_by_a_stop_has_no_say_any_more(bench: Bench) -> None:
    running, go, ended = threading.Event(), threading.Event(), threading.Event()
    refused: list[str] = []

    def deaf() -> None:
        running.set()
        go.wait(PATIENCE)
        try:
            current_job().set_metadata_sync(late=True)
        except LeaseLostError as error:
            refused.append(str(error))
        ended.set()

    worker = await bench.start(task(deaf), shutdown_timeout=0)
    job_id = await bench.submit("deaf")
    assert await asyncio.to_thread(running.wait, PATIENCE)
    await worker.stop()
    go.set()
    assert await asyncio.to_thread(ended.wait, PATIENCE)
    assert len(refused) == 1
    assert (await bench.job(job_id)).status is JobStatus.QUEUED


SCRIPT = """
import asyncio
import os
import signal
from contextlib import suppress

import conduit

worker = conduit.Worker("orders", shutdown_timeout=0)

@worker.task
async def stubborn() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    while True:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(0.1)

stubborn.submit_sync()
conduit.run(worker)
print("ended")
"""


def test_a_process_ends_although_a_coroutine_in_it_does_not(tmp_path: Path) -> None:
    done = run_script(tmp_path, SCRIPT)
    assert (done.stdout, done.returncode) == ("ended\n", 0), done.stderr
    assert "left behind" in done.stderr
    assert "Traceback" not in done.stderr
    assert "destroyed" not in done.stderr
