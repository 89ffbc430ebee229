"""Jobs that wait for others, as Redis keeps them: what lies there, what is left, what it costs."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest

from conduit.core.errors import DependencyNotFoundError, QueueCorruptError
from conduit.core.events import EventKind
from conduit.core.model import JobStatus
from conduit.core.transitions import OutcomeKind
from conduit.queue.base import Acted, Finished, Outcome, Submitted
from conduit.queue.redis import RedisQueue
from conduit.queue.redis.keys import Keys
from conduit.queue.redis.packing import short
from tests.conformance.backends import ManualClock
from tests.conformance.builders import (
    DAY,
    HOUR,
    SWEEP_STEP,
    a_job,
    cancel,
    claim,
    claim_one,
    complete,
    delete,
    fail,
    get,
    lease,
    retry,
    running,
    submit,
    sweep,
)
from tests.conformance.history import check_history, events_of
from tests.redis.conftest import Connect
from tests.redis.support import commands_run
from tests.servers.redis import RedisServer


@pytest.fixture
async def queue(
    server: RedisServer, connect: Connect, namespace: str, clock: ManualClock
) -> RedisQueue:
    return await connect(f"{server.url}?namespace={namespace}", clock=clock)


async def status(queue: RedisQueue, job_id: str) -> JobStatus:
    return (await get(queue, job_id)).status


def sets_of_dependants(server: RedisServer, keys: Keys) -> list[str]:
    pattern = keys.name("dependants").replace("{", "\\{")
    return [str(key) for key in server.execute("KEYS", f"{pattern}*")]


async def forget_all(queue: RedisQueue, clock: ManualClock) -> None:
    clock.advance(2 * DAY)
    while (await sweep(queue)).more:
        pass


# What is left


async def test_nothing_is_left_once_all_have_completed(
    queue: RedisQueue, server: RedisServer, keys: Keys
) -> None:
    first, second = await submit(queue), await submit(queue, priority=1)
    one = await submit(queue, after=(first.id, second.id))
    other = await submit(queue, after=(first.id,))
    last = await submit(queue, after=(one.id, other.id), delay_ms=HOUR)
    assert len(sets_of_dependants(server, keys)) == 4
    for expected in (2, 2):
        jobs = await claim(queue)
        assert len(jobs) == expected
        for job in jobs:
            assert await complete(queue, job) is Finished.OK
    assert await status(queue, last.id) is JobStatus.SCHEDULED
    assert sets_of_dependants(server, keys) == []
    await check_history(queue)


@pytest.mark.parametrize("dependants_first", [True, False])
async def test_nothing_is_left_of_those_that_failed_and_were_forgotten(
    queue: RedisQueue,
    server: RedisServer,
    keys: Keys,
    clock: ManualClock,
    dependants_first: bool,
) -> None:
    failing, fine = await running(queue), await running(queue)
    child = await submit(queue, after=(failing.id, fine.id), key="k")
    grandchild = await submit(queue, after=(child.id, fine.id), expires_ms=HOUR)
    await fail(queue, failing)
    late = await submit(queue, after=(fine.id, failing.id))
    assert await status(queue, late.id) is JobStatus.CANCELLED
    forgotten = [failing.id, child.id, grandchild.id, late.id]
    for job_id in reversed(forgotten) if dependants_first else forgotten:
        assert (await delete(queue, job_id)).acted is Acted.DONE
    assert sets_of_dependants(server, keys) == []
    assert await complete(queue, fine) is Finished.OK
    await forget_all(queue, clock)
    for name in ("jobs", "states", "expiring", "finished", "counts", "keys"):
        assert not server.execute("EXISTS", keys.name(name)), name


async def test_nothing_is_left_of_jobs_cancelled_while_they_waited(
    queue: RedisQueue, server: RedisServer, keys: Keys, clock: ManualClock
) -> None:
    awaited = await running(queue)
    waiting = [await submit(queue, after=(awaited.id,), key=f"k{n}") for n in range(5)]
    last = await submit(queue, after=tuple(job.id for job in waiting))
    for job in waiting:
        assert (await cancel(queue, job.id)).acted is Acted.DONE
    assert await status(queue, last.id) is JobStatus.CANCELLED
    await forget_all(queue, clock)
    assert await queue.get([job.id for job in (*waiting, last)]) == [None] * 6
    assert sets_of_dependants(server, keys) == []
    assert await complete(queue, awaited) is Finished.OK


# What it costs the others


async def test_a_job_that_nobody_waits_for_costs_what_it_did(
    queue: RedisQueue, server: RedisServer
) -> None:
    async def cost() -> list[int]:
        """Commands that a plain job and one with a key take: to submit, claim and finish them."""
        assert await claim(queue) == []  # from now on a worker is known to wait
        counts = [commands_run(server)]
        await queue.submit([a_job()])
        counts.append(commands_run(server))
        await queue.submit([a_job(key="k", priority=2)])
        counts.append(commands_run(server))
        jobs = await claim(queue)
        counts.append(commands_run(server))
        outcomes = [Outcome(lease=lease(job), kind=OutcomeKind.COMPLETE) for job in jobs]
        await queue.finish(outcomes)
        counts.append(commands_run(server))
        return [after - before for before, after in pairwise(counts)]

    async def least() -> list[int]:
        """Without what the queue's connection does beside them, now and then."""
        return list(map(min, zip(*[await cost() for _ in range(3)], strict=True)))

    await cost()
    alone = await least()
    awaited = await submit(queue, queue="other")
    for _ in range(50):
        await submit(queue, queue="other", after=(awaited.id,))
    assert await least() == alone


