"""Jobs that wait for others: `after`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from conduit.core.errors import DependencyNotFoundError, QueueError, SubmitConflictError
from conduit.core.events import EventKind
from conduit.core.model import MAX_AFTER, Job, JobStatus, NewJob
from conduit.core.transitions import OutcomeKind
from conduit.queue.base import (
    DEFAULT_LEASE_MS,
    Acted,
    Action,
    Finished,
    JobFilter,
    Outcome,
    Queue,
    QueueInfo,
    Submitted,
)
from tests.conformance.backends import Backend
from tests.conformance.builders import (
    BOOM,
    DAY,
    HOUR,
    MINUTE,
    PATIENCE,
    SECOND,
    a_job,
    cancel,
    claim,
    claim_one,
    complete,
    completed,
    delete,
    fail,
    failed,
    finish,
    get,
    lease,
    let_leases_lapse,
    rescued,
    retry,
    running,
    submit,
    sweep,
)
from tests.conformance.history import Reader, events_of, kinds_of

_S = JobStatus


async def statuses(queue: Queue, jobs: Sequence[NewJob | Job]) -> list[JobStatus | None]:
    """Where the jobs are now; None for what isn't stored."""
    return [job and job.status for job in await queue.get([job.id for job in jobs])]


async def submit_after(queue: Queue, /, *awaited: NewJob | Job, **over: Any) -> NewJob:
    """Submit a job that waits for these."""
    return await submit(queue, after=tuple(job.id for job in awaited), **over)


async def start_of_chain(queue: Queue, length: int) -> tuple[Job, list[NewJob]]:
    """The first job of a chain, running, and those after it, each waiting for the one before."""
    first = await running(queue)
    others: list[NewJob] = []
    last = first.id
    for _ in range(length - 1):
        others.append(a_job(after=(last,)))
        last = others[-1].id
    await queue.submit(others)
    return first, others


# --- waiting ----------------------------------------------------------------------------------


async def test_a_job_that_waits_for_another_is_stored_as_blocked(backend: Backend) -> None:
    queue = backend.queue
    first = await submit(queue)
    second = await submit_after(queue, first, args=b'{"n":1}', priority=3)
    assert await get(queue, second.id) == Job(
        id=second.id,
        function="task",
        queue="default",
        max_deliveries=3,
        status=JobStatus.BLOCKED,
        args=b'{"n":1}',
        priority=3,
        submitted_at=backend.clock.now,
        run_at=backend.clock.now,
        after=(first.id,),
    )
    (event,) = await events_of(queue, second.id)
    assert (event.kind, event.status) == (EventKind.SUBMITTED, _S.BLOCKED)
    assert event.submission is not None
    assert event.submission.after == (first.id,)


async def test_a_blocked_job_is_not_claimed_whatever_its_priority(queue: Queue) -> None:
    first = await submit(queue)
    await submit_after(queue, first, priority=100)
    assert [job.id for job in await claim(queue)] == [first.id]
    assert await claim(queue) == []


async def test_a_job_is_queued_by_the_step_that_completes_what_it_waits_for(
    backend: Backend,
) -> None:
    queue = backend.queue
    first = await running(queue)
    second = await submit_after(queue, first)
    backend.clock.advance(SECOND)
    assert await complete(queue, first) is Finished.OK

    stored = await get(queue, second.id)
    assert (stored.status, stored.run_at) == (_S.QUEUED, backend.clock.now)
    assert stored.after == (first.id,)
    *_, ended, freed = await events_of(queue)
    assert (ended.job_id, ended.kind) == (first.id, EventKind.COMPLETED)
    assert (freed.job_id, freed.kind, freed.seq) == (second.id, EventKind.UNBLOCKED, 2)
    assert (freed.status, freed.run_at) == (_S.QUEUED, backend.clock.now)
    assert (await claim_one(queue)).id == second.id


async def test_a_job_waits_for_all_that_it_names(queue: Queue) -> None:
    one, other = await running(queue), await running(queue)
    last = await submit_after(queue, one, other)
    await complete(queue, other)
    assert await claim(queue) == []
    await complete(queue, one)
    assert (await claim_one(queue)).id == last.id


async def test_an_id_named_twice_is_waited_for_once(queue: Queue) -> None:
    first = await running(queue)
    last = await submit_after(queue, first, first)
    assert await queue.submit([last]) == [Submitted(last.id)]
    (event,) = await events_of(queue, last.id)
    assert event.submission is not None
    assert event.submission.after == (await get(queue, last.id)).after == (first.id, first.id)
    await complete(queue, first)
    assert (await claim_one(queue)).id == last.id
    assert await kinds_of(queue, last.id) == [
        EventKind.SUBMITTED,
        EventKind.UNBLOCKED,
        EventKind.STARTED,
    ]


async def test_a_retry_or_a_hand_back_of_what_is_awaited_frees_nobody(queue: Queue) -> None:
    first = await running(queue)
    last = await submit_after(queue, first)
    for kind in (OutcomeKind.RELEASE, OutcomeKind.RETRY_LATER):
        await finish(queue, first, kind)
        first = await claim_one(queue)
    assert await statuses(queue, [last]) == [_S.BLOCKED]
    await complete(queue, first)
    assert await statuses(queue, [last]) == [_S.QUEUED]


