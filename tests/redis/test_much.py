"""Many jobs, large jobs, many lanes: work is done in bounded pieces, and none of it is missed."""

from __future__ import annotations

import asyncio

from conduit.core.model import NewJob
from conduit.queue.base import Claim, Retention
from conduit.queue.redis import RedisQueue
from tests.conformance.backends import ManualClock
from tests.conformance.builders import DAY, PATIENCE, a_job, cancel, claim, complete, running
from tests.redis.conftest import Connect

MIB = 1024 * 1024


def large(**over: object) -> NewJob:
    return a_job(args=b'"%s"' % (b"x" * (MIB - 2)), **over)


async def test_large_jobs_are_claimed_in_parts_without_waiting_in_between(
    queue: RedisQueue,
) -> None:
    jobs = [large() for _ in range(20)]
    for job in jobs:
        await queue.submit([job])
    claimed: list[str] = []
    while len(claimed) < len(jobs):
        part = await claim(queue)
        assert 0 < len(part) <= 5
        claimed += [job.id for job in part]
        if len(claimed) < len(jobs):  # what is left is said to be there at once
            await asyncio.wait_for(queue.wait_for_jobs(["default"], 10 * PATIENCE), PATIENCE)
    assert claimed == [job.id for job in jobs]


async def test_urgent_jobs_of_one_function_go_before_all_others(queue: RedisQueue) -> None:
    functions = tuple(f"f{number}" for number in range(40))
    for function in functions:
        await queue.submit([a_job(function=function) for _ in range(5)])
    urgent = [a_job(function="f39", priority=5) for _ in range(150)]
    await queue.submit(urgent)
    taken = await queue.claim(
        Claim(worker_id="w1", queues=("default",), functions=functions, limit=160)
    )
    assert {job.id for job in taken[:150]} == {job.id for job in urgent}
    assert len(taken) == 160


async def test_jobs_within_their_window_do_not_hold_up_what_is_to_be_forgotten(
    connect: Connect, url: str
) -> None:
    clock = ManualClock()
    queue = await connect(url, clock=clock)
    for number in range(30):
        await complete(queue, await running(queue, key=f"k{number}", unique_ms=7 * DAY))
    plain = await running(queue)
    await complete(queue, plain)
    clock.advance(2 * DAY)
    assert (await queue.sweep(Retention(), limit=10)).more
    for _ in range(4):
        await queue.sweep(Retention(), limit=10)
    assert await queue.get([plain.id]) == [None]
    clock.advance(6 * DAY)
    purged = [(await queue.sweep(Retention(), limit=10)).purged for _ in range(4)]
    assert sum(purged) == 30


async def test_lanes_that_stay_empty_are_forgotten(queue: RedisQueue) -> None:
    names = [f"tenant-{number}" for number in range(50)]
    jobs = [a_job(queue=name) for name in names]
    await queue.submit(jobs)
    for job in jobs:
        await cancel(queue, job.id)
    await claim(queue, queues=tuple(names))
    for _ in range(40):
        await queue.sweep(Retention())
    key = queue._server.keys.name("lanes")
    assert await queue._server.command("SCARD", key) < 10