async def test_a_thousand_that_wait_for_one_are_let_go_in_one_step(queue: RedisQueue) -> None:
    awaited = await running(queue)
    jobs = [a_job(after=(awaited.id,), args=b'"%s"' % (b"x" * 20_000)) for _ in range(1000)]
    await queue.submit(jobs)
    assert await complete(queue, awaited) is Finished.OK
    (info,) = await queue.queues()
    assert (info.blocked, info.queued) == (0, 1000)
    claimed = [job.id for _ in range(100) for job in await claim(queue, limit=10)]
    assert claimed == [job.id for job in jobs]  # in the order of their submission


# Ids and their reuse


ODD_IDS = ("a,b", "{x}:y", 'say "no"', "ü😀", "\\u0041", "CONFLICT", "x" * 1000)


@pytest.mark.parametrize("odd", ODD_IDS)
async def test_whatever_its_id_a_job_can_be_waited_for(queue: RedisQueue, odd: str) -> None:
    awaited = await running(queue, id=odd)
    new = await submit(queue, id=f"after {odd[:900]}", after=(odd,))
    assert (await get(queue, new.id)).after == (odd,)
    assert await queue.submit([new]) == [Submitted(new.id)]
    await fail(queue, awaited)
    ended = await get(queue, new.id)
    assert ended.reason == f"job {odd} that it waits for has failed"
    with pytest.raises(DependencyNotFoundError) as caught:
        await submit(queue, after=(f"no {odd[:900]}",))
    assert caught.value.awaited == f"no {odd[:900]}"
    told = [event for event in await events_of(queue) if event.job_id == new.id]
    assert [event.kind for event in told] == [EventKind.SUBMITTED, EventKind.CANCELLED]
    assert told[0].submission is not None
    assert (told[0].submission.after, told[1].reason) == ((odd,), ended.reason)


@pytest.mark.parametrize("completes_first", [True, False])
async def test_an_id_that_is_used_anew_is_waited_for_anew(
    queue: RedisQueue, server: RedisServer, keys: Keys, completes_first: bool
) -> None:
    await fail(queue, await running(queue, id="again"))
    waiting = await submit(queue, after=("again",))
    await delete(queue, "again")
    assert (await retry(queue, waiting.id)).acted is Acted.DEPENDENCY
    second = await running(queue, id="again")
    if completes_first:
        await complete(queue, second)
        assert (await retry(queue, waiting.id)).status is JobStatus.QUEUED
    else:
        assert (await retry(queue, waiting.id)).status is JobStatus.BLOCKED
        await complete(queue, second)
    await complete(queue, await claim_one(queue))
    assert await status(queue, waiting.id) is JobStatus.COMPLETED
    assert sets_of_dependants(server, keys) == []


# What lies there already, and what is missing


