"""What a worker claims, in which order, and how much at once."""

from __future__ import annotations

import asyncio
from collections import Counter

from conduit.core.events import EventKind
from conduit.core.model import JobStatus
from conduit.engine.claims.prefetch import MAX_PREFETCH, Pace
from conduit.engine.context import Retry
from tests.engine.bench import Bench, task


class Gauge:
    """Counts how many jobs run at once."""

    def __init__(self) -> None:
        self.now = 0
        self.most = 0

    async def job(self) -> None:
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0)
        self.now -= 1


async def test_no_more_jobs_run_at_once_than_concurrency_allows(bench: Bench) -> None:
    gauge = Gauge()
    jobs = [await bench.submit("job") for _ in range(60)]
    await bench.start(task(gauge.job), concurrency=3)
    for job in jobs:
        await bench.completed(job)
    assert gauge.most == 3


async def test_jobs_fetched_ahead_wait_until_there_is_room(bench: Bench) -> None:
    gauge = Gauge()
    jobs = [await bench.submit("job") for _ in range(60)]
    await bench.start(task(gauge.job), concurrency=2, prefetch=40)
    for job in jobs:
        await bench.completed(job)
    assert gauge.most == 2


async def test_without_prefetch_other_workers_get_what_this_one_cannot_run(bench: Bench) -> None:
    begun, go = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        begun.set()
        await go.wait()

    first = await bench.submit("hold")
    await bench.start(task(hold), concurrency=1, prefetch=0)
    await begun.wait()
    begun.clear()
    second = await bench.submit("hold")
    await bench.start(task(hold), concurrency=1, prefetch=0)
    await begun.wait()
    assert (await bench.job(first)).worker_id != (await bench.job(second)).worker_id
    go.set()
    await bench.completed(first)
    await bench.completed(second)


async def test_a_worker_leaves_functions_that_it_does_not_have(bench: Bench) -> None:
    async def known() -> None: ...

    foreign = await bench.submit("foreign")
    await bench.start(task(known))
    assert (await bench.run("known")).status is JobStatus.COMPLETED
    assert (await bench.job(foreign)).status is JobStatus.QUEUED


async def test_a_worker_leaves_queues_that_it_does_not_serve(bench: Bench) -> None:
    async def job() -> None: ...

    elsewhere = await bench.submit("job", queue="slow")
    await bench.start(task(job), queues={"fast": 1})
    assert (await bench.run("job", queue="fast")).status is JobStatus.COMPLETED
    assert (await bench.job(elsewhere)).status is JobStatus.QUEUED


async def test_higher_priority_runs_first(bench: Bench) -> None:
    order: list[int] = []

    async def note(number: int) -> None:
        order.append(number)

    jobs = [
        await bench.submit("note", args=b'{"number":%d}' % number, priority=number)
        for number in (1, 3, 2)
    ]
    await bench.start(task(note), concurrency=1, prefetch=0)
    for job in jobs:
        await bench.completed(job)
    assert order == [3, 2, 1]


async def test_a_queue_of_weight_three_goes_first_three_times_as_often(bench: Bench) -> None:
    order: list[str] = []

    async def note(name: str) -> None:
        order.append(name)

    jobs = [
        await bench.submit("note", queue=queue, args=b'{"name":"%s"}' % queue.encode())
        for queue in ("busy", "calm")
        for _ in range(30)
    ]
    await bench.start(task(note), queues={"busy": 3, "calm": 1}, concurrency=1, prefetch=0)
    for job in jobs:
        await bench.completed(job)
    assert Counter(order[:20]) == {"busy": 15, "calm": 5}


async def test_a_job_submitted_to_an_idle_worker_starts(bench: Bench) -> None:
    async def job() -> None: ...

    await bench.start(task(job))
    for _ in range(3):
        assert (await bench.run("job")).status is JobStatus.COMPLETED


