"""What the server remembers for how long, and that nothing is left of what it forgets."""

from __future__ import annotations

from typing import Any

import pytest

from conduit.core.model import Artifact, Job, JobStatus, Level, LogLine
from conduit.queue.base import Finished
from conduit.queue.redis import RedisQueue
from conduit.queue.redis.keys import Keys
from tests.conformance.backends import ManualClock
from tests.conformance.builders import (
    DAY,
    HOUR,
    SECOND,
    SWEEP_STEP,
    cancel,
    claim,
    claim_one,
    complete,
    fail,
    failed,
    get,
    lease,
    note,
    retry,
    running,
    submit,
    sweep,
)
from tests.redis.conftest import Connect
from tests.redis.support import Store
from tests.servers.redis import RedisServer


@pytest.fixture
async def queue(url: str, connect: Connect, clock: ManualClock) -> RedisQueue:
    return await connect(url, clock=clock)


async def with_everything(queue: RedisQueue, **over: Any) -> Job:
    """A running job that has all that a job can have."""
    job = await running(queue, metadata=b'{"a":1}', **over)
    line = LogLine(1, Level.INFO, "app", "hello")
    assert await note(
        queue,
        job,
        progress=0.5,
        metadata=b'{"b":2}',
        checkpoint=b"3",
        steps=b'{"s":4}',
        logs=(line,),
        artifact=Artifact("report", "text/plain", 2, sha256="0"),
        data=b"ok",
    )
    return job


async def test_no_key_has_a_time_to_live(queue: RedisQueue, store: Store) -> None:
    await submit(queue, key="k", delay_ms=HOUR, expires_ms=DAY)
    await submit(queue, priority=1)
    await with_everything(queue, function="other")
    job = await with_everything(queue, function="other")
    await complete(queue, job)
    await cancel(queue, (await submit(queue)).id)
    assert store.lifetimes() == {-1}


async def test_a_job_delayed_by_a_month_is_there_in_a_month(
    queue: RedisQueue, clock: ManualClock, store: Store
) -> None:
    job = await submit(queue, delay_ms=30 * DAY, key="monthly", metadata=b'{"a":1}')
    for _ in range(30):
        assert await claim(queue) == []
        await sweep(queue)
        clock.advance(DAY)
    claimed = await claim_one(queue)
    assert (claimed.id, claimed.key, claimed.metadata) == (job.id, "monthly", b'{"a":1}')


async def test_unfinished_jobs_of_all_kinds_outlive_any_retention(
    queue: RedisQueue, clock: ManualClock
) -> None:
    held = await with_everything(queue, function="held")
    queued = await submit(queue)
    retried = await failed(queue, function="other")
    await retry(queue, retried.id)
    for _ in range(400):
        clock.advance(SWEEP_STEP)
        await queue.extend([lease(held)], 60_000)
        await sweep(queue, results_ms=0, events_ms=0)
    assert (await get(queue, queued.id)).status is JobStatus.QUEUED
    assert (await get(queue, retried.id)).status is JobStatus.QUEUED
    stored = await get(queue, held.id)
    assert (stored.status, stored.checkpoint) == (JobStatus.RUNNING, b"3")
    assert await queue.artifact(held.id, "report") == b"ok"


async def test_a_finished_job_stays_for_its_time_whatever_was_noted_before(
    queue: RedisQueue, clock: ManualClock
) -> None:
    job = await with_everything(queue)
    clock.advance(SECOND)
    assert await note(queue, job, metadata=b'{"late":true}', checkpoint=b"9")
    assert await complete(queue, job) is Finished.OK
    assert not await note(queue, job, metadata=b'{"too":"late"}')
    clock.advance(HOUR - 1)
    await sweep(queue, results_ms=HOUR)
    kept = await get(queue, job.id)
    assert (kept.metadata, kept.checkpoint) == (b'{"a":1,"b":2,"late":true}', b"9")
    assert [line.message for line in await queue.logs(job.id)] == ["hello"]
    clock.advance(1)
    assert (await sweep(queue, results_ms=HOUR)).purged == 1
    assert await queue.get([job.id]) == [None]
    assert await queue.logs(job.id) == []
    assert await queue.artifacts(job.id) == []
    assert await queue.artifact(job.id, "report") is None


async def live_and_be_forgotten(queue: RedisQueue, clock: ManualClock) -> None:
    """Have jobs end in every way, then forget them."""
    await complete(queue, await with_everything(queue, key="a", expires_ms=DAY))
    await fail(queue, await with_everything(queue, key="b", priority=3))
    stopped = await with_everything(queue, key="c")
    await cancel(queue, stopped.id)
    await complete(queue, stopped)
    again = await failed(queue, key="d")
    await retry(queue, again.id)
    await complete(queue, await claim_one(queue))
    for options in ({}, {"priority": 1}, {"delay_ms": HOUR}, {"key": "e"}):
        await cancel(queue, (await submit(queue, **options)).id)
    await submit(queue, expires_ms=SECOND)
    waited = await submit(queue, queue="nobody", expires_ms=SECOND)
    assert await queue.wait_finished([waited.id], 0) == []
    lost = await running(queue, function="lost", max_deliveries=1)
    for _ in range(5):
        await sweep(queue)
        clock.advance(SWEEP_STEP)
    assert (await get(queue, lost.id)).status is JobStatus.FAILED
    assert (await get(queue, waited.id)).status is JobStatus.CANCELLED
    clock.advance(2 * DAY)
    while (await sweep(queue)).more:
        pass
    deleted = await with_everything(queue)
    await complete(queue, deleted)
    await queue.delete([deleted.id])
    clock.advance(2 * DAY)
    while (await sweep(queue)).more:
        pass


async def test_nothing_is_left_of_jobs_that_were_forgotten(
    queue: RedisQueue, clock: ManualClock, store: Store
) -> None:
    await live_and_be_forgotten(queue, clock)
    once = store.sizes()
    assert set(once) <= {"meta", "lanes", "idle", "events"}, once
    for _ in range(3):
        await live_and_be_forgotten(queue, clock)
    assert store.sizes() == once


async def test_jobs_cancelled_where_no_worker_comes_leave_nothing_behind(
    queue: RedisQueue, clock: ManualClock, store: Store
) -> None:
    jobs = [await submit(queue) for _ in range(50)]
    await queue.cancel([job.id for job in jobs], "not needed")
    clock.advance(2 * DAY)
    while (await sweep(queue)).more:
        pass
    assert not [key for key in store.names() if key.startswith(("fresh:", "back:"))]


async def test_a_job_whose_data_was_evicted_stops_no_one(
    queue: RedisQueue, clock: ManualClock, redis_server: RedisServer, namespace: str
) -> None:
    keys = Keys(namespace)
    await submit(queue, delay_ms=SECOND)
    await submit(queue)
    await running(queue, function="other")
    await complete(queue, await running(queue, function="other"))
    for name in ("jobs", "states"):
        redis_server.execute("DEL", keys.name(name))
    for _ in range(6):
        clock.advance(SWEEP_STEP)
        await sweep(queue)
    clock.advance(2 * DAY)
    await sweep(queue)
    new = await submit(queue)
    assert (await claim_one(queue)).id == new.id
