"""What may befall the queue's file: a full disk, a lock that isn't let go, kills at any moment."""

from __future__ import annotations

import asyncio
import fcntl
import random
import sqlite3
import subprocess
from collections.abc import AsyncGenerator, Callable, Generator
from pathlib import Path

import pytest

from conduit import Worker
from conduit.core.errors import QueueUnavailableError
from conduit.core.model import JobStatus, NewJob
from conduit.queue import Queue, open_queue
from conduit.queue.base import Finished, JobFilter, Retention
from conduit.queue.sqlite import SqliteQueue, connection
from tests.cli.conftest import Cli
from tests.conformance.builders import a_job, claim_one, complete, get, submit
from tests.conformance.history import check_history
from tests.engine.bench import Bench, task
from tests.queue.conftest import Others, line_of
from tests.queue.disks import LITTLE_ROOM, Disk, LimitedFile, SmallDisk, mounts_are_allowed

PATIENCE = 30.0
"""Seconds after which a wait that should have ended has hung."""

MUCH = b'{"text":"%s"}' % (b"x" * 500_000)
"""Arguments, or a result, for which little room isn't enough."""


def check_integrity(path: Path) -> None:
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()


async def total(queue: Queue) -> int:
    return (await queue.find(JobFilter(), limit=1)).total


async def until(happened: Callable[[], bool]) -> None:
    """Wait until it is so. The test's own timeout ends a wait in vain."""
    while not happened():  # noqa: ASYNC110
        await asyncio.sleep(0.01)


# --- a full disk -----------------------------------------------------------------------------

DISKS = [LimitedFile, SmallDisk] if mounts_are_allowed() else [LimitedFile]


@pytest.fixture(params=DISKS)
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Disk]:
    folder = tmp_path / "disk"
    folder.mkdir()
    disk = request.param(folder)
    yield disk
    disk.close()


@pytest.fixture
async def full(disk: Disk) -> AsyncGenerator[SqliteQueue]:
    """A queue on that disk. What is full comes with each test."""
    async with SqliteQueue(disk.folder / "queue.db") as queue:
        yield queue


async def test_a_full_disk_refuses_submits_with_that_reason_loses_nothing_and_goes_on_with_room(
    disk: Disk, full: SqliteQueue
) -> None:
    accepted = [await submit(full) for _ in range(5)]
    refused = [a_job(), a_job(args=MUCH)]
    await disk.leave(LITTLE_ROOM, full)
    with pytest.raises(QueueUnavailableError, match="is full; nothing was written: make room"):
        await full.submit(refused)
    accepted += await submit_until_full(full)
    assert await total(full) == len(accepted)
    assert None not in await full.get([job.id for job in accepted])

    await disk.make_room(full)
    await full.submit(refused)
    for _ in range(len(accepted) + 2):
        assert await complete(full, await claim_one(full, limit=1)) is Finished.OK
    await check_history(full)
    await full.close()
    check_integrity(disk.folder / "queue.db")


async def submit_until_full(full: SqliteQueue) -> list[NewJob]:
    """Submit more middling jobs than there is room for; those that were accepted."""
    jobs = [a_job(metadata=b'{"text":"%s"}' % (b"x" * 5000)) for _ in range(100)]
    answers = await asyncio.gather(*(full.submit([job]) for job in jobs), return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, QueueUnavailableError)]
    accepted = [job for job, answer in zip(jobs, answers, strict=True) if isinstance(answer, list)]
    assert (len(refused) + len(accepted), all("is full" in str(each) for each in refused)) == (
        len(jobs),
        True,
    )
    assert refused
    assert accepted
    return accepted


async def test_jobs_still_end_while_there_is_no_room_for_large_new_ones(
    disk: Disk, full: SqliteQueue
) -> None:
    await submit(full)
    running = await claim_one(full)
    await disk.leave(LITTLE_ROOM, full)
    with pytest.raises(QueueUnavailableError):
        await submit(full, args=MUCH)
    assert await complete(full, running, b'"done"') is Finished.OK
    assert (await get(full, running.id)).result == b'"done"'


@pytest.mark.parametrize("disk", [each for each in DISKS if each is SmallDisk], indirect=True)
async def test_a_queue_that_cannot_be_opened_for_want_of_room_says_so(
    disk: Disk, full: SqliteQueue
) -> None:
    await submit(full)
    await full.close()
    await disk.leave(0, full)
    with pytest.raises(QueueUnavailableError, match="is full"):
        await open_queue(f"sqlite:///{disk.folder}/queue.db").open()
    with pytest.raises(QueueUnavailableError, match="is full"):
        await open_queue(f"sqlite:///{disk.folder}/another.db").open()
    await disk.make_room(full)
    async with open_queue(f"sqlite:///{disk.folder}/queue.db") as again:
        assert await total(again) == 1


