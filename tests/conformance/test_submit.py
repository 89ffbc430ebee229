"""submit and start."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from conduit.core.errors import RefusedError, SubmitConflictError
from conduit.core.events import EventKind
from conduit.core.model import Job, JobStatus
from conduit.core.transitions import OutcomeKind
from conduit.queue.base import DEFAULT_LEASE_MS, Acted, JobFilter, Queue, Submitted
from tests.conformance.backends import Backend
from tests.conformance.builders import (
    DAY,
    HOUR,
    MINUTE,
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
    let_leases_lapse,
    retry,
    running,
    submit,
    sweep,
)
from tests.conformance.history import events_of, kinds_of


async def test_a_submitted_job_is_stored_as_it_was_given(backend: Backend) -> None:
    new = a_job(
        function="charge",
        queue="money",
        args=b'{"cents":9007199254740993,"tags":[],"name":"\xc3\xa9"}',
        priority=7,
        key="order-1",
        timeout_ms=2000,
        retries=4,
        max_deliveries=5,
        expires_ms=HOUR,
        metadata=b'{"tenant":"a"}',
        parent_id="parent",
        root_id="root",
        headers={"traceparent": "00-ab-cd-01", "baggage": "\0é"},
    )
    await backend.queue.submit([new])

    assert await get(backend.queue, new.id) == Job(
        id=new.id,
        function="charge",
        queue="money",
        status=JobStatus.QUEUED,
        args=new.args,
        priority=7,
        key="order-1",
        parent_id="parent",
        root_id="root",
        retries=4,
        timeout_ms=2000,
        max_deliveries=5,
        submitted_at=backend.clock.now,
        run_at=backend.clock.now,
        expires_at=backend.clock.now + HOUR,
        metadata=b'{"tenant":"a"}',
        headers={"traceparent": "00-ab-cd-01", "baggage": "\0é"},
    )


async def test_headers_travel_with_a_job_through_its_whole_life(backend: Backend) -> None:
    queue, headers = backend.queue, {"traceparent": "00-ab-cd-01"}
    new = await submit(queue, headers=headers)
    (told,) = await events_of(queue, new.id)
    assert told.submission is not None
    assert told.submission.headers == headers
    first = await claim_one(queue)
    assert first.headers == headers
    await let_leases_lapse(backend)
    again = await claim_one(queue)
    assert (again.headers, again.fence) == (headers, 2)
    await fail(queue, again)
    await retry(queue, new.id)
    assert (await claim_one(queue)).headers == headers


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({"a": "x" * 4089}, "its headers take 4,097 bytes as JSON; they may take 4,096"),
        ({"a": 1}, "its headers must be a dict of text"),
        ({"a": "\ud800"}, "its headers must be a dict of text"),
        (["a"], "its headers must be a dict of text"),
    ],
)
async def test_headers_that_are_no_small_dict_of_text_are_refused(
    queue: Queue, headers: Any, words: str
) -> None:
    job = a_job(headers=headers)
    with pytest.raises(RefusedError, match=words):
        await queue.submit([job])
    assert await queue.get([job.id]) == [None]
    await queue.submit([a_job(headers={"a": "x" * 4088})])


async def test_a_batch_is_answered_in_order(queue: Queue) -> None:
    jobs = [a_job() for _ in range(5)]
    assert await queue.submit(jobs) == [Submitted(job.id) for job in jobs]
    assert [job and job.id for job in await queue.get([job.id for job in jobs])] == [
        job.id for job in jobs
    ]


async def test_an_empty_batch_is_fine(queue: Queue) -> None:
    assert await queue.submit([]) == []


# --- repeats and conflicts --------------------------------------------------------------------


async def test_submitting_an_id_again_has_no_effect(queue: Queue) -> None:
    job = await submit(queue)
    assert await queue.submit([job]) == [Submitted(job.id)]
    assert await kinds_of(queue, job.id) == [EventKind.SUBMITTED]
    assert len(await claim(queue)) == 1


async def test_submitting_the_id_of_a_running_or_finished_job_has_no_effect(queue: Queue) -> None:
    job = await submit(queue)
    held = await claim_one(queue)
    assert await queue.submit([job]) == [Submitted(job.id)]
    await complete(queue, held)
    assert await queue.submit([job]) == [Submitted(job.id)]
    assert (await get(queue, job.id)).status is JobStatus.COMPLETED
    assert await claim(queue) == []


async def test_an_id_twice_in_one_batch_is_one_job(queue: Queue) -> None:
    job = a_job()
    assert await queue.submit([job, job]) == [Submitted(job.id), Submitted(job.id)]
    assert await kinds_of(queue, job.id) == [EventKind.SUBMITTED]


@pytest.mark.parametrize(
    "change", [{"function": "other"}, {"queue": "other"}, {"args": b'{"n":2}'}], ids=str
)
async def test_an_id_with_other_contents_is_a_conflict_and_nothing_of_the_batch_is_kept(
    queue: Queue, change: dict[str, object]
) -> None:
    stored = await submit(queue)
    before, after = a_job(), a_job(key="k")

    with pytest.raises(SubmitConflictError):
        await queue.submit([before, msgspec.structs.replace(stored, **change), after])

    assert await queue.get([before.id, after.id]) == [None, None]
    assert len(await events_of(queue)) == 1
    assert await queue.submit([a_job(id="free", key="k")]) == [Submitted("free")]


async def test_a_conflict_within_one_batch_keeps_nothing_of_it(queue: Queue) -> None:
    job = a_job(args=b"{}")
    with pytest.raises(SubmitConflictError):
        await queue.submit([job, msgspec.structs.replace(job, args=b'{"n":2}')])
    assert await queue.get([job.id]) == [None]


async def test_a_conflict_harms_no_submit_that_is_under_way_beside_it(queue: Queue) -> None:
    stored = await submit(queue)
    clash = msgspec.structs.replace(stored, function="other")
    good = [a_job() for _ in range(20)]

    answers = await asyncio.gather(
        *(queue.submit([job]) for job in [*good[:10], clash, *good[10:]]), return_exceptions=True
    )

    assert isinstance(answers.pop(10), SubmitConflictError)
    assert answers == [[Submitted(job.id)] for job in good]
    assert (await queue.find(JobFilter())).total == 21


# --- keys -------------------------------------------------------------------------------------


async def test_a_second_job_with_a_held_key_gets_the_first_ones_id(queue: Queue) -> None:
    first = await submit(queue, key="k")
    second = a_job(key="k")
    assert await queue.submit([second]) == [Submitted(first.id, duplicate=True)]
    assert await queue.get([second.id]) == [None]
    assert len(await claim(queue)) == 1


async def test_the_holder_submitted_again_is_no_duplicate(queue: Queue) -> None:
    job = await submit(queue, key="k")
    assert await queue.submit([job]) == [Submitted(job.id)]


async def test_a_key_spans_functions_and_queues(queue: Queue) -> None:
    first = await submit(queue, key="k", function="a", queue="x")
    other = a_job(key="k", function="b", queue="y")
    assert await queue.submit([other]) == [Submitted(first.id, duplicate=True)]


async def test_a_duplicate_within_one_batch_gets_the_first_ones_id(queue: Queue) -> None:
    first, second, free = a_job(key="k"), a_job(key="k"), a_job(key="other")
    assert await queue.submit([first, second, free]) == [
        Submitted(first.id),
        Submitted(first.id, duplicate=True),
        Submitted(free.id),
    ]


async def test_duplicates_and_fresh_jobs_mix_in_one_batch(queue: Queue) -> None:
    held = await submit(queue, key="k")
    fresh, duplicate, keyed = a_job(), a_job(key="k"), a_job(key="new")
    assert await queue.submit([fresh, duplicate, held, keyed]) == [
        Submitted(fresh.id),
        Submitted(held.id, duplicate=True),
        Submitted(held.id),
        Submitted(keyed.id),
    ]
    assert (await queue.find(JobFilter())).total == 3


async def test_a_key_is_held_through_runs_and_retries(backend: Backend) -> None:
    queue = backend.queue
    first = await running(queue, key="k")
    duplicate = [Submitted(first.id, duplicate=True)]
    assert await queue.submit([a_job(key="k")]) == duplicate
    await finish(queue, first, OutcomeKind.RETRY_LATER, delay_ms=SECOND)
    assert await queue.submit([a_job(key="k")]) == duplicate
    backend.clock.advance(SECOND)
    await claim_one(queue)
    await let_leases_lapse(backend)
    assert await queue.submit([a_job(key="k")]) == duplicate


async def test_completing_releases_the_key(queue: Queue) -> None:
    await completed(queue, key="k")
    await submit(queue, key="k")


async def test_failing_releases_the_key(queue: Queue) -> None:
    await failed(queue, key="k")
    await submit(queue, key="k")


async def test_cancelling_releases_the_key(queue: Queue) -> None:
    job = await submit(queue, key="k")
    await cancel(queue, job.id)
    await submit(queue, key="k")


async def test_expiring_releases_the_key(backend: Backend) -> None:
    await submit(backend.queue, key="k", expires_ms=SECOND)
    backend.clock.advance(2 * SECOND)
    await sweep(backend.queue)
    await submit(backend.queue, key="k")


async def test_a_poisonous_job_releases_its_key(backend: Backend) -> None:
    await running(backend.queue, key="k", max_deliveries=1)
    await let_leases_lapse(backend)
    await submit(backend.queue, key="k")


async def test_a_key_is_kept_for_its_window_after_the_submission(backend: Backend) -> None:
    queue = backend.queue
    job = await completed(queue, key="k", unique_ms=HOUR)
    backend.clock.advance(HOUR - 1)
    assert await queue.submit([a_job(key="k")]) == [Submitted(job.id, duplicate=True)]
    backend.clock.advance(2)
    await submit(queue, key="k")


async def test_a_window_does_not_end_the_hold_of_an_unfinished_job(backend: Backend) -> None:
    job = await submit(backend.queue, key="k", unique_ms=SECOND)
    backend.clock.advance(MINUTE)
    assert await backend.queue.submit([a_job(key="k")]) == [Submitted(job.id, duplicate=True)]


async def test_a_window_outlives_the_retention_of_results(backend: Backend) -> None:
    job = await completed(backend.queue, key="k", unique_ms=2 * DAY)
    backend.clock.advance(DAY + HOUR)
    await sweep(backend.queue, results_ms=HOUR)
    answer = await backend.queue.submit([a_job(key="k")])
    assert answer == [Submitted(job.id, duplicate=True)]


async def test_deleting_a_job_frees_its_key_within_the_window(queue: Queue) -> None:
    job = await completed(queue, key="k", unique_ms=HOUR)
    await delete(queue, job.id)
    await submit(queue, key="k")


async def test_an_old_holder_does_not_release_its_successors_key(queue: Queue) -> None:
    old = await failed(queue, key="k")
    new = await submit(queue, key="k")
    await delete(queue, old.id)
    assert await queue.submit([a_job(key="k")]) == [Submitted(new.id, duplicate=True)]


async def test_a_late_repeat_of_a_submit_is_told_its_own_id_though_the_key_went_on(
    queue: Queue,
) -> None:
    first = await submit(queue, key="k")
    await fail(queue, await claim_one(queue))
    await submit(queue, key="k")
    assert await queue.submit([first]) == [Submitted(first.id)]


async def test_a_retried_job_holds_its_key_again(queue: Queue) -> None:
    job = await failed(queue, key="k")
    assert (await retry(queue, job.id)).acted is Acted.DONE
    assert await queue.submit([a_job(key="k")]) == [Submitted(job.id, duplicate=True)]


# --- delay and expiry -------------------------------------------------------------------------


async def test_a_delayed_job_waits_until_it_is_due(backend: Backend) -> None:
    queue = backend.queue
    job = await submit(queue, delay_ms=MINUTE)
    stored = await get(queue, job.id)
    assert (stored.status, stored.run_at) == (JobStatus.SCHEDULED, backend.clock.now + MINUTE)

    backend.clock.advance(MINUTE - 1)
    assert await claim(queue) == []
    backend.clock.advance(1)
    assert (await claim_one(queue)).id == job.id


async def test_run_at_is_absolute_and_wins_over_a_delay(backend: Backend) -> None:
    due = backend.clock.now + HOUR
    job = await submit(backend.queue, run_at=due, delay_ms=SECOND)
    stored = await get(backend.queue, job.id)
    assert (stored.status, stored.run_at) == (JobStatus.SCHEDULED, due)


async def test_a_run_at_in_the_past_is_queued_at_once(backend: Backend) -> None:
    job = await submit(backend.queue, run_at=backend.clock.now - HOUR)
    assert (await claim_one(backend.queue)).id == job.id


async def test_an_expired_job_never_starts_even_without_a_sweep(backend: Backend) -> None:
    queue = backend.queue
    expired = await submit(queue, expires_ms=MINUTE)
    fresh = await submit(queue)
    backend.clock.advance(MINUTE)
    assert (await claim_one(queue)).id == fresh.id

    await sweep(queue)
    stored = await get(queue, expired.id)
    assert (stored.status, stored.reason) == (JobStatus.CANCELLED, "expired")
    assert stored.finished_at == backend.clock.now


async def test_expired_jobs_do_not_use_up_a_claims_limit(backend: Backend) -> None:
    queue = backend.queue
    await queue.submit([a_job(expires_ms=MINUTE) for _ in range(5)])
    fresh = await submit(queue)
    backend.clock.advance(MINUTE)
    assert (await claim_one(queue, limit=1)).id == fresh.id


async def test_a_job_can_start_until_it_expires(backend: Backend) -> None:
    job = await submit(backend.queue, expires_ms=MINUTE)
    backend.clock.advance(MINUTE - 1)
    assert (await claim_one(backend.queue)).id == job.id


async def test_a_running_job_does_not_expire(backend: Backend) -> None:
    job = await running(backend.queue, expires_ms=SECOND)
    backend.clock.advance(2 * SECOND)
    await sweep(backend.queue)
    await complete(backend.queue, job)
    assert (await get(backend.queue, job.id)).status is JobStatus.COMPLETED


async def test_a_job_that_expires_before_it_is_due_never_starts(backend: Backend) -> None:
    queue = backend.queue
    job = await submit(queue, delay_ms=HOUR, expires_ms=MINUTE)
    backend.clock.advance(2 * HOUR)
    assert await claim(queue) == []
    await sweep(queue)
    assert (await get(queue, job.id)).reason == "expired"


async def test_unfinished_jobs_have_no_time_to_live(backend: Backend) -> None:
    queue = backend.queue
    delayed = await submit(queue, delay_ms=30 * DAY)
    waiting = await submit(queue, function="nobody_runs_this")
    for _ in range(30):
        backend.clock.advance(DAY)
        await sweep(queue, results_ms=HOUR, events_ms=HOUR)
    backend.log_is_whole = False  # the events of a month ago went as they should

    assert (await claim_one(queue)).id == delayed.id
    assert (await get(queue, waiting.id)).status is JobStatus.QUEUED


# --- start ------------------------------------------------------------------------------------


async def test_start_submits_and_claims_in_one_step(backend: Backend) -> None:
    queue = backend.queue
    job = await queue.start(a_job(args=b'{"n":1}'), "w1", DEFAULT_LEASE_MS)

    assert (job.status, job.attempt, job.worker_id) == (JobStatus.RUNNING, 1, "w1")
    assert await get(queue, job.id) == job
    assert await kinds_of(queue, job.id) == [EventKind.SUBMITTED, EventKind.STARTED]
    assert await claim(queue, worker_id="w2") == []
    await complete(queue, job)
    assert (await get(queue, job.id)).status is JobStatus.COMPLETED


async def test_a_started_job_that_loses_its_lease_is_rescued(backend: Backend) -> None:
    job = await backend.queue.start(a_job(), "w1", DEFAULT_LEASE_MS)
    await let_leases_lapse(backend)
    assert (await claim_one(backend.queue, worker_id="w2")).id == job.id


async def test_start_runs_although_the_key_is_held(queue: Queue) -> None:
    holder = await submit(queue, key="k")
    job = await queue.start(a_job(key="k"), "w1", DEFAULT_LEASE_MS)
    assert job.id != holder.id
    await complete(queue, job)
    assert await queue.submit([a_job(key="k")]) == [Submitted(holder.id, duplicate=True)]