async def test_a_job_that_waits_for_what_has_completed_is_queued_at_once(queue: Queue) -> None:
    first = await completed(queue)
    second = await submit_after(queue, first)
    assert await kinds_of(queue, second.id) == [EventKind.SUBMITTED]
    assert (await claim_one(queue)).id == second.id


async def test_it_waits_only_for_those_that_have_not_completed(queue: Queue) -> None:
    done, active = await completed(queue), await running(queue)
    last = await submit_after(queue, done, active)
    await complete(queue, active)
    assert (await claim_one(queue)).id == last.id


async def test_a_freed_job_wakes_a_worker(backend: Backend) -> None:
    queue, worker = backend.queue, await backend.second()
    first = await running(queue)
    last = await submit_after(queue, first)
    assert await claim(worker) == []
    waiting = asyncio.create_task(worker.wait_for_jobs(["default"], 3600))
    await asyncio.wait({waiting}, timeout=0.1)
    await complete(queue, first)
    await asyncio.wait_for(waiting, PATIENCE)
    assert (await claim_one(worker)).id == last.id


async def test_jobs_of_other_queues_and_functions_can_be_waited_for(queue: Queue) -> None:
    first = await submit(queue, queue="slow", function="other")
    last = await submit_after(queue, first)
    await complete(queue, await claim_one(queue, queues=("slow",), functions=("other",)))
    assert (await claim_one(queue)).id == last.id


async def test_a_job_freed_in_a_paused_queue_waits_there(queue: Queue) -> None:
    await queue.pause("slow")
    first = await running(queue)
    last = await submit_after(queue, first, queue="slow")
    await complete(queue, first)
    assert await statuses(queue, [last]) == [_S.QUEUED]
    assert await claim(queue, queues=("slow",)) == []
    await queue.resume("slow")
    assert (await claim_one(queue, queues=("slow",))).id == last.id


async def test_the_priority_of_a_freed_job_counts(queue: Queue) -> None:
    first = await running(queue)
    urgent = await submit_after(queue, first, priority=5)
    await submit(queue)
    await complete(queue, first)
    assert [job.id for job in await claim(queue, limit=1)] == [urgent.id]


# --- delay and expiry --------------------------------------------------------------------------


async def test_a_delay_counts_from_the_submission_of_a_job_that_waits(backend: Backend) -> None:
    queue = backend.queue
    first = await running(queue)
    last = await submit_after(queue, first, delay_ms=MINUTE)
    due = backend.clock.now + MINUTE
    backend.clock.advance(SECOND)
    await complete(queue, first)
    stored = await get(queue, last.id)
    assert (stored.status, stored.run_at) == (_S.SCHEDULED, due)
    (*_, freed) = await events_of(queue, last.id)
    assert (freed.kind, freed.status, freed.run_at) == (EventKind.UNBLOCKED, _S.SCHEDULED, due)
    backend.clock.advance(MINUTE - SECOND)
    assert (await claim_one(queue)).id == last.id


async def test_a_job_freed_after_the_clock_was_set_back_waits_for_its_time(
    backend: Backend,
) -> None:
    queue = backend.queue
    first = await running(queue)
    last = await submit_after(queue, first)
    due = backend.clock.now
    backend.clock.advance(-MINUTE)
    await complete(queue, first)
    stored = await get(queue, last.id)
    assert (stored.status, stored.run_at) == (_S.SCHEDULED, due)
    backend.clock.advance(MINUTE)
    assert (await claim_one(queue)).id == last.id


async def test_a_blocked_job_is_not_promoted_when_it_is_due(backend: Backend) -> None:
    queue = backend.queue
    first = await running(queue)
    last = await submit_after(queue, first, delay_ms=SECOND)
    backend.clock.advance(2 * SECOND)
    await sweep(queue)
    assert await claim(queue) == []
    assert await statuses(queue, [last]) == [_S.BLOCKED]
    await complete(queue, first)
    assert (await claim_one(queue)).id == last.id


async def test_a_blocked_job_expires_and_so_are_cancelled_those_that_wait_for_it(
    backend: Backend,
) -> None:
    queue = backend.queue
    first = await running(queue)
    late = await submit_after(queue, first, expires_ms=SECOND)
    last = await submit_after(queue, late)
    backend.clock.advance(SECOND)
    report = await sweep(queue)
    assert report.expired == 1
    assert (await get(queue, late.id)).reason == "expired"
    assert (await get(queue, last.id)).reason == f"job {late.id} that it waits for was cancelled"
    await complete(queue, first)
    assert await claim(queue) == []


async def test_a_job_freed_after_it_expired_never_starts(backend: Backend) -> None:
    queue = backend.queue
    first = await running(queue)
    late = await submit_after(queue, first, expires_ms=SECOND)
    backend.clock.advance(SECOND)
    await complete(queue, first)
    assert await claim(queue) == []
    await sweep(queue)
    assert (await get(queue, late.id)).reason == "expired"


