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
from conduit.engine.context import current_job
from tests.engine.bench import PATIENCE, Bench, task
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
