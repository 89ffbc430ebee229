"""extend, and what a worker that lost its lease can no longer do."""

from __future__ import annotations

import pytest

from conduit.core.model import Artifact, JobStatus, Lease, Level, LogLine
from conduit.core.transitions import OutcomeKind
from conduit.queue.base import DEFAULT_LEASE_MS, Finished, Held, Note, Outcome, Queue
from tests.conformance.backends import Backend
from tests.conformance.builders import (
    BOOM,
    SWEEP_STEP,
    a_job,
    cancel,
    claim,
    claim_one,
    complete,
    fail,
    finish,
    get,
    lease,
    let_leases_lapse,
    rescued,
    retry,
    running,
    sweep,
)
from tests.conformance.history import events_of


async def test_an_extended_lease_is_not_rescued(backend: Backend) -> None:
    job = await running(backend.queue)
    for _ in range(10):
        await sweep(backend.queue)
        assert await backend.queue.extend([lease(job)], DEFAULT_LEASE_MS) == [Held.HELD]
        backend.clock.advance(SWEEP_STEP)
    stored = await get(backend.queue, job.id)
    assert (stored.status, stored.token) == (JobStatus.RUNNING, job.token)


async def test_an_extension_counts_from_now(backend: Backend) -> None:
    queue = backend.queue
    job = await running(queue)
    await sweep(queue)
    backend.clock.advance(SWEEP_STEP)
    await queue.extend([lease(job)], SWEEP_STEP)
    backend.clock.advance(SWEEP_STEP - 1)
    assert (await sweep(queue)).rescued == 0
    backend.clock.advance(1)
    assert (await sweep(queue)).rescued == 1


async def test_extending_writes_no_event(queue: Queue) -> None:
    job = await running(queue)
    before = await events_of(queue)
    await queue.extend([lease(job)], DEFAULT_LEASE_MS)
    assert await events_of(queue) == before


async def test_a_lapsed_lease_that_nobody_took_can_still_be_extended(backend: Backend) -> None:
    job = await running(backend.queue)
    backend.clock.advance(2 * DEFAULT_LEASE_MS)
    assert await backend.queue.extend([lease(job)], DEFAULT_LEASE_MS) == [Held.HELD]
    await sweep(backend.queue)
    assert (await sweep(backend.queue)).rescued == 0


async def test_extending_tells_each_lease_how_it_stands(backend: Backend) -> None:
    queue = backend.queue
    await queue.submit([a_job() for _ in range(3)])
    held, stopping, done = await claim(queue)
    await cancel(queue, stopping.id)
    await complete(queue, done)
    leases = [lease(done), lease(held), Lease("nobody", "1:x"), lease(stopping)]
    assert await queue.extend(leases, DEFAULT_LEASE_MS) == [
        Held.LOST,
        Held.HELD,
        Held.LOST,
        Held.CANCEL,
    ]


async def test_a_lost_lease_is_lost_before_and_after_someone_else_claims(backend: Backend) -> None:
    queue = backend.queue
    zombie = await running(queue)
    await let_leases_lapse(backend)
    assert await queue.extend([lease(zombie)], DEFAULT_LEASE_MS) == [Held.LOST]
    successor = await claim_one(queue, worker_id="w2")
    assert await queue.extend([lease(zombie), lease(successor)], DEFAULT_LEASE_MS) == [
        Held.LOST,
        Held.HELD,
    ]