async def test_a_blocked_job_has_no_time_to_live(backend: Backend) -> None:
    queue = backend.queue
    first = await submit(queue)
    last = await submit_after(queue, first)
    for _ in range(3):
        backend.clock.advance(DAY)
        await sweep(queue, results_ms=HOUR)
    backend.log_is_whole = False  # the events of days ago went as they should
    await complete(queue, await claim_one(queue))
    assert (await claim_one(queue)).id == last.id


# --- when what is awaited doesn't complete ------------------------------------------------------


async def test_a_failure_cancels_who_waits_and_those_who_wait_for_them(queue: Queue) -> None:
    first, (second, third) = await start_of_chain(queue, 3)
    await fail(queue, first)
    assert await statuses(queue, [first, second, third]) == [_S.FAILED, _S.CANCELLED, _S.CANCELLED]
    stored = await get(queue, second.id)
    assert stored.reason == f"job {first.id} that it waits for has failed"
    assert stored.finished_at == (await get(queue, first.id)).finished_at
    assert (await get(queue, third.id)).reason == f"job {second.id} that it waits for was cancelled"


async def test_a_cascade_is_told_in_order_in_the_step_that_began_it(queue: Queue) -> None:
    first, (second, third) = await start_of_chain(queue, 3)
    reader = Reader()
    await reader.read(queue)
    await fail(queue, first)
    (stored,) = await reader.read(queue)
    told = [(event.job_id, event.kind, event.seq) for event in stored.entry.events]
    assert told == [
        (first.id, EventKind.FAILED, 3),
        (second.id, EventKind.CANCELLED, 2),
        (third.id, EventKind.CANCELLED, 2),
    ]
    assert stored.entry.events[1].reason == f"job {first.id} that it waits for has failed"


async def test_cancelling_a_waiting_job_cancels_those_that_wait_for_it(queue: Queue) -> None:
    first = await submit(queue)
    second = await submit_after(queue, first)
    third = await submit_after(queue, second)
    assert await cancel(queue, first.id) == Action(Acted.DONE, _S.CANCELLED)
    assert await statuses(queue, [second, third]) == [_S.CANCELLED] * 2
    assert (await get(queue, second.id)).reason == f"job {first.id} that it waits for was cancelled"
    assert await claim(queue) == []


async def test_a_blocked_job_can_be_cancelled_and_is_not_freed_later(queue: Queue) -> None:
    first = await running(queue)
    second = await submit_after(queue, first)
    assert await cancel(queue, second.id, "enough") == Action(Acted.DONE, _S.CANCELLED)
    assert (await get(queue, second.id)).reason == "enough"
    await complete(queue, first)
    assert await kinds_of(queue, second.id) == [EventKind.SUBMITTED, EventKind.CANCELLED]
    assert await claim(queue) == []


async def test_of_a_chain_cancelled_in_one_batch_each_is_answered_in_order(queue: Queue) -> None:
    first = await submit(queue)
    second = await submit_after(queue, first)
    assert await queue.cancel([first.id, second.id], "enough") == [
        Action(Acted.DONE, _S.CANCELLED),
        Action(Acted.REFUSED, _S.CANCELLED),
    ]


async def test_asking_a_running_job_to_stop_cancels_nobody_until_it_does(queue: Queue) -> None:
    first = await running(queue)
    last = await submit_after(queue, first)
    await cancel(queue, first.id)
    assert await statuses(queue, [last]) == [_S.BLOCKED]
    await finish(queue, first, OutcomeKind.CANCEL)
    assert (await get(queue, last.id)).reason == f"job {first.id} that it waits for was cancelled"


async def test_a_job_that_returns_in_spite_of_a_cancel_frees_who_waits(queue: Queue) -> None:
    first = await running(queue)
    last = await submit_after(queue, first)
    await cancel(queue, first.id)
    await complete(queue, first)
    assert (await claim_one(queue)).id == last.id


async def test_an_expired_job_cancels_who_waits_for_it(backend: Backend) -> None:
    queue = backend.queue
    first = await submit(queue, expires_ms=SECOND)
    last = await submit_after(queue, first)
    backend.clock.advance(SECOND)
    await sweep(queue)
    assert (await get(queue, last.id)).reason == f"job {first.id} that it waits for was cancelled"


async def test_jobs_that_expire_in_one_sweep_have_expired_whoever_waits_for_whom(
    backend: Backend,
) -> None:
    queue = backend.queue
    first = await submit(queue, expires_ms=SECOND)
    second = await submit_after(queue, first, expires_ms=SECOND)
    last = await submit_after(queue, second)
    backend.clock.advance(SECOND)
    assert (await sweep(queue)).expired == 2
    assert [(await get(queue, job.id)).reason for job in (first, second)] == ["expired"] * 2
    assert (await get(queue, last.id)).reason == f"job {second.id} that it waits for was cancelled"


