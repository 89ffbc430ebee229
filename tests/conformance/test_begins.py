"""When a job's function began: told with calls that are made anyway, in the store's own time."""

from __future__ import annotations

import pytest

from conduit.core.events import Event, EventKind
from conduit.core.model import Job, JobStatus, Level, LogLine
from conduit.core.transitions import OutcomeKind
from conduit.queue.base import DEFAULT_LEASE_MS, Finished, Held, Queue
from tests.conformance.backends import Backend
from tests.conformance.builders import (
    a_job,
    claim_one,
    complete,
    fail,
    finish,
    get,
    lease,
    let_leases_lapse,
    note,
    rescued,
    retry,
    running,
)
from tests.conformance.history import events_of


async def extend(queue: Queue, job: Job, began_ms_ago: int | None = None) -> Held:
    begun = {} if began_ms_ago is None else {lease(job): began_ms_ago}
    (answer,) = await queue.extend([lease(job)], DEFAULT_LEASE_MS, begun)
    return answer


async def told(queue: Queue, job: Job) -> list[tuple[EventKind, int | None]]:
    """The kinds of a job's events since its claim, each with the begin it tells."""
    events = [event for event in await events_of(queue) if event.job_id == job.id]
    return [(event.kind, event.started_at) for event in events if event.seq > 2]


async def last_event(queue: Queue, job: Job) -> Event:
    return [event for event in await events_of(queue) if event.job_id == job.id][-1]


async def test_a_held_job_has_not_begun_until_that_is_told(backend: Backend) -> None:
    job = await running(backend.queue)
    assert job.claimed_at == backend.clock.now
    backend.clock.advance(500)
    assert await extend(backend.queue, job) is Held.HELD
    assert (await get(backend.queue, job.id)).started_at is None
    assert await told(backend.queue, job) == []


async def test_a_heartbeat_tells_the_begin_once(backend: Backend) -> None:
    job = await running(backend.queue)
    backend.clock.advance(500)
    began_at = backend.clock.now - 200
    assert await extend(backend.queue, job, 200) is Held.HELD
    backend.clock.advance(5000)
    assert await extend(backend.queue, job, 5100) is Held.HELD
    assert (await get(backend.queue, job.id)).started_at == began_at
    assert await told(backend.queue, job) == [(EventKind.BEGUN, began_at)]


async def test_a_short_job_tells_its_begin_with_its_end(backend: Backend) -> None:
    job = await running(backend.queue)
    backend.clock.advance(500)
    began_at = backend.clock.now - 30
    assert await complete(backend.queue, job, began_ms_ago=30) is Finished.OK
    assert (await get(backend.queue, job.id)).started_at == began_at
    assert await told(backend.queue, job) == [(EventKind.COMPLETED, began_at)]


async def test_jobs_that_ended_together_may_have_begun_at_different_times(
    backend: Backend,
) -> None:
    jobs = [await running(backend.queue) for _ in range(3)]
    backend.clock.advance(500)
    for age, job in enumerate(jobs):
        await complete(backend.queue, job, began_ms_ago=100 * age)
    starts = [(await get(backend.queue, job.id)).started_at for job in jobs]
    assert starts == [backend.clock.now, backend.clock.now - 100, backend.clock.now - 200]


@pytest.mark.parametrize("kind", list(OutcomeKind))
async def test_each_kind_of_end_tells_when_the_function_began(
    backend: Backend, kind: OutcomeKind
) -> None:
    job = await running(backend.queue)
    backend.clock.advance(500)
    began_at = backend.clock.now - 400
    assert await finish(backend.queue, job, kind, began_ms_ago=400) is Finished.OK
    assert (await last_event(backend.queue, job)).started_at == began_at


@pytest.mark.parametrize("kind", list(OutcomeKind))
async def test_an_end_without_a_begin_tells_that_the_function_never_began(
    backend: Backend, kind: OutcomeKind
) -> None:
    job = await running(backend.queue)
    assert await finish(backend.queue, job, kind) is Finished.OK
    assert (await last_event(backend.queue, job)).started_at is None
    assert (await get(backend.queue, job.id)).started_at is None


