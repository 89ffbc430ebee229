"""What a worker claims, in which order, and how much at once."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter

from conduit.core.model import JobStatus
from conduit.engine.fairness import QueueOrder
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


async def test_a_delayed_job_starts_when_it_is_due(bench: Bench) -> None:
    async def job() -> None: ...

    await bench.start(task(job))
    ended = await bench.run("job", delay_ms=300)
    assert ended.started_at is not None
    assert ended.started_at - ended.submitted_at >= 300


def test_queues_of_equal_weight_take_turns() -> None:
    order = QueueOrder({"a": 1, "b": 1, "c": 1})
    firsts = [order.next()[0] for _ in range(9)]
    assert Counter(firsts) == {"a": 3, "b": 3, "c": 3}
    assert all(left != right for left, right in itertools.pairwise(firsts))


def test_weights_say_how_often_a_queue_goes_first() -> None:
    order = QueueOrder({"a": 5, "b": 2, "c": 1})
    assert Counter(order.next()[0] for _ in range(80)) == {"a": 50, "b": 20, "c": 10}


def test_every_turn_names_every_queue_once() -> None:
    order = QueueOrder({"a": 5, "b": 2, "c": 1})
    assert all(sorted(order.next()) == ["a", "b", "c"] for _ in range(16))


def test_a_heavy_queue_does_not_take_all_its_turns_in_a_row() -> None:
    order = QueueOrder({"a": 5, "b": 1, "c": 1})
    assert [order.next()[0] for _ in range(7)] == ["a", "a", "b", "a", "c", "a", "a"]