async def test_a_poisonous_job_cancels_who_waits_for_it(backend: Backend) -> None:
    queue = backend.queue
    first = await running(queue, max_deliveries=1)
    second = await submit_after(queue, first)
    third = await submit_after(queue, second)
    await let_leases_lapse(backend)
    assert await statuses(queue, [first, second, third]) == [_S.FAILED, _S.CANCELLED, _S.CANCELLED]
    assert (await get(queue, second.id)).reason == f"job {first.id} that it waits for has failed"


async def test_a_cancelled_job_whose_worker_died_cancels_who_waits_for_it(
    backend: Backend,
) -> None:
    queue = backend.queue
    first = await running(queue)
    last = await submit_after(queue, first)
    await cancel(queue, first.id)
    await let_leases_lapse(backend)
    assert (await get(queue, last.id)).reason == f"job {first.id} that it waits for was cancelled"


async def test_a_rescue_frees_and_cancels_nobody(backend: Backend) -> None:
    first = await running(backend.queue)
    last = await submit_after(backend.queue, first)
    await let_leases_lapse(backend)
    assert await statuses(backend.queue, [first, last]) == [_S.QUEUED, _S.BLOCKED]


async def test_a_zombies_outcome_frees_and_cancels_nobody(backend: Backend) -> None:
    queue = backend.queue
    zombie, successor = await rescued(backend)
    last = await submit_after(queue, zombie)
    assert await complete(queue, zombie) is Finished.STALE
    assert await fail(queue, zombie) is Finished.STALE
    assert await statuses(queue, [last]) == [_S.BLOCKED]
    await complete(queue, successor)
    assert (await claim_one(queue)).id == last.id


async def test_an_outcome_told_twice_frees_once(queue: Queue) -> None:
    first = await running(queue)
    last = await submit_after(queue, first)
    assert await complete(queue, first) is Finished.OK
    held = await claim_one(queue)
    assert await complete(queue, first) is Finished.ALREADY
    assert await complete(queue, held) is Finished.OK
    assert (await get(queue, last.id)).seq == 4


async def test_a_result_that_is_not_json_cancels_who_waits(queue: Queue) -> None:
    first = await running(queue)
    last = await submit_after(queue, first)
    await complete(queue, first, b"not json")
    assert (await get(queue, last.id)).reason == f"job {first.id} that it waits for has failed"


async def test_the_first_to_fail_is_the_reason(queue: Queue) -> None:
    one, other = await running(queue), await running(queue)
    last = await submit_after(queue, one, other)
    await fail(queue, other)
    await fail(queue, one)
    assert (await get(queue, last.id)).reason == f"job {other.id} that it waits for has failed"


@pytest.mark.parametrize("end", ["failed", "cancelled"])
async def test_a_job_that_waits_for_what_has_ended_otherwise_is_kept_and_cancelled_at_once(
    queue: Queue, end: str
) -> None:
    if end == "failed":
        ended: NewJob | Job = await failed(queue)
    else:
        ended = await submit(queue)
        await cancel(queue, ended.id)
    words = "has failed" if end == "failed" else "was cancelled"
    reader = Reader()
    await reader.read(queue)
    active = await running(queue)
    job = await submit_after(queue, active, ended)

    stored = await get(queue, job.id)
    assert (stored.status, stored.seq) == (_S.CANCELLED, 2)
    assert stored.reason == f"job {ended.id} that it waits for {words}"
    assert stored.finished_at == stored.submitted_at
    submitted, cancelled = (await reader.read(queue))[-1].entry.events
    assert (submitted.kind, submitted.status) == (EventKind.SUBMITTED, _S.BLOCKED)
    assert (cancelled.kind, cancelled.reason) == (EventKind.CANCELLED, stored.reason)
    (done,) = await queue.wait_finished([job.id], 0)
    assert done == stored
    await complete(queue, active)
    assert await claim(queue) == []


async def test_what_waits_for_a_job_cancelled_at_its_submission_is_cancelled_too(
    queue: Queue,
) -> None:
    ended = await failed(queue)
    one = a_job(after=(ended.id,))
    other = a_job(after=(one.id,))
    await queue.submit([one, other])
    assert await statuses(queue, [one, other]) == [_S.CANCELLED] * 2
    assert (await get(queue, other.id)).reason == f"job {one.id} that it waits for was cancelled"


# --- what can be waited for ----------------------------------------------------------------------


async def test_an_id_that_is_not_stored_is_refused_and_nothing_of_the_batch_is_kept(
    queue: Queue,
) -> None:
    first, lost, last = a_job(key="k"), a_job(after=("nobody",)), a_job()
    with pytest.raises(DependencyNotFoundError, match="'nobody'") as caught:
        await queue.submit([first, lost, last])
    assert (caught.value.job_id, caught.value.awaited) == (lost.id, "nobody")
    assert await queue.get([first.id, lost.id, last.id]) == [None] * 3
    assert await events_of(queue) == []
    assert await queue.submit([a_job(id="free", key="k")]) == [Submitted("free")]