async def test_a_submit_that_meets_a_foreign_key_keeps_nothing(
    queue: RedisQueue, server: RedisServer, keys: Keys
) -> None:
    awaited = await submit(queue)
    foreign = keys.name("dependants", short(awaited.id))
    server.execute("SET", foreign, "mine")
    before = await queue.queues()
    neighbour, job = a_job(), a_job(after=(awaited.id,))
    with pytest.raises(QueueCorruptError, match="isn't Conduit's under"):
        await queue.submit([neighbour, job])
    assert await queue.get([neighbour.id, job.id]) == [None, None]
    assert await queue.queues() == before

    server.execute("DEL", foreign)
    assert await queue.submit([neighbour, job]) == [Submitted(neighbour.id), Submitted(job.id)]


@pytest.mark.parametrize("kind", [OutcomeKind.COMPLETE, OutcomeKind.FAIL])
async def test_an_end_that_meets_a_foreign_key_changes_nothing(
    queue: RedisQueue, server: RedisServer, keys: Keys, kind: OutcomeKind
) -> None:
    awaited, neighbour = await running(queue), await running(queue)
    job = await submit(queue, after=(awaited.id,))
    foreign = keys.name("dependants", short(awaited.id))
    server.execute("RENAME", foreign, f"{foreign}.away")
    server.execute("SET", foreign, "mine")
    outcomes: list[Any] = [Outcome(lease=lease(each), kind=kind) for each in (neighbour, awaited)]
    with pytest.raises(QueueCorruptError, match="isn't Conduit's under"):
        await queue.finish(outcomes)
    assert await get(queue, neighbour.id) == neighbour
    assert await status(queue, awaited.id) is JobStatus.RUNNING
    assert await status(queue, job.id) is JobStatus.BLOCKED

    server.execute("RENAME", f"{foreign}.away", foreign)
    assert await queue.finish(outcomes) == [Finished.OK, Finished.OK]
    ended = JobStatus.QUEUED if kind is OutcomeKind.COMPLETE else JobStatus.CANCELLED
    assert await status(queue, job.id) is ended
    await check_history(queue)


async def test_what_was_evicted_stops_no_one(
    queue: RedisQueue, server: RedisServer, keys: Keys, clock: ManualClock
) -> None:
    awaited, other = await running(queue), await running(queue)
    await submit(queue, after=(awaited.id, other.id), expires_ms=HOUR)
    await submit(queue, after=(other.id,))
    server.execute("DEL", keys.name("jobs"))
    assert await complete(queue, awaited) is Finished.OK
    assert await complete(queue, other) is Finished.OK
    for _ in range(3):
        clock.advance(SWEEP_STEP)
        await sweep(queue)
    await forget_all(queue, clock)
    new = await submit(queue)
    assert (await claim_one(queue)).id == new.id


# Who sleeps


async def test_a_worker_that_waits_is_told_of_a_job_that_may_start(
    url: str, connect: Connect
) -> None:
    here, there = await connect(url), await connect(url)
    awaited = await running(here)
    new = await submit(here, after=(awaited.id,))
    assert await claim(there) == []
    assert await there.wait_for_jobs(["default"], 0) is None
    waiting = asyncio.create_task(there.wait_for_jobs(["default"], 3600))
    assert await here.wait_finished([new.id], 0) == []
    await complete(here, awaited)
    await asyncio.wait_for(waiting, 30)
    assert (await claim_one(there)).id == new.id


async def test_who_waits_for_the_end_of_one_is_told_when_another_fails(
    url: str, connect: Connect
) -> None:
    here, there = await connect(url), await connect(url)
    awaited = await running(here)
    middle = await submit(here, after=(awaited.id,))
    new = await submit(here, after=(middle.id,))
    waiting = asyncio.create_task(there.wait_finished([new.id], 3600))
    assert await there.wait_finished([new.id], 0) == []
    await fail(here, awaited)
    (ended,) = await asyncio.wait_for(waiting, 30)
    assert (ended.id, ended.status) == (new.id, JobStatus.CANCELLED)
    assert ended.reason == f"job {middle.id} that it waits for was cancelled"


async def test_a_cancelled_job_of_which_half_was_lost_is_forgotten(
    queue: RedisQueue, server: RedisServer, namespace: str, clock: ManualClock
) -> None:
    first = await running(queue)
    last = await submit(queue, after=(first.id,))
    await fail(queue, first)
    with server.client() as client:
        client.hdel(Keys(namespace).name("jobs"), short(last.id))
    clock.advance(2 * DAY)
    assert (await sweep(queue)).purged == 2
