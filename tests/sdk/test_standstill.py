"""Workers whose slots are all held by jobs that wait for jobs that find no slot."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import conduit
from conduit import JobStatus, Worker
from conduit.core.standstill import deadlocks
from conduit.queue import Queue
from conduit.queue.base import JobFilter
from tests.engine.heard import Heard
from tests.sdk import waiting_jobs

WORDS = "and nothing moves"


@pytest.fixture(autouse=True, params=["sqlite", "redis"])
def queue_url(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    namespace: str,
    monkeypatch: pytest.MonkeyPatch,
) -> str:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'queue.db'}"
    else:
        url = f"{request.getfixturevalue('redis_url')}?namespace={namespace}"
    monkeypatch.setenv("CONDUIT_QUEUE_URL", url)
    return url


@pytest.fixture
async def heard() -> AsyncIterator[Heard]:
    heard = Heard(WORDS)
    with heard.on("conduit.engine"):
        yield heard


async def child(number: int) -> int:
    return 2 * number


async def stuck(queue: Queue) -> list[str]:
    """The workers that `conduit doctor` tells of."""
    found = deadlocks(await queue.workers(), await queue.functions())
    return sorted(worker.name for worker, _ in found)


@asynccontextmanager
async def until_all_wait(queue: Queue, *children: str) -> AsyncIterator[None]:
    """Let no child start before each of two parents has submitted its own and waits for it."""
    for each in children:
        await queue.pause_function(each)
    yield
    wanted = JobFilter(statuses=(JobStatus.QUEUED,), functions=children)
    while (await queue.find(wanted)).total < 2:  # noqa: ASYNC110 - a count can only be asked
        await asyncio.sleep(0.05)
    for each in children:
        await queue.resume_function(each)


async def test_parents_that_hold_all_slots_for_their_children_are_told_of(
    queue: Queue, heard: Heard
) -> None:
    worker = Worker("orders", concurrency=2, shutdown_timeout=1)
    double = worker.task(child)

    @worker.task
    async def parent(number: int) -> int:
        return await (await double.submit(number)).value()

    @worker.task
    def patient_parent(number: int) -> int:
        first = double.submit_sync(number)
        return double.options(after=first).submit_sync(number).value_sync()

    async with worker:
        async with until_all_wait(queue, "child"):
            first, second = await parent.submit(1), await patient_parent.submit(2)
        (line,) = await heard.lines(1)
        assert line.startswith("all 2 slots of worker orders-")
        assert "(parent waits for child, patient_parent waits for child)" in line
        assert await stuck(queue) == ["orders"]
        await first.cancel()  # which frees a slot
        assert await second.value() == 4
    assert await stuck(queue) == []


async def test_workers_that_are_full_of_jobs_that_wait_for_the_other_are_told_of(
    queue: Queue, heard: Heard
) -> None:
    left = Worker("left", concurrency=1, shutdown_timeout=1)
    right = Worker("right", concurrency=1, shutdown_timeout=1)
    left_child, right_child = left.task(name="left")(child), right.task(name="right")(child)

    @left.task
    async def wait_for_right() -> int:
        return await (await right_child.submit(1)).value()

    @right.task
    async def wait_for_left() -> int:
        return await (await left_child.submit(1)).value()

    async with left, right:
        async with until_all_wait(queue, "left", "right"):
            await wait_for_right.submit()
            await wait_for_left.submit()
        lines = await heard.lines(2)
        assert await stuck(queue) == ["left", "right"]
    assert any("wait_for_right waits for right" in line for line in lines)


async def test_processes_that_are_full_of_parents_are_told_of(queue: Queue, heard: Heard) -> None:
    async with waiting_jobs.worker:
        async with until_all_wait(queue, "double"):
            await waiting_jobs.parent_of_double.submit(1)
            await waiting_jobs.parent_of_double.submit(2)
        (line,) = await heard.lines(1)
        assert await stuck(queue) == ["heavy"]
    assert line.startswith("all 2 slots of worker heavy-")
    assert "(wait_for_double waits for double)" in line


async def test_a_child_that_is_paused_or_can_run_elsewhere_makes_no_standstill(
    queue: Queue, heard: Heard
) -> None:
    paused = Worker("paused", concurrency=1, shutdown_timeout=1)
    helped = Worker("helped", concurrency=1, shutdown_timeout=1)
    helper = Worker("helper", concurrency=2, shutdown_timeout=1)
    alone = Worker("alone", concurrency=1, shutdown_timeout=1)

    @helper.task
    async def long() -> None:
        await conduit.current_job().sleep(3600)

    paused_child, own_child = paused.task(name="paused")(child), alone.task(name="own")(child)

    @paused.task
    async def wait_for_paused() -> int:
        return await (await paused_child.submit(1)).value()

    @helped.task
    async def wait_for_long() -> None:
        await (await long.submit()).value()

    @alone.task
    async def wait_for_own() -> int:
        return await (await own_child.submit(1)).value()

    await queue.pause_function("paused")
    async with paused, helped, helper:
        await wait_for_paused.submit()
        await wait_for_long.submit()
        async with alone:  # when its standstill is told of, the others have waited for longer
            await wait_for_own.submit()
            (line,) = await heard.lines(1)
            assert await stuck(queue) == ["alone"]
    assert "wait_for_own waits for own" in line