async def test_jobs_of_one_batch_can_wait_for_earlier_ones_only(queue: Queue) -> None:
    first = a_job()
    second = a_job(after=(first.id,))
    with pytest.raises(DependencyNotFoundError):
        await queue.submit([second, first])
    assert await queue.get([first.id, second.id]) == [None, None]
    assert await queue.submit([first, second]) == [Submitted(first.id), Submitted(second.id)]
    assert await statuses(queue, [first, second]) == [_S.QUEUED, _S.BLOCKED]


async def test_a_job_that_names_more_than_it_may_is_refused(queue: Queue) -> None:
    job = await submit(queue)
    with pytest.raises(QueueError, match=f"{MAX_AFTER:,}"):
        await queue.submit([a_job(after=(job.id,) * (MAX_AFTER + 1))])


async def test_a_job_cannot_wait_for_itself(queue: Queue) -> None:
    with pytest.raises(DependencyNotFoundError):
        await queue.submit([a_job(id="me", after=("me",))])
    assert await queue.get(["me"]) == [None]


async def test_a_duplicate_in_the_batch_is_not_stored_and_cannot_be_waited_for(
    queue: Queue,
) -> None:
    held = await submit(queue, key="k")
    duplicate = a_job(key="k")
    with pytest.raises(DependencyNotFoundError):
        await queue.submit([duplicate, a_job(after=(duplicate.id,))])
    await queue.submit([duplicate, a_job(id="last", after=(held.id,))])
    assert (await get(queue, "last")).status is _S.BLOCKED


async def test_a_refused_batch_harms_no_submit_that_is_under_way_beside_it(queue: Queue) -> None:
    good = [a_job() for _ in range(10)]
    bad = a_job(after=("nobody",))
    answers = await asyncio.gather(
        *(queue.submit([job]) for job in [*good[:5], bad, *good[5:]]), return_exceptions=True
    )
    assert isinstance(answers.pop(5), DependencyNotFoundError)
    assert answers == [[Submitted(job.id)] for job in good]


async def test_start_refuses_a_job_that_waits(queue: Queue) -> None:
    first = await submit(queue)
    with pytest.raises(QueueError, match="after"):
        await queue.start(a_job(id="now", after=(first.id,)), "w1", DEFAULT_LEASE_MS)
    assert await queue.get(["now"]) == [None]


# --- repeats and keys ----------------------------------------------------------------------------


async def test_a_repeated_submit_of_a_job_that_waits_has_no_effect(queue: Queue) -> None:
    first = await running(queue)
    last = await submit_after(queue, first)
    assert await queue.submit([last]) == [Submitted(last.id)]
    await complete(queue, first)
    assert await queue.submit([last]) == [Submitted(last.id)]
    await delete(queue, first.id)
    assert await queue.submit([last]) == [Submitted(last.id)]
    assert await kinds_of(queue, last.id) == [EventKind.SUBMITTED, EventKind.UNBLOCKED]


async def test_an_id_with_another_after_is_a_conflict(queue: Queue) -> None:
    one, other = await submit(queue), await submit(queue)
    last = await submit_after(queue, one)
    for after in ((), (other.id,), (one.id, other.id), (one.id, one.id)):
        with pytest.raises(SubmitConflictError):
            await queue.submit([msgspec.structs.replace(last, after=after)])
    with pytest.raises(SubmitConflictError):
        await queue.submit([msgspec.structs.replace(one, after=(other.id,))])


async def test_a_blocked_job_holds_its_key(queue: Queue) -> None:
    first = await running(queue)
    last = await submit_after(queue, first, key="k")
    assert await queue.submit([a_job(key="k", after=("nobody",))]) == [
        Submitted(last.id, duplicate=True)
    ]
    await fail(queue, first)
    await submit(queue, key="k")


async def test_a_job_cancelled_at_its_submission_holds_no_key(queue: Queue) -> None:
    await submit_after(queue, await failed(queue), key="k")
    await submit(queue, key="k")


# --- retry and delete ----------------------------------------------------------------------------


async def test_a_job_that_waits_for_a_failed_one_can_be_retried_only_after_that_one(
    queue: Queue,
) -> None:
    first, (second, third) = await start_of_chain(queue, 3)
    await fail(queue, first)
    assert await retry(queue, second.id) == Action(Acted.DEPENDENCY, _S.CANCELLED)
    assert await queue.retry([first.id, second.id, third.id]) == [
        Action(Acted.DONE, _S.QUEUED),
        Action(Acted.DONE, _S.BLOCKED),
        Action(Acted.DONE, _S.BLOCKED),
    ]
    stored = await get(queue, second.id)
    assert (stored.status, stored.generation, stored.reason) == (_S.BLOCKED, 2, None)
    assert stored.finished_at is None
    event = (await events_of(queue, second.id))[-1]
    assert (event.kind, event.status) == (EventKind.REQUEUED, _S.BLOCKED)
    for job in (first, second, third):
        held = await claim_one(queue)
        assert held.id == job.id
        await complete(queue, held)