async def test_a_small_caller_is_served_beside_a_large_one_for_whom_there_is_no_room(
    disk: Disk, full: SqliteQueue
) -> None:
    await disk.leave(LITTLE_ROOM, full)
    small, large, other = await asyncio.gather(
        full.submit([a_job(id="small")]),
        full.submit([a_job(id="large", args=MUCH)]),
        full.submit([a_job(id="other")]),
        return_exceptions=True,
    )
    assert isinstance(large, QueueUnavailableError)
    assert [each[0].job_id for each in (small, other) if isinstance(each, list)] == [
        "small",
        "other",
    ]
    assert await full.get(["large"]) == [None]


async def test_a_worker_holds_a_result_for_which_there_is_no_room_and_delivers_it_later(
    disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench(disk.folder)
    await bench.queue.open()
    running, go = asyncio.Event(), asyncio.Event()

    async def produce() -> str:
        running.set()
        await go.wait()
        return MUCH.decode()

    try:
        worker = await bench.start(task(produce))
        stored = worker._queue
        assert isinstance(stored, SqliteQueue)
        job_id = await bench.submit("produce")
        await running.wait()
        await disk.leave(LITTLE_ROOM, stored)
        go.set()
        await until(lambda: "the queue is unavailable" in caplog.text)
        assert "is full" in caplog.text
        assert (await bench.job(job_id)).status is JobStatus.RUNNING
        await disk.make_room(stored)
        job = await bench.completed(job_id)
    finally:
        await bench.close()
    assert (job.attempt, job.fence) == (1, 1)
    assert caplog.text.count("the queue is unavailable: the disk") == 1
    check_integrity(bench.path)


# --- a lock that isn't let go ----------------------------------------------------------------


@pytest.fixture
def little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for a lock for one second instead of five."""
    monkeypatch.setattr(connection, "BUSY_TIMEOUT_S", 1.0)


LOCKED = "has been locked by another process for 1 s; look for a stopped process"


@pytest.mark.usefixtures("little_patience")
async def test_a_file_that_another_process_locks_refuses_writes_for_so_long_and_keeps_nothing(
    queue: Queue, others: Others
) -> None:
    accepted = await submit(queue)
    jobs = [a_job(), a_job()]
    locker = await others.lock()
    with pytest.raises(QueueUnavailableError, match=LOCKED):
        await queue.submit(jobs)
    assert (await get(queue, accepted.id)).status is JobStatus.QUEUED  # looking goes on
    await others.unlock(locker)
    assert await queue.get([job.id for job in jobs]) == [None, None]
    assert [each.duplicate for each in await queue.submit(jobs)] == [False, False]
    assert await total(queue) == 3
    await check_history(queue)


@pytest.mark.usefixtures("little_patience")
async def test_whoever_publishes_an_event_while_the_file_is_locked_hears_that_nobody_got_it(
    queue: Queue, url: str, others: Others
) -> None:
    worker = Worker("orders", queue_url=url)
    placed = worker.event("order.placed")

    @placed.on
    async def mail(order_id: str) -> None: ...

    locker = await others.lock()
    with pytest.raises(QueueUnavailableError, match=LOCKED):
        await placed.publish(order_id="a")
    await others.unlock(locker)
    assert await total(queue) == 0


@pytest.mark.usefixtures("little_patience")
async def test_all_who_wait_for_a_lock_are_told_together(queue: Queue, others: Others) -> None:
    locker = await others.lock()
    async with asyncio.timeout(PATIENCE):  # one after the other they would take a minute
        answers = await asyncio.gather(
            *(queue.submit([a_job()]) for _ in range(60)), return_exceptions=True
        )
    assert {type(answer) for answer in answers} == {QueueUnavailableError}
    await others.unlock(locker)
    assert await total(queue) == 0


@pytest.mark.usefixtures("little_patience")
async def test_a_file_that_is_locked_against_everyone_cannot_be_opened_until_it_is_free(
    url: str, path: Path, others: Others
) -> None:
    async with open_queue(url) as queue:
        await submit(queue)
    locker = await others.lock("all")
    with pytest.raises(QueueUnavailableError, match=LOCKED):
        await open_queue(url).open()
    await others.unlock(locker)
    async with open_queue(url) as queue:
        assert await total(queue) == 1


async def test_the_command_line_ends_with_4_when_the_file_stays_locked(
    url: str, others: Others, cli: Cli
) -> None:
    async with open_queue(url) as queue:
        await submit(queue)
    locker = await others.lock()
    refused, looked = await asyncio.gather(
        asyncio.to_thread(cli, "queues", "pause", "default", "--queue-url", url),
        asyncio.to_thread(cli, "jobs", "list", "--queue-url", url),
    )
    assert (looked.returncode, "1 of 1 jobs" in looked.stderr) == (0, True)
    assert (refused.returncode, refused.stdout) == (4, "")
    assert "has been locked by another process for 5 s" in refused.stderr
    assert "Traceback" not in refused.stderr
    await others.unlock(locker)
    assert cli("queues", "pause", "default", "--queue-url", url).returncode == 0


@pytest.mark.usefixtures("little_patience")
async def test_a_worker_holds_a_result_while_the_file_is_locked_and_delivers_it_later(
    tmp_path: Path, others: Others, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench(tmp_path)
    await bench.queue.open()
    running, go = asyncio.Event(), asyncio.Event()

    async def produce() -> str:
        running.set()
        await go.wait()
        return "kept"

    try:
        await bench.start(task(produce))
        job_id = await bench.submit("produce")
        await running.wait()
        locker = await others.lock()
        go.set()
        await until(lambda: "the queue is unavailable" in caplog.text)
        assert LOCKED in caplog.text
        assert (await bench.job(job_id)).status is JobStatus.RUNNING
        await others.unlock(locker)
        job = await bench.completed(job_id)
        assert await bench.run("produce")  # and it goes on with others
    finally:
        await bench.close()
    assert (job.result, job.attempt, job.fence) == (b'"kept"', 1, 1)
    async with open_queue(bench.url) as queue:
        await check_history(queue)


# --- kills -----------------------------------------------------------------------------------

SEED = 20_261_124
ROUNDS = 5


async def test_kills_at_random_moments_lose_no_accepted_job_and_leave_no_gap_in_any_history(
    url: str, path: Path, others: Others
) -> None:
    moments = random.Random(SEED)
    accepted: list[str] = []
    for number in range(ROUNDS):
        submitter, worker = others.start("submit", url), others.start("work", url)
        first = await asyncio.to_thread(line_of, submitter)
        assert await asyncio.to_thread(line_of, worker) == "started"
        await _until_one_runs(url)
        for victim in [submitter, worker] if number % 2 else [worker, submitter]:
            await asyncio.sleep(moments.uniform(0, 0.15))
            victim.kill()
        accepted += first.split()
        accepted += await asyncio.to_thread(rest_of, submitter)

    async with open_queue(url) as queue:
        assert None not in await queue.get(accepted)
        survivor = others.start("work", url)
        await _until_quiet(queue)
        survivor.terminate()
        assert await asyncio.to_thread(survivor.wait) == 0
        jobs = [job for job in await queue.get(accepted) if job is not None]
        assert {job.status for job in jobs} == {JobStatus.COMPLETED}
        assert any(job.rescues for job in jobs), "no kill met a running job: it proved nothing"
        await check_history(queue)
    check_integrity(path)


async def _until_one_runs(url: str) -> None:
    async with open_queue(url) as queue:
        while not (await queue.find(JobFilter(statuses=(JobStatus.RUNNING,)), limit=1)).total:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def rest_of(submitter: subprocess.Popen[str]) -> list[str]:
    """The ids that a killed submitter still said, but for a line that it couldn't end."""
    assert submitter.stdout is not None
    said = submitter.stdout.read()
    return said[: said.rfind("\n") + 1].split()


async def test_a_maker_that_is_killed_at_any_moment_leaves_a_file_for_others_to_use(
    tmp_path: Path, others: Others
) -> None:
    moments = random.Random(SEED)
    for number in range(5):
        folder = tmp_path / str(number)
        folder.mkdir()
        with (folder / "gate-0").open("w") as gate:
            fcntl.flock(gate, fcntl.LOCK_EX)
            maker = others.start("create", str(folder), "1")
            assert await asyncio.to_thread(line_of, maker) == "at gate 0"
            fcntl.flock(gate, fcntl.LOCK_UN)
            await asyncio.sleep(moments.uniform(0, 0.01))
            maker.kill()
            maker.wait()
        async with open_queue(f"sqlite:///{folder}/queue-0.db") as queue:
            await submit(queue)
            assert await total(queue) in (1, 2)
            await check_history(queue)


async def _until_quiet(queue: Queue) -> None:
    """Until every job is finished. Sweeps on its own: the killed sweeper's lock lasts a while."""
    unfinished = JobFilter(statuses=tuple(status for status in JobStatus if not status.finished))
    while (await queue.find(unfinished, limit=1)).total:
        await queue.sweep(Retention())
        await asyncio.sleep(0.05)
