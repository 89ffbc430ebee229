"""Lessons on jobs that vanished, waited for ever, came back without end, or took others down."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta
from pathlib import Path

import pytest

from conduit import JobStatus, TaskFailedError, Worker, current_job, gather, submit_many
from conduit.core.model import Reason
from conduit.engine.sweeper import LOCK, LOCK_MS
from conduit.engine.ticker import tick_forever
from conduit.queue import Queue
from conduit.queue.base import JobFilter, Retention
from tests.cli.conftest import Cli
from tests.lessons.conftest import OpenAhead, StartBriefly, job_of, until

STARTED = "  stop "

# --- ended and killed workers ----------------------------------------------------------------


async def hold(number: int) -> int:
    raise NotImplementedError("it is run by the service, in a process of its own")


HOLDING = """
    import asyncio
    from pathlib import Path
    import conduit

    worker = conduit.Worker("test", concurrency=8, prefetch=16, shutdown_timeout=0)

    @worker.task
    async def hold(number: int) -> int:
        while not Path("go").exists():
            await asyncio.sleep(0.01)
        return number
"""


# Lesson: SIGTERM lost jobs (running and prefetched entries were dropped with the consumer).
async def test_sigterm_hands_back_running_and_prefetched_jobs_and_none_is_lost(
    worker: Worker, queue: Queue, queue_url: str, cli: Cli
) -> None:
    cli.write("service.py", HOLDING)
    futures = await submit_many(worker.task(hold), range(24))

    run = cli.start("run", "service.py", "--queue-url", queue_url)
    running = JobFilter(statuses=(JobStatus.RUNNING,))
    await until(lambda: _counts(queue, running, 24))
    assert await asyncio.to_thread(run.stop) == 0
    assert await _counts(queue, JobFilter(statuses=(JobStatus.QUEUED,)), 24)

    (cli.folder / "go").touch()
    again = cli.start("run", "service.py", "--queue-url", queue_url)
    assert await gather(*futures) == list(range(24))
    assert {(await future.result()).attempts for future in futures} == {1}
    assert await asyncio.to_thread(again.stop) == 0


async def _counts(queue: Queue, wanted: JobFilter, number: int) -> bool:
    return (await queue.find(wanted, limit=1)).total == number


async def poison() -> None:
    raise NotImplementedError("it is run by the service, in a process of its own")


POISON = """
    import os
    import conduit

    worker = conduit.Worker("test")

    @worker.task(max_deliveries=2)
    async def poison() -> None:
        with open("attempts", "a") as file:
            file.write(f"{conduit.current_job().attempt}\\n")
        os._exit(9)