async def test_a_retry_that_fails_again_cancels_the_retried_dependants_again(
    queue: Queue,
) -> None:
    first, (second,) = await start_of_chain(queue, 2)
    await fail(queue, first)
    await queue.retry([first.id, second.id])
    await fail(queue, await claim_one(queue))
    assert await statuses(queue, [first, second]) == [_S.FAILED, _S.CANCELLED]
    assert (await get(queue, second.id)).generation == 2


async def test_retrying_what_failed_wakes_no_dependant_by_itself(queue: Queue) -> None:
    first, (second,) = await start_of_chain(queue, 2)
    await fail(queue, first)
    await retry(queue, first.id)
    await complete(queue, await claim_one(queue))
    assert await statuses(queue, [second]) == [_S.CANCELLED]
    assert await claim(queue) == []
    assert await retry(queue, second.id) == Action(Acted.DONE, _S.QUEUED)
    assert (await claim_one(queue)).id == second.id


async def test_a_retried_job_waits_once_for_an_id_named_twice(queue: Queue) -> None:
    first = await running(queue)
    last = await submit_after(queue, first, first)
    await cancel(queue, last.id)
    assert await retry(queue, last.id) == Action(Acted.DONE, _S.BLOCKED)
    await complete(queue, first)
    held = await claim_one(queue)
    assert (held.id, held.after) == (last.id, (first.id, first.id))


async def test_a_cancelled_job_is_blocked_again_while_what_it_waits_for_is_unfinished(
    queue: Queue,
) -> None:
    first = await running(queue)
    last = await submit_after(queue, first)
    await cancel(queue, last.id)
    assert await retry(queue, last.id) == Action(Acted.DONE, _S.BLOCKED)
    await complete(queue, first)
    assert (await claim_one(queue)).id == last.id


async def test_what_completed_and_was_forgotten_counts_as_completed(backend: Backend) -> None:
    queue = backend.queue
    deleted, aged = await running(queue), await running(queue)
    active = await submit(queue, function="other")
    last = await submit_after(queue, deleted, aged, active)
    await complete(queue, deleted)
    await delete(queue, deleted.id)
    await complete(queue, aged)
    backend.clock.advance(HOUR)
    await sweep(queue, results_ms=HOUR)
    assert await queue.get([deleted.id, aged.id]) == [None, None]

    await cancel(queue, last.id)
    assert await retry(queue, last.id) == Action(Acted.DONE, _S.BLOCKED)
    await complete(queue, await claim_one(queue, functions=("other",)))
    assert (await claim_one(queue)).id == last.id


async def test_a_job_whose_dependency_failed_and_is_gone_cannot_be_retried(queue: Queue) -> None:
    first = await running(queue)
    last = await submit_after(queue, first)
    await fail(queue, first)
    await delete(queue, first.id)
    assert await retry(queue, last.id) == Action(Acted.DEPENDENCY, _S.CANCELLED)
    assert await statuses(queue, [last]) == [_S.CANCELLED]


async def test_a_job_that_ran_and_failed_is_retried_though_its_dependencies_are_gone(
    queue: Queue,
) -> None:
    first = await running(queue)
    last = await submit_after(queue, first)
    await complete(queue, first)
    await fail(queue, await claim_one(queue))
    await delete(queue, first.id)
    assert await retry(queue, last.id) == Action(Acted.DONE, _S.QUEUED)
    assert (await claim_one(queue)).id == last.id


async def test_a_job_of_the_same_id_that_completed_counts_though_it_is_gone(queue: Queue) -> None:
    first = await running(queue)
    last = await submit_after(queue, first)
    await fail(queue, first)
    await delete(queue, first.id)
    await completed(queue, id=first.id)
    await delete(queue, first.id)
    assert await retry(queue, last.id) == Action(Acted.DONE, _S.QUEUED)
    assert (await claim_one(queue)).id == last.id


# Processes of an older version, which know of no dependants, end jobs without a look at them.


@pytest.mark.parametrize("swept", [False, True])
@pytest.mark.parametrize("kind", [OutcomeKind.COMPLETE, OutcomeKind.FAIL])
async def test_a_job_is_not_forgotten_before_those_who_still_wait_for_it_are_seen_to(
    backend: Backend, kind: OutcomeKind, swept: bool
) -> None:
    queue = backend.queue
    first = await running(queue)
    second = await submit_after(queue, first)
    third = await submit_after(queue, second)
    with backend.hide_dependants(first.id):
        await finish(queue, first, kind)
    assert await statuses(queue, [second, third]) == [_S.BLOCKED, _S.BLOCKED]
    if swept:
        backend.clock.advance(2 * HOUR)
        assert (await sweep(queue, results_ms=HOUR)).purged == 1
    else:
        assert await queue.delete([first.id, third.id]) == [
            Action(Acted.DONE),
            Action(Acted.REFUSED, _S.BLOCKED)
            if kind is OutcomeKind.COMPLETE
            else Action(Acted.DONE),
        ]
    if kind is OutcomeKind.COMPLETE:
        assert await statuses(queue, [first, second, third]) == [None, _S.QUEUED, _S.BLOCKED]
        assert (await claim_one(queue)).id == second.id
    else:
        left = _S.CANCELLED if swept else None
        assert await statuses(queue, [first, second, third]) == [None, _S.CANCELLED, left]


