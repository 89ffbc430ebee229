"""Waiting for a job's end, and acting on it, by its Future."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from conduit import (
    ArtifactNotFoundError,
    Fail,
    Future,
    InvalidOptionError,
    JobNotFoundError,
    JobStateError,
    JobStatus,
    TaskCancelledError,
    TaskFailedError,
    TaskTimeoutError,
    Worker,
    current_job,
)
from conduit.core.errors import TaskError
from conduit.queue import Queue
from conduit.queue.base import JobFilter
from conduit.sdk import client
from conduit.sdk.client import Connection
from tests.sdk.support import run_script


@dataclass
class Receipt:
    cents: int


async def charge(cents: int) -> Receipt:
    if cents < 0:
        raise ValueError("cents must be positive")
    return Receipt(cents)


async def forever() -> None:
    await asyncio.Event().wait()


async def test_what_a_job_kept_can_be_read_by_its_future(worker: Worker) -> None:
    @worker.task
    async def report(name: str) -> None:
        await current_job().artifact(name, b"\x00\xff")

    async with worker:
        future = await report.submit("raw.bin")
        await future.result()
        assert [each.name for each in await future.artifacts()] == ["raw.bin"]
        assert await future.artifact("raw.bin") == b"\x00\xff"
        with pytest.raises(ArtifactNotFoundError, match=r"no artifact 'raw'; it has 'raw\.bin'"):
            await future.artifact("raw")
    for question in (Future.of("nope").artifacts(), Future.of("nope").artifact("raw.bin")):
        with pytest.raises(JobNotFoundError):
            await question


async def test_a_retry_says_that_another_job_holds_the_key(worker: Worker) -> None:
    handle = worker.task(charge).options(key="only")
    async with worker:
        failed = await handle.submit(-1)
        await failed.outcome()
        await handle.options(unique_for=60).wait(1)
        with pytest.raises(JobStateError, match=r"another job holds its key.*unique_for"):
            await failed.retry()


async def test_a_result_tells_the_whole_story(worker: Worker) -> None:
    handle = worker.task(charge)
    async with worker:
        future = await handle.submit(5)
        result = await future.result()
    assert result.value == Receipt(5)
    assert (result.ok, result.status) == (True, JobStatus.COMPLETED)
    assert (result.error, result.traceback) == (None, None)
    assert (result.job_id, result.function, result.attempts) == (future.job_id, "charge", 1)
    assert result.started_at is not None
    assert result.finished_at is not None
    assert result.submitted_at <= result.started_at <= result.finished_at <= datetime.now(UTC)


async def test_a_value_has_the_type_of_the_return_annotation(worker: Worker) -> None:
    handle = worker.task(charge)
    async with worker:
        future = await handle.submit(5)
        assert await future.value() == Receipt(5)
        assert await future == Receipt(5)


async def test_a_failed_job_raises_from_result_and_value_with_its_story(worker: Worker) -> None:
    handle = worker.task(charge, retries=1, retry_delay=0)
    async with worker:
        future = await handle.submit(-1)
        with pytest.raises(TaskFailedError, match="ValueError: cents must be positive") as caught:
            await future.result()
        with pytest.raises(TaskFailedError):
            await future.value()
    result = caught.value.result
    assert (result.ok, result.status, result.value) == (False, JobStatus.FAILED, None)
    assert result.error == "ValueError: cents must be positive"
    assert result.attempts == 2
    assert result.traceback is not None
    assert "raise ValueError" in result.traceback


async def test_a_cancelled_job_raises_task_cancelled(worker: Worker) -> None:
    future = await worker.task(charge).submit(5)
    assert await future.cancel()
    with pytest.raises(TaskCancelledError) as caught:
        await future.result()
    assert caught.value.result.status is JobStatus.CANCELLED


async def test_an_expired_job_raises_task_cancelled_and_says_expired(
    worker: Worker, queue: Queue
) -> None:
    future = await worker.task(charge).options(expires=0.001).submit(5)
    (job,) = await queue.get([future.job_id])
    assert job is not None
    assert job.expires_at is not None
    await asyncio.sleep((job.expires_at + 1 - await queue.now()) / 1000)  # until it has expired
    async with worker:
        with pytest.raises(TaskCancelledError, match="expired"):
            await future.result()


async def test_a_job_that_timed_out_raises_task_timeout(worker: Worker) -> None:
    handle = worker.task(forever, timeout=0.05)
    async with worker:
        future = await handle.submit()
        with pytest.raises(TaskTimeoutError) as caught:
            await future.result()
    assert isinstance(caught.value, TaskError)
    assert caught.value.result.status is JobStatus.FAILED


# --- limits of waiting -----------------------------------------------------------------------


async def test_wait_returns_a_result_whether_the_job_completed_or_failed(worker: Worker) -> None:
    handle = worker.task(charge)
    async with worker:
        good = await handle.wait(5)
        bad = await handle.wait(-1)
    assert good.value == Receipt(5)
    assert (bad.ok, bad.error) == (False, "ValueError: cents must be positive")


async def test_wait_has_no_hidden_limit_and_passes_an_explicit_one_on(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits: list[float | None] = []

    async def finished(self: Connection, job_id: str, timeout: float | None) -> object:
        limits.append(timeout)
        raise TimeoutError

    monkeypatch.setattr(Connection, "finished", finished)
    handle = worker.task(forever)
    for each in (handle, handle.options(wait_timeout=7)):
        with pytest.raises(TimeoutError):
            await each.wait()
    assert limits == [None, 7]


async def test_a_wait_outlasts_the_questions_that_it_asks_of_the_queue(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "LONG_WAIT_S", 0.001)
    handle = worker.task(charge)
    future = await handle.submit(5)
    waiting = asyncio.create_task(future.value())
    await asyncio.wait({waiting}, timeout=0.05)
    assert not waiting.done()
    async with worker:
        assert await waiting == Receipt(5)


async def test_a_wait_that_is_over_leaves_the_job_running(worker: Worker, queue: Queue) -> None:
    started, go_on = asyncio.Event(), asyncio.Event()

    @worker.task
    async def patient() -> str:
        started.set()
        await go_on.wait()
        return "done"

    async with worker:
        with pytest.raises(TimeoutError, match="goes on"):
            await patient.options(wait_timeout=0.01).wait()
        await started.wait()
        (job,) = (await queue.find(JobFilter())).items
        assert job.status is JobStatus.RUNNING
        go_on.set()
        assert await patient.future(job.id).value() == "done"


async def test_a_timeout_of_zero_asks_once(worker: Worker) -> None:
    handle = worker.task(charge)
    future = await handle.submit(5)
    with pytest.raises(TimeoutError):
        await future.result(timeout=0)
    async with worker:
        await future.result()
    assert await future.value(timeout=0) == Receipt(5)


async def test_a_negative_timeout_is_refused(worker: Worker) -> None:
    future = await worker.task(charge).submit(5)
    with pytest.raises(InvalidOptionError, match="timeout=-1"):
        await future.result(timeout=-1)


async def test_one_who_gives_up_does_not_disturb_others_who_wait(worker: Worker) -> None:
    handle = worker.task(charge)
    future = await handle.submit(5)
    patient = asyncio.create_task(future.value())
    with pytest.raises(TimeoutError):
        await future.value(timeout=0.01)
    async with worker:
        assert await patient == Receipt(5)


async def test_many_can_wait_at_once_while_others_join(worker: Worker) -> None:
    handle = worker.task(charge)

    async def one(cents: int) -> int:
        return (await (await handle.submit(cents)).value()).cents

    async with worker:
        assert await asyncio.gather(*(one(n) for n in range(300))) == list(range(300))


async def test_an_unknown_job_is_said_to_be_unknown_by_every_question(worker: Worker) -> None:
    future = Future[object]("no-such-job")
    for question in (future.result, future.status, future.cancel, future.retry):
        with pytest.raises(JobNotFoundError, match="no-such-job"):
            await question()


async def test_an_unknown_job_does_not_disturb_others_who_wait(worker: Worker) -> None:
    handle = worker.task(charge)
    future = await handle.submit(5)
    patient = asyncio.create_task(future.value())
    with pytest.raises(JobNotFoundError):
        await Future[object]("no-such-job").result()
    async with worker:
        assert await patient == Receipt(5)


# --- acting ----------------------------------------------------------------------------------


async def test_cancel_of_a_running_job_asks_its_worker(worker: Worker) -> None:
    started = asyncio.Event()

    @worker.task
    async def work() -> None:
        started.set()
        await asyncio.Event().wait()

    async with worker:
        future = await work.submit()
        await started.wait()
        assert await future.status() is JobStatus.RUNNING
        assert await future.cancel()
        with pytest.raises(TaskCancelledError):
            await future.result()


async def test_cancel_of_a_finished_job_says_no(worker: Worker) -> None:
    handle = worker.task(charge)
    async with worker:
        future = await handle.submit(5)
        await future.result()
    assert not await future.cancel()
    assert await future.status() is JobStatus.COMPLETED


async def test_a_failed_job_can_be_retried_under_its_id(worker: Worker) -> None:
    broken = True

    @worker.task
    async def work() -> str:
        if broken:
            raise Fail("broken")
        return "mended"

    async with worker:
        future = await work.submit()
        with pytest.raises(TaskFailedError, match="broken"):
            await future.result()
        broken = False
        await future.retry()
        assert await future.value() == "mended"


async def test_only_a_failed_or_cancelled_job_can_be_retried(worker: Worker) -> None:
    future = await worker.task(charge).submit(5)
    with pytest.raises(JobStateError, match="queued") as caught:
        await future.retry()
    assert caught.value.status == "queued"


# --- from elsewhere --------------------------------------------------------------------------


async def test_future_of_reads_the_value_as_the_handles_type(worker: Worker) -> None:
    handle = worker.task(charge)
    async with worker:
        job_id = (await handle.submit(5)).job_id
        assert await Future.of(job_id, handle).value() == Receipt(5)
        assert await Future.of(job_id).value() == Receipt(5), "the task is known in this process"


async def test_future_of_works_in_another_process(worker: Worker, tmp_path: Path) -> None:
    paid = worker.task(charge, name="paid")
    async with worker:
        future = await paid.submit(5)
        await future.result()
    code = f"""
import conduit
print(conduit.Future.of({future.job_id!r}).value_sync(timeout=0))
"""
    done = await asyncio.to_thread(run_script, tmp_path, code)
    assert (done.stdout, done.stderr) == ("{'cents': 5}\n", "")


async def test_who_waits_is_let_go_when_somebody_cancels_tasks_that_are_not_his(
    worker: Worker,
) -> None:
    future = await worker.task(charge).submit(5)
    others = asyncio.all_tasks()
    waiting = asyncio.create_task(future.result())
    while not (ours := asyncio.all_tasks() - others - {waiting}):  # noqa: ASYNC110 # none tells
        await asyncio.sleep(0)
    for task in ours:
        task.cancel()
    assert await asyncio.wait({waiting}, timeout=30) == ({waiting}, set())
    assert waiting.cancelled()