async def test_a_zombie_cannot_extend_for_its_successor(backend: Backend) -> None:
    zombie, successor = await rescued(backend)
    for _ in range(DEFAULT_LEASE_MS // SWEEP_STEP):
        await backend.queue.extend([lease(zombie)], DEFAULT_LEASE_MS)
        backend.clock.advance(SWEEP_STEP)
        await sweep(backend.queue)
    assert await backend.queue.extend([lease(successor)], DEFAULT_LEASE_MS) == [Held.LOST]


@pytest.mark.parametrize("kind", OutcomeKind)
async def test_a_zombie_cannot_finish_a_job_that_waits_for_rescue_to_be_claimed(
    backend: Backend, kind: OutcomeKind
) -> None:
    queue = backend.queue
    zombie = await running(queue)
    await let_leases_lapse(backend)
    before = await get(queue, zombie.id)
    assert before.status is JobStatus.QUEUED
    assert await finish(queue, zombie, kind, error=BOOM) is Finished.STALE
    assert await get(queue, zombie.id) == before


@pytest.mark.parametrize("kind", OutcomeKind)
async def test_a_zombie_cannot_finish_while_its_successor_runs(
    backend: Backend, kind: OutcomeKind
) -> None:
    zombie, successor = await rescued(backend)
    answer = await finish(backend.queue, zombie, kind, result=b'"late"', error=BOOM)
    assert answer is Finished.STALE
    assert await get(backend.queue, zombie.id) == successor


@pytest.mark.parametrize("kind", OutcomeKind)
async def test_a_zombie_cannot_finish_after_its_successor_has(
    backend: Backend, kind: OutcomeKind
) -> None:
    queue = backend.queue
    zombie, successor = await rescued(backend)
    await complete(queue, successor, b'"right"')
    before = await get(queue, zombie.id)
    assert await finish(queue, zombie, kind, result=b'"late"', error=BOOM) is Finished.STALE
    assert await get(queue, zombie.id) == before


async def test_a_zombie_cannot_finish_what_failed_for_its_lost_workers(backend: Backend) -> None:
    zombie = await running(backend.queue, max_deliveries=1)
    await let_leases_lapse(backend)
    assert await complete(backend.queue, zombie) is Finished.STALE
    assert (await get(backend.queue, zombie.id)).reason == "max_deliveries"


async def test_a_zombie_cannot_finish_what_was_cancelled_when_its_lease_lapsed(
    backend: Backend,
) -> None:
    zombie = await running(backend.queue)
    await cancel(backend.queue, zombie.id)
    await let_leases_lapse(backend)
    assert await complete(backend.queue, zombie) is Finished.STALE
    assert (await get(backend.queue, zombie.id)).status is JobStatus.CANCELLED


async def test_a_zombie_cannot_finish_after_an_operators_retry(backend: Backend) -> None:
    queue = backend.queue
    zombie, successor = await rescued(backend)
    await fail(queue, successor)
    await retry(queue, zombie.id)
    assert await complete(queue, zombie) is Finished.STALE
    third = await claim_one(queue, worker_id="w3")
    assert await complete(queue, zombie) is Finished.STALE
    assert await get(queue, zombie.id) == third


async def test_a_zombie_can_record_nothing(backend: Backend) -> None:
    queue = backend.queue
    zombie = await running(queue)
    art = Artifact(name="a", content_type="text/plain", size=1, sha256="0")
    news = Note(
        lease=lease(zombie),
        progress=0.9,
        progress_message="late",
        metadata=b'{"late":true}',
        checkpoint=b'"late"',
        steps=b'{"late":1}',
        logs=(LogLine(1, Level.INFO, "x", "late"),),
        artifact=art,
        data=b"!",
    )
    await let_leases_lapse(backend)
    waiting = await get(queue, zombie.id)
    assert await queue.record([news]) == [False]
    assert await get(queue, zombie.id) == waiting

    successor = await claim_one(queue, worker_id="w2")
    assert await queue.record([news]) == [False]
    assert await get(queue, zombie.id) == successor

    await complete(queue, successor)
    done = await get(queue, zombie.id)
    assert await queue.record([news]) == [False]
    assert await get(queue, zombie.id) == done
    assert await queue.logs(zombie.id) == []
    assert await queue.artifacts(zombie.id) == []


async def test_a_made_up_token_is_stale(queue: Queue) -> None:
    job = await running(queue)
    forged = Lease(job.id, f"{job.fence}:forged")
    assert await queue.extend([forged], DEFAULT_LEASE_MS) == [Held.LOST]
    assert await queue.record([Note(lease=forged, progress=1.0)]) == [False]
    (answer,) = await queue.finish([Outcome(lease=forged, kind=OutcomeKind.COMPLETE)])
    assert answer is Finished.STALE
    assert await get(queue, job.id) == job


async def test_the_fence_rises_with_every_lease_and_over_generations(backend: Backend) -> None:
    queue = backend.queue
    first = await running(queue)
    await finish(queue, first, OutcomeKind.RELEASE)
    second = await claim_one(queue)
    await finish(queue, second, OutcomeKind.RETRY_LATER, error=BOOM)
    third = await claim_one(queue)
    await let_leases_lapse(backend)
    fourth = await claim_one(queue)
    await fail(queue, fourth)
    await retry(queue, fourth.id)
    fifth = await claim_one(queue)

    runs = [first, second, third, fourth, fifth]
    assert [job.fence for job in runs] == [1, 2, 3, 4, 5]
    assert [job.attempt for job in runs] == [1, 1, 2, 3, 1]
    assert [job.generation for job in runs] == [1, 1, 1, 1, 2]
    assert [job.token and job.token.split(":")[0] for job in runs] == ["1", "2", "3", "4", "5"]