@pytest.mark.parametrize("kind", [OutcomeKind.COMPLETE, OutcomeKind.FAIL])
async def test_an_unreadable_dependant_keeps_nobody_from_the_end(
    backend: Backend, kind: OutcomeKind
) -> None:
    queue = backend.queue
    first = await running(queue)
    bad = await submit_after(queue, first)
    good = await submit_after(queue, first)
    backend.garble(bad.id)
    assert await finish(queue, first, kind) is Finished.OK
    ended = kind is OutcomeKind.COMPLETE
    assert await statuses(queue, [first, good]) == (
        [_S.COMPLETED, _S.QUEUED] if ended else [_S.FAILED, _S.CANCELLED]
    )
    assert [job.id for job in await claim(queue)] == ([good.id] if ended else [])


async def test_a_retried_dependant_takes_its_key_again(queue: Queue) -> None:
    first = await running(queue)
    last = await submit_after(queue, first, key="k")
    await cancel(queue, last.id)
    other = await submit(queue, key="k")
    assert await retry(queue, last.id) == Action(Acted.KEY_TAKEN, _S.CANCELLED)
    await cancel(queue, other.id)
    assert await retry(queue, last.id) == Action(Acted.DONE, _S.BLOCKED)
    assert await queue.submit([a_job(key="k")]) == [Submitted(last.id, duplicate=True)]


async def test_a_blocked_job_cannot_be_retried_or_deleted(queue: Queue) -> None:
    last = await submit_after(queue, await running(queue))
    assert await retry(queue, last.id) == Action(Acted.REFUSED, _S.BLOCKED)
    assert await delete(queue, last.id) == Action(Acted.REFUSED, _S.BLOCKED)


async def test_a_deleted_dependant_leaves_nothing_behind(queue: Queue) -> None:
    first = await running(queue)
    last = await submit_after(queue, first)
    await cancel(queue, last.id)
    await delete(queue, last.id)
    again = await submit(queue, id=last.id)
    assert (await get(queue, again.id)).after == ()
    await cancel(queue, again.id)
    assert await retry(queue, again.id) == Action(Acted.DONE, _S.QUEUED)
    await complete(queue, first)
    held = await claim_one(queue)
    assert (held.id, held.seq) == (again.id, 4)


async def test_an_id_that_was_freed_and_used_again_is_waited_for_as_the_new_job(
    queue: Queue,
) -> None:
    first = await running(queue)
    last = await submit_after(queue, first)
    await fail(queue, first)
    await delete(queue, first.id)
    await submit(queue, id=first.id)
    assert await retry(queue, last.id) == Action(Acted.DONE, _S.BLOCKED)
    await complete(queue, await claim_one(queue))
    assert (await claim_one(queue)).id == last.id


# --- looking -------------------------------------------------------------------------------------


async def test_blocked_jobs_are_found_and_counted(queue: Queue) -> None:
    first = await running(queue)
    waiting = [await submit_after(queue, first) for _ in range(2)]
    page = await queue.find(JobFilter(statuses=(_S.BLOCKED,)))
    assert ([job.id for job in page.items], page.total) == ([job.id for job in waiting[::-1]], 2)
    assert page.items[0].after == (first.id,)
    assert await queue.queues() == [QueueInfo(name="default", running=1, blocked=2)]
    await cancel(queue, waiting[0].id)
    await complete(queue, first)
    (info,) = await queue.queues()
    assert (info.blocked, info.queued, info.running) == (0, 1, 0)


async def test_a_queue_that_has_only_blocked_jobs_is_listed(queue: Queue) -> None:
    await submit_after(queue, await submit(queue), queue="later")
    assert QueueInfo(name="later", blocked=1) in await queue.queues()


async def test_a_claimed_job_tells_what_it_waited_for(queue: Queue) -> None:
    first = await running(queue)
    await submit_after(queue, first)
    await complete(queue, first)
    assert (await claim_one(queue)).after == (first.id,)


async def test_who_waits_for_the_end_of_a_blocked_job_hears_of_a_cascade(
    backend: Backend,
) -> None:
    queue, other = backend.queue, await backend.second()
    first, (_, third) = await start_of_chain(queue, 3)
    waiting = asyncio.create_task(other.wait_finished([third.id], 3600))
    await asyncio.wait({waiting}, timeout=0.1)
    await fail(queue, first)
    (ended,) = await asyncio.wait_for(waiting, PATIENCE)
    assert (ended.id, ended.status) == (third.id, _S.CANCELLED)


async def test_blocked_jobs_outlive_a_restart(backend: Backend) -> None:
    first = await submit(backend.queue)
    last = await submit_after(backend.queue, first)
    queue = await backend.reopen()
    await complete(queue, await claim_one(queue))
    assert (await claim_one(queue)).id == last.id


# --- many ----------------------------------------------------------------------------------------


