"""sweep: promote, expire, rescue, forget; and what a jumping clock must not do."""

from __future__ import annotations

import asyncio

from conduit.core.model import Artifact, JobStatus, Level, LogLine
from conduit.queue.base import (
    DEFAULT_LEASE_MS,
    DEFAULT_RESULT_TTL_MS,
    Held,
    JobFilter,
    Queue,
    Retention,
    SweepReport,
)
from tests.conformance.backends import Backend
from tests.conformance.builders import (
    DAY,
    HOUR,
    MINUTE,
    SECOND,
    a_job,
    claim,
    claim_one,
    complete,
    completed,
    failed,
    get,
    lease,
    let_leases_lapse,
    note,
    running,
    submit,
    sweep,
)
from tests.conformance.history import events_of


async def test_a_sweep_of_a_quiet_store_does_nothing(queue: Queue) -> None:
    await submit(queue)
    before = await events_of(queue)
    assert await sweep(queue) == SweepReport()
    assert await events_of(queue) == before


async def test_due_jobs_are_promoted(backend: Backend) -> None:
    due, later = (
        await submit(backend.queue, delay_ms=SECOND),
        await submit(backend.queue, delay_ms=HOUR),
    )
    backend.clock.advance(SECOND)
    assert (await sweep(backend.queue)).promoted == 1
    assert (await get(backend.queue, due.id)).status is JobStatus.QUEUED
    assert (await get(backend.queue, later.id)).status is JobStatus.SCHEDULED


async def test_expired_jobs_are_cancelled(backend: Backend) -> None:
    queue = backend.queue
    await queue.submit([a_job(expires_ms=SECOND), a_job(expires_ms=SECOND, delay_ms=HOUR)])
    fresh = await submit(queue, expires_ms=HOUR)
    backend.clock.advance(SECOND)
    assert (await sweep(queue)).expired == 2
    assert (await queue.find(JobFilter(statuses=(JobStatus.CANCELLED,)))).total == 2
    assert (await claim_one(queue)).id == fresh.id


async def test_a_job_whose_lease_ran_out_is_queued_again(backend: Backend) -> None:
    queue = backend.queue
    job = await running(queue)
    await sweep(queue)
    for _ in range(2):
        backend.clock.advance(5 * SECOND)
        assert (await sweep(queue)).rescued == 0
    backend.clock.advance(5 * SECOND)
    report = await sweep(queue)
    assert (report.rescued, report.granted) == (1, 0)
    stored = await get(queue, job.id)
    assert (stored.status, stored.rescues) == (JobStatus.QUEUED, 1)
    assert (await sweep(queue)).rescued == 0


