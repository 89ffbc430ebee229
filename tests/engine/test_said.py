"""What a worker says of its jobs: nothing of those that go well, one line of each failure."""

from __future__ import annotations

import asyncio
import threading

import pytest

from conduit.core.model import JobStatus
from conduit.core.retry import RetryPolicy
from conduit.engine.context import Fail, current_job
from conduit.queue.base import Claim
from tests.engine.bench import PATIENCE, Bench, task

Said = list[tuple[str, str, str]]


def said(caplog: pytest.LogCaptureFixture) -> Said:
    return [
        (record.levelname, record.name, record.getMessage())
        for record in caplog.records
        if record.name.startswith("conduit.job")
    ]


async def kept(bench: Bench, job_id: str) -> Said:
    return [
        (line.level.name, line.logger, line.message)
        for line in await bench.queue.logs(job_id)
        if line.logger.startswith("conduit.job")
    ]


async def test_retries_and_the_final_failure_are_told_and_kept(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    async def mix() -> None:
        if current_job().attempt == 1:
            raise ConnectionError("the mixer broke\nin two")
        raise ValueError("no flour")

    await bench.start(task(mix, retry=RetryPolicy(retries=1, delay=0.04, jitter=0)))
    ended = await bench.run("mix")
    assert ended.status is JobStatus.FAILED
    expected = [
        (
            "WARNING",
            "conduit.job.mix",
            "attempt 1 failed: ConnectionError: the mixer broke; attempt 2 in 0.0 s",
        ),
        ("ERROR", "conduit.job.mix", "failed after 2 attempts: ValueError: no flour"),
    ]
    assert said(caplog) == expected
    assert await kept(bench, ended.id) == expected
    assert "Traceback" not in caplog.text


async def test_a_job_that_declares_itself_failed_is_told_of(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    async def give_up() -> None:
        raise Fail("the card is stolen")

    await bench.start(task(give_up, retry=RetryPolicy(retries=3)))
    await bench.run("give_up")
    words = "failed after 1 attempt: Fail: the card is stolen"
    assert said(caplog) == [("ERROR", "conduit.job.give_up", words)]


async def test_a_timeout_is_told_with_its_length(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    async def hang() -> None:
        await asyncio.Event().wait()

    await bench.start(task(hang, timeout=0.1))
    await bench.run("hang")
    words = "failed after 1 attempt: TimeoutError: the attempt ran longer than its timeout of 0.1 s"
    assert said(caplog) == [("ERROR", "conduit.job.hang", words)]


async def test_a_job_that_is_left_behind_says_so_in_its_own_log(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    go = threading.Event()

    def hang() -> None:
        go.wait(PATIENCE)

    await bench.start(task(hang, timeout=0.1), cancel_grace=0.1)
    ended = await bench.run("hang")
    go.set()
    assert said(caplog) == await kept(bench, ended.id)
    assert [level for level, _, _ in said(caplog)] == ["ERROR"]


async def test_a_coroutine_that_is_left_behind_says_so_in_its_own_log(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    go = asyncio.Event()

    async def deaf() -> None:
        while not go.is_set():
            try:
                await go.wait()
            except asyncio.CancelledError:
                continue

    await bench.start(task(deaf, timeout=0.1), cancel_grace=0.1)
    ended = await bench.run("deaf")
    go.set()
    assert said(caplog) == await kept(bench, ended.id)
    assert [level for level, _, _ in said(caplog)] == ["ERROR"]


async def test_an_attempt_after_a_rescue_says_that_a_worker_was_lost(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    async def job() -> None: ...

    job_id = await bench.submit("job")
    lost = Claim(worker_id="lost", queues=("default",), functions=("job",), limit=1, lease_ms=100)
    assert await bench.queue.claim(lost)
    await bench.start(task(job))
    await bench.completed(job_id)
    words = "attempt 1 lost its worker; this is attempt 2"
    assert said(caplog) == [("WARNING", "conduit.job.job", words)]
    assert await kept(bench, job_id) == said(caplog)


async def test_jobs_that_go_well_or_are_cancelled_are_not_told_of(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    running = asyncio.Event()

    async def fine() -> None: ...

    async def hang() -> None:
        running.set()
        await asyncio.Event().wait()

    await bench.start(task(fine), task(hang))
    await bench.run("fine")
    job_id = await bench.submit("hang")
    await running.wait()
    await bench.queue.cancel([job_id], "not wanted")
    assert (await bench.finished(job_id)).status is JobStatus.CANCELLED
    assert not said(caplog)