async def test_a_diamond_runs_from_its_top_to_its_foot(queue: Queue) -> None:
    top = a_job()
    left, right = a_job(after=(top.id,)), a_job(after=(top.id,))
    foot = a_job(after=(left.id, right.id))
    await queue.submit([top, left, right, foot])
    await complete(queue, await claim_one(queue))
    sides = await claim(queue)
    assert {job.id for job in sides} == {left.id, right.id}
    ended = [Outcome(lease=lease(job), kind=OutcomeKind.COMPLETE) for job in sides]
    assert await queue.finish(ended) == [Finished.OK] * 2
    assert (await claim_one(queue)).id == foot.id
    assert (await kinds_of(queue, foot.id)).count(EventKind.UNBLOCKED) == 1


async def test_a_diamond_with_one_failed_side_ends_as_cancelled_once(queue: Queue) -> None:
    top = a_job()
    left, right = a_job(after=(top.id,)), a_job(after=(top.id,))
    foot = a_job(after=(left.id, right.id))
    await queue.submit([top, left, right, foot])
    await complete(queue, await claim_one(queue))
    one, other = await claim(queue)
    await queue.finish(
        [
            Outcome(lease=lease(one), kind=OutcomeKind.COMPLETE),
            Outcome(lease=lease(other), kind=OutcomeKind.FAIL, error=BOOM),
        ]
    )
    assert (await get(queue, foot.id)).reason == f"job {other.id} that it waits for has failed"
    assert await kinds_of(queue, foot.id) == [EventKind.SUBMITTED, EventKind.CANCELLED]


async def test_two_failures_in_one_batch_cancel_once_for_the_first(queue: Queue) -> None:
    one, other = await running(queue), await running(queue)
    last = await submit_after(queue, one, other)
    await queue.finish(
        [Outcome(lease=lease(job), kind=OutcomeKind.FAIL, error=BOOM) for job in (other, one)]
    )
    assert (await get(queue, last.id)).reason == f"job {other.id} that it waits for has failed"
    assert await kinds_of(queue, last.id) == [EventKind.SUBMITTED, EventKind.CANCELLED]


async def test_a_batch_of_outcomes_frees_and_cancels_for_each(queue: Queue) -> None:
    jobs = [await running(queue) for _ in range(6)]
    waiting = [await submit_after(queue, job) for job in jobs]
    kinds = [OutcomeKind.COMPLETE, OutcomeKind.FAIL] * 3
    await queue.finish(
        [Outcome(lease=lease(job), kind=kind) for job, kind in zip(jobs, kinds, strict=True)]
    )
    assert await statuses(queue, waiting) == [_S.QUEUED, _S.CANCELLED] * 3


async def test_a_chain_of_a_hundred_is_cancelled_in_one_step(queue: Queue) -> None:
    first, others = await start_of_chain(queue, 100)
    reader = Reader()
    await reader.read(queue)
    await fail(queue, first)
    assert await statuses(queue, others) == [_S.CANCELLED] * 99
    told = [event.job_id for entry in await reader.read(queue) for event in entry.entry.events]
    assert told == [first.id, *(job.id for job in others)]


async def test_a_chain_of_a_hundred_runs_in_order(queue: Queue) -> None:
    first, others = await start_of_chain(queue, 100)
    await complete(queue, first)
    for job in others:
        held = await claim_one(queue)
        assert held.id == job.id
        await complete(queue, held)


async def test_one_job_waits_for_a_thousand(queue: Queue) -> None:
    jobs = [a_job() for _ in range(MAX_AFTER)]
    last = a_job(after=tuple(job.id for job in jobs))
    await queue.submit([*jobs, last])
    left = MAX_AFTER
    while left:
        held = await claim(queue, limit=250)
        assert last.id not in [job.id for job in held]
        left -= len(held)
        await queue.finish([Outcome(lease=lease(j), kind=OutcomeKind.COMPLETE) for j in held])
    assert (await claim_one(queue)).id == last.id


@pytest.mark.parametrize("kind", [OutcomeKind.COMPLETE, OutcomeKind.FAIL])
async def test_a_thousand_jobs_wait_for_one(queue: Queue, kind: OutcomeKind) -> None:
    first = await running(queue)
    jobs = [a_job(after=(first.id,)) for _ in range(1000)]
    await queue.submit(jobs)
    assert await finish(queue, first, kind) is Finished.OK
    expected = _S.QUEUED if kind is OutcomeKind.COMPLETE else _S.CANCELLED
    assert await statuses(queue, jobs) == [expected] * 1000
    free = await claim(queue, limit=2000)
    assert [job.id for job in free] == ([job.id for job in jobs] if expected is _S.QUEUED else [])


async def test_a_submit_racing_with_the_end_of_what_it_waits_for_never_hangs(
    backend: Backend,
) -> None:
    queue, other = backend.queue, await backend.second()
    jobs = [await running(queue) for _ in range(20)]
    waiting = [a_job(after=(job.id,)) for job in jobs]
    await asyncio.gather(
        *(complete(queue, job) for job in jobs), *(other.submit([job]) for job in waiting)
    )
    assert await statuses(queue, waiting) == [_S.QUEUED] * 20
