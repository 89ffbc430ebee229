"""finish: how attempts end."""

from __future__ import annotations

import pytest

from conduit.core.model import JobStatus, Lease
from conduit.core.transitions import OutcomeKind
from conduit.queue.base import Finished, Outcome, Queue
from tests.conformance.backends import Backend
from tests.conformance.builders import (
    BOOM,
    HOUR,
    MINUTE,
    SECOND,
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
from tests.conformance.history import events_of, kinds_of


async def test_a_completed_job_keeps_its_result_as_it_was_given(backend: Backend) -> None:
    job = await running(backend.queue)
    backend.clock.advance(SECOND)
    assert await complete(backend.queue, job, b'{"total":9007199254740993}') is Finished.OK
    stored = await get(backend.queue, job.id)
    assert (stored.status, stored.result) == (JobStatus.COMPLETED, b'{"total":9007199254740993}')
    assert stored.finished_at == backend.clock.now
    assert (stored.attempt, stored.failures, stored.worker_id) == (1, 0, "w1")


async def test_a_failed_job_keeps_its_error_and_reason(backend: Backend) -> None:
    job = await running(backend.queue)
    await finish(backend.queue, job, OutcomeKind.FAIL, error=BOOM, reason="timeout")
    stored = await get(backend.queue, job.id)
    assert (stored.status, stored.reason, stored.error) == (JobStatus.FAILED, "timeout", BOOM)
    assert (stored.failures, stored.finished_at) == (1, backend.clock.now)


async def test_a_failure_without_a_reason_is_an_error(queue: Queue) -> None:
    job = await running(queue)
    await fail(queue, job)
    assert (await get(queue, job.id)).reason == "error"


async def test_a_retry_waits_for_its_delay_and_counts_a_failure(backend: Backend) -> None:
    queue = backend.queue
    job = await running(queue)
    await finish(queue, job, OutcomeKind.RETRY_LATER, error=BOOM, delay_ms=MINUTE)
    stored = await get(queue, job.id)
    assert (stored.status, stored.run_at) == (JobStatus.SCHEDULED, backend.clock.now + MINUTE)
    assert (stored.failures, stored.error, stored.finished_at) == (1, BOOM, None)

    backend.clock.advance(MINUTE - 1)
    assert await claim(queue) == []
    backend.clock.advance(1)
    again = await claim_one(queue)
    assert (again.attempt, again.failures, again.fence) == (2, 1, 2)


async def test_a_retry_without_delay_can_be_claimed_at_once(queue: Queue) -> None:
    job = await running(queue)
    await finish(queue, job, OutcomeKind.RETRY_LATER, error=BOOM)
    assert (await claim_one(queue)).attempt == 2


async def test_a_job_that_completes_after_a_failure_has_no_error(queue: Queue) -> None:
    job = await running(queue)
    await finish(queue, job, OutcomeKind.RETRY_LATER, error=BOOM)
    await complete(queue, await claim_one(queue))
    stored = await get(queue, job.id)
    assert (stored.error, stored.reason, stored.failures) == (None, None, 1)


async def test_a_released_job_keeps_its_attempt(queue: Queue) -> None:
    job = await running(queue)
    await finish(queue, job, OutcomeKind.RELEASE)
    stored = await get(queue, job.id)
    assert (stored.status, stored.failures, stored.rescues) == (JobStatus.QUEUED, 0, 0)
    again = await claim_one(queue)
    assert (again.attempt, again.fence) == (1, 2)


async def test_a_job_can_be_released_for_later(backend: Backend) -> None:
    queue = backend.queue
    job = await running(queue)
    await finish(queue, job, OutcomeKind.RELEASE, delay_ms=SECOND)
    stored = await get(queue, job.id)
    assert (stored.status, stored.run_at) == (JobStatus.SCHEDULED, backend.clock.now + SECOND)
    assert await claim(queue) == []
    backend.clock.advance(SECOND)
    assert (await claim_one(queue)).attempt == 1


async def test_a_rescue_counts_as_an_attempt(backend: Backend) -> None:
    _, successor = await rescued(backend)
    assert (successor.attempt, successor.rescues, successor.failures) == (2, 1, 0)


async def test_a_worker_can_cancel_what_it_runs(backend: Backend) -> None:
    job = await running(backend.queue)
    await finish(backend.queue, job, OutcomeKind.CANCEL, reason="gave up")
    stored = await get(backend.queue, job.id)
    assert (stored.status, stored.reason) == (JobStatus.CANCELLED, "gave up")
    assert stored.finished_at == backend.clock.now


@pytest.mark.parametrize("kind", [OutcomeKind.RETRY_LATER, OutcomeKind.RELEASE])
async def test_a_cancel_does_not_inherit_the_reason_of_an_earlier_attempt(
    queue: Queue, kind: OutcomeKind
) -> None:
    await finish(queue, await running(queue), kind, reason="not yet")
    job = await claim_one(queue)
    await finish(queue, job, OutcomeKind.CANCEL)
    assert (await get(queue, job.id)).reason is None
    assert (await events_of(queue, job.id))[-1].reason is None


# --- repeats ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", OutcomeKind)
async def test_a_repeated_outcome_reports_success_and_writes_nothing(
    queue: Queue, kind: OutcomeKind
) -> None:
    job = await running(queue)
    assert await finish(queue, job, kind, delay_ms=HOUR) is Finished.OK
    after = await get(queue, job.id)
    kinds = await kinds_of(queue, job.id)
    assert await finish(queue, job, kind, delay_ms=HOUR) is Finished.ALREADY
    assert await get(queue, job.id) == after
    assert await kinds_of(queue, job.id) == kinds


async def test_a_repeated_outcome_is_recognised_after_a_reopen(backend: Backend) -> None:
    job = await running(backend.queue)
    await complete(backend.queue, job)
    queue = await backend.reopen()
    assert await complete(queue, job) is Finished.ALREADY


async def test_a_repeat_after_an_operators_retry_writes_nothing(queue: Queue) -> None:
    job = await running(queue)
    await fail(queue, job)
    await retry(queue, job.id)
    before = await get(queue, job.id)
    assert await fail(queue, job) in (Finished.ALREADY, Finished.STALE)
    assert await get(queue, job.id) == before
    again = await claim_one(queue)
    assert await fail(queue, job) in (Finished.ALREADY, Finished.STALE)
    assert await get(queue, job.id) == again


async def test_a_repeat_that_comes_after_the_next_attempt_began_writes_nothing(
    queue: Queue,
) -> None:
    job = await running(queue)
    await finish(queue, job, OutcomeKind.RETRY_LATER, error=BOOM)
    again = await claim_one(queue)
    answer = await finish(queue, job, OutcomeKind.RETRY_LATER, error=BOOM)
    assert answer in (Finished.ALREADY, Finished.STALE)
    assert await get(queue, job.id) == again


async def test_the_same_lease_twice_in_one_batch_counts_once(queue: Queue) -> None:
    job = await running(queue)
    outcome = Outcome(lease=lease(job), kind=OutcomeKind.FAIL, error=BOOM)
    assert await queue.finish([outcome, outcome]) == [Finished.OK, Finished.ALREADY]
    assert (await get(queue, job.id)).failures == 1


# --- batches ----------------------------------------------------------------------------------


async def test_one_bad_outcome_never_harms_its_neighbours(backend: Backend) -> None:
    queue = backend.queue
    lost, successor = await rescued(backend)
    await queue.submit([a_job() for _ in range(4)])
    good = await claim(queue)
    outcomes = [Outcome(lease=lease(job), kind=OutcomeKind.COMPLETE) for job in [*good, successor]]
    outcomes.insert(1, Outcome(lease=lease(lost), kind=OutcomeKind.FAIL))
    outcomes.insert(3, Outcome(lease=Lease("nobody", "1:x"), kind=OutcomeKind.COMPLETE))

    ok, stale = Finished.OK, Finished.STALE
    assert await queue.finish(outcomes) == [ok, stale, ok, stale, ok, ok, ok]
    jobs = await queue.get([job.id for job in [*good, successor]])
    assert [job and job.status for job in jobs] == [JobStatus.COMPLETED] * 5


async def test_a_batch_may_mix_all_kinds_of_outcomes(queue: Queue) -> None:
    await queue.submit([a_job() for _ in OutcomeKind])
    jobs = await claim(queue)
    outcomes = [
        Outcome(lease=lease(job), kind=kind, delay_ms=SECOND)
        for job, kind in zip(jobs, OutcomeKind, strict=True)
    ]
    assert await queue.finish(outcomes) == [Finished.OK] * 5
    ended = dict(zip(OutcomeKind, await queue.get([job.id for job in jobs]), strict=True))
    assert {kind: job and job.status for kind, job in ended.items()} == {
        OutcomeKind.COMPLETE: JobStatus.COMPLETED,
        OutcomeKind.FAIL: JobStatus.FAILED,
        OutcomeKind.RETRY_LATER: JobStatus.SCHEDULED,
        OutcomeKind.CANCEL: JobStatus.CANCELLED,
        OutcomeKind.RELEASE: JobStatus.SCHEDULED,
    }


# --- cancels under way --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", [OutcomeKind.RETRY_LATER, OutcomeKind.FAIL, OutcomeKind.RELEASE, OutcomeKind.CANCEL]
)
async def test_a_requested_cancel_beats_every_outcome_but_completion(
    queue: Queue, kind: OutcomeKind
) -> None:
    job = await running(queue)
    await cancel(queue, job.id, "changed my mind")
    await finish(queue, job, kind, error=BOOM, delay_ms=SECOND)
    stored = await get(queue, job.id)
    assert (stored.status, stored.reason) == (JobStatus.CANCELLED, "changed my mind")


