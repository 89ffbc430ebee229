"""How a worker stops: in good order, at once, and while the queue is away."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import pytest

from conduit.core.errors import LeaseLostError
from conduit.core.model import JobStatus, NewJob
from conduit.engine.context import current_job
from conduit.engine.supervision import shutdown as stopping
from conduit.queue.sqlite import connection
from tests.engine.bench import PATIENCE, Bench, task

AN_HOUR = 3600.0


class Hold:
    """A job that runs until the test lets it go."""

    def __init__(self) -> None:
        self.running = asyncio.Event()
        self.go = asyncio.Event()

    async def hold(self) -> str:
        self.running.set()
        await self.go.wait()
        return "done"


@pytest.fixture
def hold() -> Hold:
    return Hold()


async def test_a_stop_lets_running_jobs_finish(bench: Bench, hold: Hold) -> None:
    worker = await bench.start(task(hold.hold), shutdown_timeout=AN_HOUR)
    job_id = await bench.submit("hold")
    await hold.running.wait()
    stop = asyncio.create_task(worker.stop())
    await asyncio.sleep(0)
    hold.go.set()
    await stop
    assert (await bench.job(job_id)).status is JobStatus.COMPLETED


async def test_a_second_stop_does_not_wait_for_jobs(bench: Bench, hold: Hold) -> None:
    worker = await bench.start(task(hold.hold), shutdown_timeout=AN_HOUR)
    job_id = await bench.submit("hold")
    await hold.running.wait()
    first = asyncio.create_task(worker.stop())
    await asyncio.sleep(0)
    await worker.stop_now()
    await first
    await worker.wait()
    job = await bench.job(job_id)
    assert (job.status, job.attempt, job.failures, job.rescues) == (JobStatus.QUEUED, 1, 0, 0)


async def test_jobs_that_outlast_the_stop_are_handed_back_at_no_cost(
    bench: Bench, hold: Hold
) -> None:
    worker = await bench.start(task(hold.hold), shutdown_timeout=0.1)
    job_id = await bench.submit("hold")
    await hold.running.wait()
    await worker.stop()
    job = await bench.job(job_id)
    assert (job.status, job.attempt, job.failures, job.rescues) == (JobStatus.QUEUED, 1, 0, 0)


async def test_jobs_fetched_ahead_are_handed_back_as_soon_as_a_stop_is_asked_for(
    bench: Bench, hold: Hold
) -> None:
    jobs = [await bench.submit("hold") for _ in range(4)]
    worker = await bench.start(task(hold.hold), concurrency=1, prefetch=3, shutdown_timeout=AN_HOUR)
    await hold.running.wait()
    assert {(await bench.job(job)).status for job in jobs} == {JobStatus.RUNNING}
    stop = asyncio.create_task(worker.stop())
    while [(await bench.job(job)).status for job in jobs] != [
        JobStatus.RUNNING,
        *[JobStatus.QUEUED] * 3,
    ]:
        await bench.queue.wait_for_jobs(["default"], 1)
    assert not stop.done()
    hold.go.set()
    await stop
    assert (await bench.job(jobs[0])).status is JobStatus.COMPLETED


async def test_a_stop_needs_no_thread_of_the_event_loops_own_pool(bench: Bench) -> None:
    go, steps = threading.Event(), threading.Semaphore(0)

    def slow_step() -> None:
        steps.release()
        go.wait(PATIENCE)

    async def job() -> None:
        await current_job().step("slow", slow_step)

    pool = ThreadPoolExecutor(1)
    asyncio.get_running_loop().set_default_executor(pool)
    worker = await bench.start(task(job), shutdown_timeout=0)
    jobs = [await bench.submit("job") for _ in range(3)]
    for _ in jobs:
        assert await asyncio.to_thread(steps.acquire, timeout=PATIENCE)
    blocking = pool.submit(go.wait, PATIENCE)
    await worker.stop()
    assert not blocking.done()
    go.set()
    assert [(await bench.job(job)).status for job in jobs] == [JobStatus.QUEUED] * 3


async def test_blocking_steps_of_many_jobs_run_side_by_side(bench: Bench) -> None:
    together = threading.Barrier(40)

    def meet() -> None:
        together.wait(PATIENCE)

    async def job() -> None:
        await current_job().step("meet", meet)

    await bench.start(task(job), concurrency=40)
    jobs = [await bench.submit("job") for _ in range(40)]
    for job_id in jobs:
        await bench.completed(job_id)


# --- while the queue is away -------------------------------------------------------------------


class Lock:
    """Holds the queue's file as another program would, so that the queue is away."""

    def __init__(self, bench: Bench) -> None:
        self._path = bench.path
        self._connection: sqlite3.Connection | None = None

    def take(self) -> None:
        self._connection = sqlite3.connect(self._path, isolation_level=None)
        self._connection.execute("BEGIN IMMEDIATE")

    def free(self) -> None:
        if self._connection is not None:
            self._connection.execute("ROLLBACK")
            self._connection.close()
            self._connection = None


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A locked file is given up on after a moment: the tests wait as often, not as long."""
    monkeypatch.setattr(connection, "BUSY_TIMEOUT_S", 0.1)
    monkeypatch.setattr(stopping, "DELIVERY_TIMEOUT_S", 1.0)


@pytest.fixture
def lock(impatient: None, bench: Bench) -> Iterator[Lock]:
    lock = Lock(bench)
    yield lock
    lock.free()


def said(caplog: pytest.LogCaptureFixture, words: str) -> list[str]:
    return [message for message in caplog.messages if words in message]


async def until_said(caplog: pytest.LogCaptureFixture, words: str) -> None:
    while not said(caplog, words):  # noqa: ASYNC110 - a log can only be looked at
        await asyncio.sleep(0.01)


async def test_a_result_outlasts_an_outage_which_is_told_once(
    bench: Bench, hold: Hold, lock: Lock, caplog: pytest.LogCaptureFixture
) -> None:
    jobs = [await bench.submit("hold") for _ in range(3)]
    await bench.start(task(hold.hold))
    await hold.running.wait()
    lock.take()
    hold.go.set()
    await until_said(caplog, "the queue is unavailable")
    await asyncio.sleep(0.5)  # tries on, in silence
    lock.free()
    for job in jobs:
        assert (await bench.completed(job)).attempt == 1
    await until_said(caplog, "answers again after")
    assert len(said(caplog, "the queue is unavailable")) == 1
    assert len(said(caplog, "answers again")) == 1


async def test_a_result_of_an_outage_that_ends_during_the_stop_is_delivered(
    bench: Bench,
    hold: Hold,
    lock: Lock,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stopping, "DELIVERY_TIMEOUT_S", PATIENCE)
    worker = await bench.start(task(hold.hold), shutdown_timeout=0.2)
    job_id = await bench.submit("hold")
    await hold.running.wait()
    lock.take()
    hold.go.set()
    await until_said(caplog, "the queue is unavailable")
    stop = asyncio.create_task(worker.stop())
    await asyncio.sleep(0.5)  # longer than the shutdown's timeout: the last delivery has begun
    lock.free()
    await stop
    assert (await bench.job(job_id)).status is JobStatus.COMPLETED
    assert not said(caplog, "could not be delivered")


async def test_results_that_are_lost_in_an_outage_are_told_of_and_the_stop_ends(
    bench: Bench, hold: Hold, lock: Lock, caplog: pytest.LogCaptureFixture
) -> None:
    await bench.submit("hold")
    await bench.submit("hold")
    worker = await bench.start(task(hold.hold), shutdown_timeout=0.2)
    await hold.running.wait()
    lock.take()
    hold.go.set()
    await worker.stop()
    assert said(caplog, "the results of 2 jobs could not be delivered")
    (sign_off,) = said(caplog, "could not sign off")
    assert not sign_off.rstrip().endswith(":")


async def test_a_thread_that_waits_for_a_write_at_the_end_of_its_worker_is_told(
    bench: Bench, lock: Lock, caplog: pytest.LogCaptureFixture
) -> None:
    running, locked, told = threading.Event(), threading.Event(), threading.Event()
    errors: list[BaseException] = []

    def write() -> None:
        running.set()
        locked.wait(PATIENCE)
        try:
            current_job().save_checkpoint_sync({"page": 1})
        except BaseException as error:
            errors.append(error)
        told.set()

    worker = await bench.start(task(write), shutdown_timeout=0)
    await bench.submit("write")
    assert await asyncio.to_thread(running.wait, PATIENCE)
    lock.take()
    locked.set()
    await until_said(caplog, "the queue is unavailable")
    await worker.stop()
    assert await asyncio.to_thread(told.wait, PATIENCE)
    assert [type(error) for error in errors] == [LeaseLostError]


async def test_who_waits_for_an_inline_job_is_let_go_when_its_end_cannot_be_told(
    bench: Bench, hold: Hold, lock: Lock
) -> None:
    worker = await bench.start(task(hold.hold), shutdown_timeout=0.2)
    executing = asyncio.create_task(worker.execute(NewJob(id="job-1", function="hold")))
    await hold.running.wait()
    lock.take()
    hold.go.set()
    await worker.stop()
    done, _ = await asyncio.wait({executing}, timeout=PATIENCE)
    assert done
    assert executing.exception() is not None or not executing.result().status.finished


# --- around its life ---------------------------------------------------------------------------


async def test_a_lifespan_is_left_in_the_task_that_entered_it(bench: Bench) -> None:
    tasks: list[object] = []

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        tasks.append(asyncio.current_task())
        async with asyncio.TaskGroup():
            yield
        tasks.append(asyncio.current_task())

    async def job() -> None: ...

    worker = await bench.start(task(job), lifespan=lifespan)
    await bench.run("job")
    await worker.stop()
    entered, left = tasks
    assert entered is left


async def test_a_second_stop_ends_a_lifespan_that_hangs(bench: Bench) -> None:
    leaving = asyncio.Event()

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        yield
        leaving.set()
        await asyncio.sleep(AN_HOUR)

    async def job() -> None: ...

    worker = await bench.start(task(job), lifespan=lifespan)
    first = asyncio.create_task(worker.stop())
    await leaving.wait()
    assert not first.done()
    await worker.stop_now()
    await first
    await worker.wait()


async def test_what_a_lifespan_fails_of_at_its_end_is_what_the_worker_crashed_of(
    bench: Bench,
) -> None:
    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        yield
        raise OSError("the pool can't be closed")

    async def job() -> None: ...

    worker = await bench.start(task(job), lifespan=lifespan)
    await worker.stop()
    with pytest.raises(OSError, match="the pool can't be closed"):
        await worker.wait()
    assert not await bench.queue.workers()


async def test_a_stopped_worker_is_no_longer_listed(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    async def job() -> None: ...

    caplog.set_level(logging.WARNING)
    worker = await bench.start(task(job))
    assert [info.id for info in await bench.queue.workers()] == [worker.id]
    await worker.stop()
    assert not await bench.queue.workers()
    assert not caplog.messages


async def test_a_crash_in_a_lifespans_task_group_ends_the_worker(bench: Bench, hold: Hold) -> None:
    crash = asyncio.Event()

    async def watch() -> None:
        await crash.wait()
        raise OSError("the feed broke off")

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            group.create_task(watch())
            yield

    worker = await bench.start(task(hold.hold), lifespan=lifespan)
    job_id = await bench.submit("hold")
    await hold.running.wait()
    crash.set()
    with pytest.raises(ExceptionGroup) as caught:
        await worker.wait()
    assert [str(error) for error in caught.value.exceptions] == ["the feed broke off"]
    assert (await bench.job(job_id)).status is JobStatus.QUEUED