async def test_an_idle_worker_runs_the_jobs_of_a_function_once_it_is_resumed(bench: Bench) -> None:
    async def held() -> None: ...

    async def free() -> None: ...

    await bench.start(task(held), task(free))
    await bench.run("held")
    await bench.queue.pause_function("held")
    waiting = [await bench.submit("held", priority=9) for _ in range(3)]
    for _ in range(3):
        assert (await bench.run("free")).status is JobStatus.COMPLETED
    assert [(await bench.job(job)).status for job in waiting] == [JobStatus.QUEUED] * 3
    await bench.queue.resume_function("held")
    for job in waiting:
        await bench.completed(job)


async def test_a_retry_of_a_function_that_was_paused_meanwhile_waits(bench: Bench) -> None:
    begun, go = asyncio.Event(), asyncio.Event()

    async def held() -> None:
        if begun.is_set():
            return
        begun.set()
        await go.wait()
        raise Retry(delay=0)

    async def free() -> None: ...

    await bench.start(task(held), task(free))
    job = await bench.submit("held")
    await begun.wait()
    await bench.queue.pause_function("held")
    go.set()
    await bench.event(job, EventKind.QUEUED)
    await bench.run("free")
    assert (await bench.job(job)).status is JobStatus.QUEUED
    await bench.queue.resume_function("held")
    assert (await bench.completed(job)).attempt == 2


async def test_a_delayed_job_starts_when_it_is_due(bench: Bench) -> None:
    async def job() -> None: ...

    await bench.start(task(job))
    ended = await bench.run("job", delay_ms=300)
    assert ended.started_at is not None
    assert ended.started_at - ended.submitted_at >= 300


async def test_jobs_fetched_ahead_do_not_stay_behind_long_ones(bench: Bench) -> None:
    long_ones, go = asyncio.Semaphore(0), asyncio.Event()

    async def job(long: bool) -> None:
        if long:
            long_ones.release()
            await go.wait()

    async def submit(long: bool, times: int) -> list[str]:
        args = b'{"long":true}' if long else b'{"long":false}'
        return [await bench.submit("job", args=args) for _ in range(times)]

    warming = await submit(False, 60)
    busy = await bench.start(task(job), concurrency=2)
    for job_id in warming:
        await bench.completed(job_id)  # the worker has seen short jobs, and fetches ahead
    held = await submit(True, 2)
    short = await submit(False, 5)
    await long_ones.acquire()
    await long_ones.acquire()
    idle = await bench.start(task(job), name="idle", concurrency=2)
    for job_id in short:
        ended = await bench.completed(job_id)
        assert (ended.attempt, ended.failures, ended.worker_id) == (1, 0, idle.id)
    assert {(await bench.job(job_id)).worker_id for job_id in held} == {busy.id}
    go.set()
    for job_id in held:
        await bench.completed(job_id)


def test_a_worker_fetches_nothing_ahead_until_it_knows_its_jobs_to_be_short() -> None:
    pace = Pace(concurrency=10, prefetch=None)
    assert pace.ahead == 0
    for _ in range(50):
        pace.ran(1.0)
    assert pace.ahead == 0


def test_a_worker_fetches_about_20_ms_of_work_ahead() -> None:
    pace = Pace(concurrency=10, prefetch=None)
    for _ in range(200):
        pace.ran(0.002)
    assert 95 <= pace.ahead <= 100


def test_a_worker_fetches_no_more_than_a_batch_ahead() -> None:
    pace = Pace(concurrency=50, prefetch=None)
    for _ in range(500):
        pace.ran(0.0)
    assert pace.ahead == MAX_PREFETCH


def test_after_a_stall_jobs_must_have_been_short_for_a_while() -> None:
    pace = Pace(concurrency=10, prefetch=None)
    for _ in range(200):
        pace.ran(0.002)
    pace.stalled()
    for _ in range(10):
        pace.ran(0.002)
    assert pace.ahead == 0
    for _ in range(50):
        pace.ran(0.002)
    assert pace.ahead > 0


def test_a_prefetch_that_is_given_stays_so() -> None:
    pace = Pace(concurrency=10, prefetch=7)
    for _ in range(50):
        pace.ran(1.0)
    pace.stalled()
    assert pace.ahead == 7