async def test_news_of_a_job_bring_its_begin_without_an_event_of_its_own(
    backend: Backend,
) -> None:
    job = await running(backend.queue)
    backend.clock.advance(500)
    began_at = backend.clock.now - 50
    line = LogLine(1, Level.INFO, "shop", "hello")
    assert await note(backend.queue, job, progress=0.5, logs=(line,), began_ms_ago=50)
    assert await note(backend.queue, job, progress=0.7, began_ms_ago=60)
    assert (await get(backend.queue, job.id)).started_at == began_at
    assert await told(backend.queue, job) == [
        (EventKind.PROGRESS, began_at),
        (EventKind.LOG, None),
        (EventKind.PROGRESS, None),
    ]


async def test_the_first_word_on_a_begin_counts(backend: Backend) -> None:
    job = await running(backend.queue)
    backend.clock.advance(500)
    began_at = backend.clock.now - 100
    await note(backend.queue, job, progress=0.5, began_ms_ago=100)
    await extend(backend.queue, job, 300)
    await complete(backend.queue, job, began_ms_ago=7)
    assert (await get(backend.queue, job.id)).started_at == began_at
    assert (await last_event(backend.queue, job)).started_at == began_at


@pytest.mark.parametrize(("ms_ago", "after_claim"), [(10_000, 0), (-5, 500), (500, 0)])
async def test_a_begin_lies_between_the_claim_and_now_whatever_the_clocks_say(
    backend: Backend, ms_ago: int, after_claim: int
) -> None:
    job = await running(backend.queue)
    assert job.claimed_at is not None
    backend.clock.advance(500)
    await extend(backend.queue, job, ms_ago)
    assert (await get(backend.queue, job.id)).started_at == job.claimed_at + after_claim


async def test_the_next_attempt_has_not_begun_because_the_last_one_had(backend: Backend) -> None:
    job = await running(backend.queue)
    await finish(backend.queue, job, OutcomeKind.RELEASE, began_ms_ago=0)
    backend.clock.advance(100)
    again = await claim_one(backend.queue)
    assert (again.claimed_at, again.started_at) == (backend.clock.now, None)
    assert await get(backend.queue, job.id) == again


async def test_a_new_generation_has_neither_been_claimed_nor_begun(backend: Backend) -> None:
    job = await running(backend.queue)
    await finish(backend.queue, job, OutcomeKind.FAIL, began_ms_ago=0)
    await retry(backend.queue, job.id)
    again = await get(backend.queue, job.id)
    assert (again.status, again.claimed_at, again.started_at) == (JobStatus.QUEUED, None, None)


async def test_a_rescue_tells_whether_the_function_had_begun(backend: Backend) -> None:
    job = await running(backend.queue)
    await extend(backend.queue, job, 0)
    begun = (await get(backend.queue, job.id)).started_at
    never = await running(backend.queue)
    await let_leases_lapse(backend)
    assert begun is not None
    assert (EventKind.RESCUED, begun) in await told(backend.queue, job)
    assert (EventKind.RESCUED, None) in await told(backend.queue, never)


async def test_a_zombie_can_not_tell_a_begin(backend: Backend) -> None:
    zombie, successor = await rescued(backend)
    assert await extend(backend.queue, zombie, 10) is Held.LOST
    assert not await note(backend.queue, zombie, progress=0.5, began_ms_ago=10)
    assert (await get(backend.queue, successor.id)).started_at is None
    assert await fail(backend.queue, zombie) is Finished.STALE


async def test_a_job_that_is_started_at_once_has_not_begun_either(backend: Backend) -> None:
    started = await backend.queue.start(a_job(), "w1", DEFAULT_LEASE_MS)
    assert (started.claimed_at, started.started_at) == (backend.clock.now, None)