"""


# Lesson: a job that kills its worker came back without end, always as attempt 1.
async def test_a_job_that_kills_its_worker_counts_its_attempts_and_fails_in_the_end(
    worker: Worker, queue: Queue, cli: Cli, start_briefly: StartBriefly
) -> None:
    cli.write("service.py", POISON)
    future = await worker.task(poison, max_deliveries=2).submit()
    for deliveries in (1, 2):
        victim = start_briefly()
        assert await asyncio.to_thread(victim.wait) == 9
        await until(lambda wanted=deliveries: _rescued(queue, future.job_id, wanted))
    with pytest.raises(TaskFailedError, match="the worker was lost 2 times") as caught:
        await future.result()
    assert caught.value.result.attempts == 2
    assert (await job_of(queue, future.job_id)).reason == Reason.MAX_DELIVERIES
    assert _lines(cli.folder / "attempts") == ["1", "2"]


async def _rescued(queue: Queue, job_id: str, times: int) -> bool:
    await queue.sweep(Retention())
    return (await job_of(queue, job_id)).rescues == times


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


# Review 7: the sweeper's lock is released only by its owner's token.
async def test_a_worker_that_ends_leaves_the_sweepers_lock_of_another_alone(
    worker: Worker, queue: Queue
) -> None:
    handle = worker.task(double)
    assert await queue.lock(LOCK, "another's token", 9_000)
    async with worker:
        await handle.wait(1)
        assert await queue.lock(LOCK, "another's token", 9_000)  # the stop may take a while, too
    assert not await queue.lock(LOCK, "a third one's token", LOCK_MS)
    assert not await queue.unlock(LOCK, "a third one's token")
    assert await queue.unlock(LOCK, "another's token")


async def double(number: int) -> int:
    return 2 * number


# --- jobs far ahead --------------------------------------------------------------------------


# Lesson: jobs delayed beyond the stored job's TTL (24 h) vanished.
async def test_a_job_that_is_delayed_by_weeks_is_kept_and_runs(
    worker: Worker, queue: Queue, open_ahead: OpenAhead
) -> None:
    handle = worker.task(double)
    future = await handle.options(delay=timedelta(days=40)).submit(21)
    for days in (1, 2, 39):
        await (await open_ahead(timedelta(days=days))).sweep(Retention(results_ms=0, events_ms=0))
        assert await future.status() is JobStatus.SCHEDULED
    await (await open_ahead(timedelta(days=40, minutes=1))).sweep(Retention())
    assert await future.status() is JobStatus.QUEUED
    async with worker:
        assert await future.value() == 42


# Lesson: weekly crons never fired.
async def test_a_weekly_cron_fires(worker: Worker, queue: Queue, open_ahead: OpenAhead) -> None:
    fired = asyncio.Event()

    @worker.cron("0 9 * * MON")
    async def weekly() -> None:
        fired.set()

    async with worker:
        schedule, now = worker.crons[0].schedule, await queue.now()
        tick = schedule.next_after(schedule.next_after(now))
        later = await open_ahead(timedelta(milliseconds=tick - now, seconds=1))
        assert timedelta(milliseconds=tick - now) > timedelta(days=7)
        await later.sweep(Retention())
        ticking = asyncio.create_task(tick_forever(later, worker.crons))
        await fired.wait()
        ticking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await ticking
    assert (await queue.find(JobFilter(functions=("weekly",)))).total == 1


# Lesson: the next cron tick was planned only after the last run ended, so that one lost run
# stopped the schedule.
async def test_a_schedule_goes_on_while_its_runs_do_not_end(worker: Worker) -> None:
    begun: set[str] = set()
    third = asyncio.Event()

    @worker.cron(timedelta(milliseconds=100), overlap="allow")
    async def endless() -> None:
        begun.add(current_job().job_id)
        if len(begun) == 3:
            third.set()
        await asyncio.Event().wait()

    await worker.start()
    await third.wait()
    await worker.stop_now()
    assert len(begun) >= 3


# --- what one job may do to others -----------------------------------------------------------


async def make_unstorable() -> object:
    return object()


def make_too_large() -> str:
    return "x" * 10_000_000


# Lesson: a result that can't be encoded wedged the worker's finisher for ever.
async def test_a_result_that_cannot_be_encoded_fails_that_one_job(
    worker: Worker, queue: Queue
) -> None:
    unstorable, large = worker.task(make_unstorable), worker.task(make_too_large)
    fine = worker.task(double)
    futures = [await handle.submit() for handle in (unstorable, large)]
    others = await submit_many(fine, range(50))
    async with worker:
        for future in futures:
            with pytest.raises(TaskFailedError, match="result"):
                await future.result()
        assert await gather(*others) == [2 * number for number in range(50)]
        assert (await fine.wait(4)).value == 8  # the worker goes on
    jobs = [await job_of(queue, future.job_id) for future in futures]
    assert {(job.reason, job.attempt) for job in jobs} == {(Reason.BAD_RESULT, 1)}


# Lesson: unfinished jobs have no time-to-live, finished ones do.
async def test_only_finished_jobs_are_forgotten(
    worker: Worker, queue: Queue, open_ahead: OpenAhead
) -> None:
    handle = worker.task(double)
    waiting = await handle.options(queue="elsewhere").submit(1)
    done = await handle.submit(2)
    async with worker:
        await done.result()
    await (await open_ahead(timedelta(days=2))).sweep(Retention())
    assert await queue.get([done.job_id]) == [None]
    assert await waiting.status() is JobStatus.QUEUED
