"""Schedules that a worker keeps."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncGenerator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from conduit.core.crons import Tick, TickOutcome
from conduit.core.errors import QueueUnavailableError
from conduit.core.model import FINISHED, Job, JobStatus
from conduit.core.schedule import Catchup, Overlap, parse_schedule
from conduit.engine import ticker
from conduit.engine.attempts.function import Cron
from conduit.engine.context import current_job
from conduit.engine.ticker import tick_forever
from conduit.queue import Queue
from conduit.queue.base import JobFilter, Registration
from conduit.queue.sqlite import SqliteQueue
from tests.conformance.backends import Backend, ManualClock, server_for
from tests.conformance.builders import DAY, HOUR, MINUTE, SECOND, a_worker
from tests.engine.bench import PATIENCE, Bench, task

UNFINISHED = tuple(status for status in JobStatus if status not in FINISHED)


def often(**options: Any) -> Cron:
    fields: dict[str, Any] = {
        "name": "report",
        "function": "report",
        "queue": "default",
        "timezone": "UTC",
        "schedule": parse_schedule(timedelta(milliseconds=100), "UTC"),
    }
    return Cron(**fields | options)


async def register(queue: Queue, cron: Cron) -> None:
    """A worker that has this schedule starts."""
    await queue.register(Registration(worker=a_worker(), crons=(cron.info("orders"),)))


async def ticked(queue: Queue, times: int = 1) -> list[Job]:
    """The jobs that came of ticks, once there are so many."""
    while True:
        page = await queue.find(JobFilter(functions=("report",)))
        if page.total >= times:
            return page.items
        await queue.wait_for_jobs(["default"], 1)


async def test_a_tick_has_the_priority_and_deliveries_that_its_task_declares(bench: Bench) -> None:
    ran = asyncio.Event()

    async def report() -> None:
        ran.set()

    cron = often(priority=50, max_deliveries=1)
    await bench.start(task(report, priority=50, max_deliveries=1), crons=[cron])
    await ran.wait()
    (job, *_) = await ticked(bench.queue)
    assert (job.priority, job.max_deliveries) == (50, 1)
    (info,) = await bench.queue.crons()
    assert (info.priority, info.max_deliveries) == (50, 1)


async def test_a_worker_that_is_stopping_makes_no_jobs_of_ticks(bench: Bench) -> None:
    began, go = asyncio.Event(), asyncio.Event()

    async def report() -> None: ...

    async def hold() -> None:
        began.set()
        await go.wait()

    crons = [often(overlap=Overlap.ALLOW)]
    worker = await bench.start(task(report), task(hold), crons=crons, shutdown_timeout=60)
    await bench.submit("hold")
    await began.wait()
    await ticked(bench.queue)
    stopping = asyncio.create_task(worker.stop())
    await asyncio.sleep(0.2)  # a tick that was under way
    before = (await bench.queue.find(JobFilter(functions=("report",)))).total
    await asyncio.sleep(0.5)  # five ticks
    assert (await bench.queue.find(JobFilter(functions=("report",)))).total == before
    go.set()
    await stopping


class Flickering(SqliteQueue):
    """A queue whose clock is out of reach for a moment, between one tick and the next."""

    looks = 0

    async def now(self) -> int:
        self.looks += 1
        if self.looks == 2:
            raise QueueUnavailableError("connection reset")
        return await super().now()


async def test_a_store_that_is_away_between_two_ticks_does_not_end_the_schedule(
    tmp_path: Path,
) -> None:
    cron = often(overlap=Overlap.ALLOW)
    async with Flickering(tmp_path / "queue.db") as queue:
        await register(queue, cron)
        ticking = asyncio.create_task(tick_forever(queue, [cron]))
        waiting = asyncio.create_task(ticked(queue, times=2))
        done, _ = await asyncio.wait({ticking, waiting}, return_when=asyncio.FIRST_COMPLETED)
        ticking.cancel()
        assert done == {waiting}
    assert queue.looks > 2


# --- ticks that were missed ----------------------------------------------------------------------


@contextlib.asynccontextmanager
async def ticking(queue: Queue, cron: Cron) -> AsyncGenerator[None]:
    """While a ticker is at work."""
    task = asyncio.create_task(tick_forever(queue, [cron]))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


async def reported(queue: Queue, kind: str) -> dict[str, Any]:
    """What the first report of this kind says, once there is one."""
    while True:
        for stored in await queue.read_events("test", "test", timeout=PATIENCE):
            for each in stored.entry.reports:
                if each.kind == kind:
                    return json.loads(bytes(each.data))


def at_of(job: Job) -> int:
    """The time of the tick that a job was made of."""
    return int(job.id.rpartition(":")[2])


@pytest.mark.parametrize(
    ("catchup", "minutes"), [(Catchup.ONE, [5]), (Catchup.ALL, [1, 2, 3, 4, 5])]
)
async def test_ticks_that_nobody_was_there_for_run_when_somebody_can(
    tmp_path: Path, catchup: Catchup, minutes: list[int]
) -> None:
    clock = ManualClock()
    cron = often(schedule=parse_schedule("@every 1m"), catchup=catchup, overlap=Overlap.ALLOW)
    async with SqliteQueue(tmp_path / "queue.db", clock=clock) as queue:
        await register(queue, cron)
        began = clock.now
        clock.advance(5 * MINUTE + 59 * SECOND)
        async with ticking(queue, cron):
            jobs = await ticked(queue, times=len(minutes))
        assert sorted(at_of(job) - began for job in jobs) == [n * MINUTE for n in minutes]


async def test_ticks_that_are_left_out_are_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = ManualClock()
    cron = often(schedule=parse_schedule("@every 1m"))
    async with SqliteQueue(tmp_path / "queue.db", clock=clock) as queue:
        await register(queue, cron)
        clock.advance(5 * MINUTE)
        async with ticking(queue, cron):
            said = await reported(queue, "cron.skipped")
        assert said == {"tick": clock.now, "ticks": 4}
    assert "4 ticks of schedule 'report' were missed and are skipped" in caplog.text


async def test_missed_ticks_that_are_to_be_skipped_are_said_and_settled(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = ManualClock()
    cron = often(schedule=parse_schedule("0 * * * *"), catchup=Catchup.SKIP)
    async with SqliteQueue(tmp_path / "queue.db", clock=clock) as queue:
        await register(queue, cron)
        clock.advance(3 * HOUR + 30 * MINUTE)
        async with ticking(queue, cron):
            said = await reported(queue, "cron.skipped")
        assert said["ticks"] == 3
        (info,) = await queue.crons()
        assert info.last_tick == said["tick"]
        assert (await queue.find(JobFilter())).total == 0
    assert "3 ticks of schedule 'report' were missed and are skipped" in caplog.text


@pytest.fixture(params=["sqlite", "redis"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[Backend]:
    """An empty store whose clock the test moves."""
    store = Backend(request.param, tmp_path, server_for(request.param, request))
    await store.open()
    yield store
    await store.close()


async def test_ticks_that_others_saw_to_while_the_loop_was_blocked_were_not_missed(
    store: Backend, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ticker, "MAX_SLEEP_S", 0.01)
    cron = often(schedule=parse_schedule("@every 1m"), overlap=Overlap.ALLOW)
    await register(store.queue, cron)
    began = store.clock.now
    async with ticking(store.queue, cron):
        store.clock.advance(MINUTE)
        await ticked(store.queue)
        other = [began + n * MINUTE for n in (2, 3, 4)]
        ticks = [Tick(cron.name, cron.fingerprint, at, cron.job(at)) for at in other]
        answers = await store.queue.tick(ticks)
        assert {each.outcome for each in answers} == {TickOutcome.SUBMITTED}
        store.clock.advance(4 * MINUTE)
        jobs = await ticked(store.queue, times=5)
    assert sorted(at_of(job) - began for job in jobs) == [n * MINUTE for n in (1, 2, 3, 4, 5)]
    assert "missed" not in caplog.text


# --- jobs that take long -------------------------------------------------------------------------


@pytest.mark.parametrize("overlap", [Overlap.SKIP, Overlap.QUEUE])
async def test_a_slow_schedules_jobs_run_one_at_a_time(bench: Bench, overlap: Overlap) -> None:
    running = most = 0
    third = asyncio.Event()
    ran: list[str] = []

    async def report() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        ran.append(current_job().job_id)
        began = await bench.queue.now()
        while await bench.queue.now() < began + 350:  # three ticks pass meanwhile
            assert (await bench.queue.queues())[0].queued <= 1
        running -= 1
        if len(ran) == 3:
            third.set()

    await bench.start(task(report), crons=[often(overlap=overlap)])
    await third.wait()
    assert most == 1
    assert (await bench.queue.find(JobFilter(functions=("report",)))).total <= len(ran) + 1


async def test_a_slow_schedule_says_once_that_ticks_are_skipped_and_when_it_goes_on(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "conduit.engine")
    again = asyncio.Event()
    ran = 0

    async def report() -> None:
        nonlocal ran
        ran += 1
        if ran == 2:
            again.set()
        while ran == 1 and (await bench.queue.crons())[0].skipped < 3:
            pass

    await bench.start(task(report), crons=[often()])
    await again.wait()
    said = [r.getMessage() for r in caplog.records if "schedule 'report'" in r.getMessage()]
    assert "the tick of schedule 'report' is skipped" in said[0]
    assert "schedule 'report' ticks again" in said[1]


# --- who lives -----------------------------------------------------------------------------------


async def test_an_older_versions_schedule_goes_on_when_the_newer_one_has_stopped(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ticker, "MAX_SLEEP_S", 0.1)

    async def report() -> None: ...

    await bench.start(task(report), crons=[often()])
    await ticked(bench.queue)
    hourly = often(schedule=parse_schedule("@every 1h"))
    canary = await bench.start(task(report), crons=[hourly])
    (info,) = await bench.queue.crons()
    assert info.schedule == "@every 1h"
    while (await bench.queue.find(JobFilter(statuses=UNFINISHED))).total:
        await bench.queue.wait_for_jobs(["default"], 0.1)
    before = (await bench.queue.find(JobFilter())).total
    await canary.stop()
    await ticked(bench.queue, times=before + 2)
    (info,) = await bench.queue.crons()
    assert info.schedule == "@every 100ms"


async def test_a_schedule_that_had_ticked_ahead_of_the_clock_goes_on_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ticker, "CERTAIN_S", 0.0)
    clock, cron = ManualClock(), often()
    async with SqliteQueue(tmp_path / "queue.db", clock=clock) as queue:
        clock.advance(365 * DAY)
        await register(queue, cron)
        clock.advance(-365 * DAY)
        async with ticking(queue, cron):
            await reported(queue, "cron.rewound")
            clock.advance(SECOND)
            (job,) = await ticked(queue)
        assert at_of(job) == clock.now
    assert "schedule 'report' had ticked up to 2028" in caplog.text


class Watched(SqliteQueue):
    """A queue that tells when its clock was looked at."""

    looks = 0
    looked = asyncio.Event()

    async def now(self) -> int:
        self.looks += 1
        if self.looks == 6:
            self.looked.set()
        return await super().now()


async def test_a_clock_that_is_behind_for_a_moment_sets_no_mark_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ticker, "MAX_SLEEP_S", 0.01)
    clock, cron = ManualClock(), often()
    async with Watched(tmp_path / "queue.db", clock=clock) as queue:
        await register(queue, cron)
        began = clock.now
        clock.advance(-DAY)
        async with ticking(queue, cron):
            await queue.looked.wait()
            (info,) = await queue.crons()
            assert info.last_tick == began
            clock.advance(DAY + SECOND)
            await ticked(queue)
