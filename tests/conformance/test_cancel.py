"""cancel."""

from __future__ import annotations

import pytest

from conduit.core.events import EventKind
from conduit.core.model import JobStatus
from conduit.core.transitions import OutcomeKind
from conduit.queue.base import DEFAULT_LEASE_MS, Acted, Action, Held, Queue
from tests.conformance.backends import Backend
from tests.conformance.builders import (
    BOOM,
    HOUR,
    cancel,
    claim,
    completed,
    failed,
    finish,
    get,
    lease,
    let_leases_lapse,
    running,
    submit,
)
from tests.conformance.history import events_of, kinds_of


@pytest.mark.parametrize("delay_ms", [0, HOUR])
async def test_a_waiting_job_is_cancelled_at_once(backend: Backend, delay_ms: int) -> None:
    queue = backend.queue
    job = await submit(queue, delay_ms=delay_ms)
    assert await cancel(queue, job.id, "enough") == Action(Acted.DONE, JobStatus.CANCELLED)
    stored = await get(queue, job.id)
    assert (stored.status, stored.reason) == (JobStatus.CANCELLED, "enough")
    assert stored.finished_at == backend.clock.now
    backend.clock.advance(2 * HOUR)
    assert await claim(queue) == []


async def test_the_worker_of_a_running_job_is_asked(queue: Queue) -> None:
    job = await running(queue)
    assert await cancel(queue, job.id, "enough") == Action(Acted.REQUESTED, JobStatus.RUNNING)
    stored = await get(queue, job.id)
    assert (stored.status, stored.cancel_requested) == (JobStatus.RUNNING, True)
    assert await queue.extend([lease(job)], DEFAULT_LEASE_MS) == [Held.CANCEL]


async def test_asking_twice_is_asking_once(queue: Queue) -> None:
    job = await running(queue)
    await cancel(queue, job.id, "first")
    before = await get(queue, job.id)
    assert await cancel(queue, job.id, "second") == Action(Acted.REQUESTED, JobStatus.RUNNING)
    assert await get(queue, job.id) == before
    assert (await kinds_of(queue, job.id)).count(EventKind.CANCEL_REQUESTED) == 1


async def test_finished_jobs_are_refused(queue: Queue) -> None:
    done, broken = await completed(queue), await failed(queue)
    gone = await submit(queue)
    await cancel(queue, gone.id, "first")
    jobs = [done.id, broken.id, gone.id]
    before = await queue.get(jobs)
    assert await queue.cancel(jobs, "late") == [
        Action(Acted.REFUSED, JobStatus.COMPLETED),
        Action(Acted.REFUSED, JobStatus.FAILED),
        Action(Acted.REFUSED, JobStatus.CANCELLED),
    ]
    assert await queue.get(jobs) == before


async def test_a_batch_is_answered_in_order_with_unknown_jobs_among_it(queue: Queue) -> None:
    active = await running(queue)
    waiting = await submit(queue)
    assert await queue.cancel(["nobody", waiting.id, active.id, waiting.id], "x") == [
        Action(Acted.UNKNOWN),
        Action(Acted.DONE, JobStatus.CANCELLED),
        Action(Acted.REQUESTED, JobStatus.RUNNING),
        Action(Acted.REFUSED, JobStatus.CANCELLED),
    ]


async def test_a_job_that_waits_for_its_retry_is_cancelled_at_once(queue: Queue) -> None:
    job = await running(queue)
    await finish(queue, job, OutcomeKind.RETRY_LATER, error=BOOM, delay_ms=HOUR)
    assert (await cancel(queue, job.id)).acted is Acted.DONE


async def test_a_rescued_job_that_waits_is_cancelled_at_once(backend: Backend) -> None:
    job = await running(backend.queue)
    await let_leases_lapse(backend)
    assert (await cancel(backend.queue, job.id)).acted is Acted.DONE
    assert await claim(backend.queue) == []


async def test_the_events_of_a_cancel_bear_its_reason(queue: Queue) -> None:
    job = await running(queue)
    await cancel(queue, job.id, "enough")
    await finish(queue, job, OutcomeKind.CANCEL)
    *_, asked, ended = await events_of(queue, job.id)
    assert (asked.kind, asked.reason) == (EventKind.CANCEL_REQUESTED, "enough")
    assert asked.status is JobStatus.RUNNING
    assert (ended.kind, ended.reason) == (EventKind.CANCELLED, "enough")