async def test_completion_beats_a_requested_cancel(queue: Queue) -> None:
    job = await running(queue)
    await cancel(queue, job.id)
    await complete(queue, job, b"1")
    stored = await get(queue, job.id)
    assert (stored.status, stored.result, stored.reason) == (JobStatus.COMPLETED, b"1", None)


# --- killers of workers -------------------------------------------------------------------------


async def test_a_job_that_loses_its_workers_fails_after_max_deliveries(backend: Backend) -> None:
    queue = backend.queue
    job = await running(queue, max_deliveries=3)
    for attempt in (2, 3):
        await let_leases_lapse(backend)
        assert (await claim_one(queue, worker_id=f"w{attempt}")).attempt == attempt
    await let_leases_lapse(backend)

    stored = await get(queue, job.id)
    assert (stored.status, stored.reason) == (JobStatus.FAILED, "max_deliveries")
    assert (stored.rescues, stored.failures) == (3, 0)
    assert stored.error is not None
    assert "w3" in stored.error.message
    assert stored.finished_at is not None
    assert await claim(queue) == []


async def test_failures_do_not_count_as_deliveries(backend: Backend) -> None:
    queue = backend.queue
    job = await running(queue, max_deliveries=2)
    for _ in range(4):
        await finish(queue, job, OutcomeKind.RETRY_LATER, error=BOOM)
        job = await claim_one(queue)
    await let_leases_lapse(backend)
    again = await claim_one(queue)
    assert (again.failures, again.rescues, again.attempt) == (4, 1, 6)


async def test_a_cancel_under_way_is_carried_out_when_the_worker_is_lost(
    backend: Backend,
) -> None:
    job = await running(backend.queue)
    await cancel(backend.queue, job.id, "enough")
    await let_leases_lapse(backend)
    stored = await get(backend.queue, job.id)
    assert (stored.status, stored.reason) == (JobStatus.CANCELLED, "enough")


async def test_a_waiting_retry_can_expire(backend: Backend) -> None:
    job = await running(backend.queue, expires_ms=MINUTE)
    await finish(backend.queue, job, OutcomeKind.RETRY_LATER, error=BOOM, delay_ms=HOUR)
    backend.clock.advance(2 * HOUR)
    await sweep(backend.queue)
    assert (await get(backend.queue, job.id)).reason == "expired"


async def test_a_job_that_ended_without_completing_was_due_when_it_was(backend: Backend) -> None:
    queue = backend.queue
    job = await running(queue)
    backend.clock.advance(7)
    await fail(queue, job)
    assert (await get(queue, job.id)).run_at == job.run_at