async def test_a_job_that_used_up_its_deliveries_is_counted_as_failed(backend: Backend) -> None:
    await running(backend.queue, max_deliveries=1)
    await sweep(backend.queue)
    backend.clock.advance(DEFAULT_LEASE_MS // 2)
    await sweep(backend.queue)
    backend.clock.advance(DEFAULT_LEASE_MS // 2)
    report = await sweep(backend.queue)
    assert (report.rescued, report.failed) == (0, 1)


async def test_two_sweeps_at_once_rescue_once(backend: Backend) -> None:
    queue, second = backend.queue, await backend.second()
    await queue.submit([a_job() for _ in range(30)])
    await claim(queue)
    await sweep(queue)
    for _ in range(2):
        backend.clock.advance(DEFAULT_LEASE_MS // 2)
        reports = await asyncio.gather(*(sweep(each) for each in (queue, second) * 2))
    assert sum(report.rescued for report in reports) == 30
    assert {job.rescues for job in await claim(queue)} == {1}


async def test_a_sweep_is_bounded_and_says_when_there_is_more(backend: Backend) -> None:
    queue = backend.queue
    await queue.submit([a_job(delay_ms=SECOND) for _ in range(5)])
    backend.clock.advance(SECOND)
    reports: list[SweepReport] = []
    while not reports or reports[-1].more:
        reports.append(await queue.sweep(Retention(), limit=2))
        assert reports[-1].promoted <= 2
    assert sum(report.promoted for report in reports) == 5
    assert reports[0].more


# --- retention --------------------------------------------------------------------------------


async def test_finished_jobs_are_forgotten_after_their_retention(backend: Backend) -> None:
    queue = backend.queue
    done, broken = await completed(queue), await failed(queue)
    backend.clock.advance(DEFAULT_RESULT_TTL_MS - 1)
    assert (await sweep(queue)).purged == 0
    backend.clock.advance(2)
    assert (await sweep(queue)).purged == 2
    backend.log_is_whole = False  # the events are as old as the jobs
    assert await queue.get([done.id, broken.id]) == [None, None]
    assert (await queue.find(JobFilter())).total == 0


async def test_what_belongs_to_a_forgotten_job_goes_with_it(backend: Backend) -> None:
    queue = backend.queue
    job = await running(queue)
    kept = Artifact(name="a", content_type="text/plain", size=1, sha256="0")
    line = LogLine(1, Level.INFO, "app", "hello")
    await note(queue, job, artifact=kept, data=b"x", logs=(line,))
    await complete(queue, job)
    backend.clock.advance(HOUR)
    await sweep(queue, results_ms=MINUTE)
    assert await queue.logs(job.id) == []
    assert await queue.artifacts(job.id) == []


async def test_retention_counts_from_the_end_not_from_the_submission(backend: Backend) -> None:
    job = await submit(backend.queue, delay_ms=10 * DAY)
    backend.clock.advance(10 * DAY)
    await complete(backend.queue, await claim_one(backend.queue))
    await sweep(backend.queue)
    assert (await get(backend.queue, job.id)).status is JobStatus.COMPLETED
    backend.log_is_whole = False


# --- clocks -----------------------------------------------------------------------------------


async def test_nobody_is_blamed_when_nobody_swept(backend: Backend) -> None:
    queue = backend.queue
    await queue.submit([a_job() for _ in range(3)])
    jobs = await claim(queue)
    await sweep(queue)
    backend.clock.advance(HOUR)  # the machine slept

    report = await sweep(queue)
    assert (report.granted, report.rescued, report.failed) == (3, 0, 0)
    assert await queue.extend([lease(jobs[0])], DEFAULT_LEASE_MS) == [Held.HELD]


async def test_who_does_not_extend_within_the_grant_is_rescued(backend: Backend) -> None:
    queue = backend.queue
    await queue.submit([a_job(), a_job()])
    alive, dead = await claim(queue)
    await sweep(queue)
    backend.clock.advance(HOUR)
    await sweep(queue)
    await queue.extend([lease(alive)], DEFAULT_LEASE_MS)

    backend.clock.advance(DEFAULT_LEASE_MS // 2 - 1)
    assert (await sweep(queue)).rescued == 0
    backend.clock.advance(1)
    report = await sweep(queue)
    assert (report.rescued, report.granted) == (1, 0)
    assert (await get(queue, alive.id)).status is JobStatus.RUNNING
    assert (await get(queue, dead.id)).status is JobStatus.QUEUED


async def test_a_dead_workers_job_is_rescued_however_rarely_sweeps_come(backend: Backend) -> None:
    queue = backend.queue
    job = await running(queue)
    await sweep(queue)
    backend.clock.advance(DEFAULT_LEASE_MS)
    assert (await sweep(queue)).granted == 1
    backend.clock.advance(9 * SECOND)  # again so long that nobody can be blamed
    report = await sweep(queue)
    assert (report.granted, report.rescued) == (0, 1)
    assert (await get(queue, job.id)).status is JobStatus.QUEUED


async def test_a_holder_that_extends_after_a_grant_may_get_another(backend: Backend) -> None:
    queue = backend.queue
    job = await running(queue)
    await sweep(queue)
    for _ in range(3):
        backend.clock.advance(HOUR)
        assert (await sweep(queue)).granted == 1
        backend.clock.advance(SECOND)
        assert (await sweep(queue)).granted == 0
        assert await queue.extend([lease(job)], DEFAULT_LEASE_MS) == [Held.HELD]
    stored = await get(queue, job.id)
    assert (stored.status, stored.seq) == (JobStatus.RUNNING, job.seq)


async def test_a_grant_that_a_clock_jumping_back_leaves_far_ahead_is_cut(backend: Backend) -> None:
    queue = backend.queue
    job = await running(queue)
    await sweep(queue)
    backend.clock.advance(HOUR)
    await sweep(queue)
    backend.clock.advance(-HOUR)
    await sweep(queue)
    assert (await get(queue, job.id)).status is JobStatus.RUNNING
    await let_leases_lapse(backend)
    assert (await claim_one(queue, worker_id="w2")).id == job.id


async def test_a_grant_cuts_no_lease_short(backend: Backend) -> None:
    queue = backend.queue
    job = await running(queue)
    await sweep(queue)
    backend.clock.advance(HOUR)
    await queue.extend([lease(job)], DEFAULT_LEASE_MS)
    assert (await sweep(queue)).granted == 0
    backend.clock.advance(DEFAULT_LEASE_MS // 2)
    await sweep(queue)
    backend.clock.advance(DEFAULT_LEASE_MS // 2 - 1)
    await sweep(queue)
    assert (await get(queue, job.id)).status is JobStatus.RUNNING


async def test_a_clock_that_jumped_back_delays_a_rescue_by_a_term_at_most(
    backend: Backend,
) -> None:
    queue = backend.queue
    job = await running(queue)
    await sweep(queue)
    backend.clock.advance(-HOUR)
    assert (await sweep(queue)).rescued == 0
    assert (await get(queue, job.id)).status is JobStatus.RUNNING

    await let_leases_lapse(backend)
    assert (await claim_one(queue, worker_id="w2")).id == job.id


async def test_a_clock_that_jumped_back_costs_a_live_worker_nothing(backend: Backend) -> None:
    queue = backend.queue
    job = await running(queue)
    await sweep(queue)
    backend.clock.advance(-HOUR)
    await sweep(queue)
    for _ in range(5):
        backend.clock.advance(5 * SECOND)
        assert await queue.extend([lease(job)], DEFAULT_LEASE_MS) == [Held.HELD]
        assert (await sweep(queue)).rescued == 0
