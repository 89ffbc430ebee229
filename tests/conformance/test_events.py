"""The event stream: what each step records, and how consumers share it."""

from __future__ import annotations

import asyncio
import json

import pytest
from msgspec import Raw

from conduit.core.errors import QueueError
from conduit.core.events import NOTHING, Event, EventKind, Report
from conduit.core.model import JobStatus, Level, LogLine
from conduit.core.transitions import OutcomeKind
from conduit.queue.base import Queue, StoredEntry
from tests.conformance.backends import Backend
from tests.conformance.builders import (
    BOOM,
    DAY,
    HOUR,
    MINUTE,
    PATIENCE,
    SECOND,
    a_job,
    claim,
    claim_one,
    complete,
    completed,
    finish,
    get,
    let_leases_lapse,
    note,
    running,
    submit,
    sweep,
)
from tests.conformance.history import Reader, events_of, kinds_of


def value(raw: object) -> object:
    """What a piece of JSON in an event says."""
    assert isinstance(raw, Raw)
    return json.loads(bytes(raw))


async def last_event(queue: Queue, job_id: str) -> Event:
    return (await events_of(queue, job_id))[-1]


# --- what is recorded -------------------------------------------------------------------------


async def test_a_whole_life_is_recorded_step_by_step(backend: Backend) -> None:
    queue = backend.queue
    job = await submit(queue, delay_ms=SECOND)
    backend.clock.advance(SECOND)
    await finish(queue, await claim_one(queue), OutcomeKind.RETRY_LATER, delay_ms=SECOND)
    backend.clock.advance(SECOND)
    await sweep(queue)
    await finish(queue, await claim_one(queue), OutcomeKind.RELEASE)
    await claim_one(queue)
    await let_leases_lapse(backend)
    await complete(queue, await claim_one(queue))

    s, k = JobStatus, EventKind
    steps = [(event.kind, event.status) for event in await events_of(queue, job.id)]
    assert steps == [
        (k.SUBMITTED, s.SCHEDULED),
        (k.QUEUED, s.QUEUED),
        (k.STARTED, s.RUNNING),
        (k.RETRYING, s.SCHEDULED),
        (k.QUEUED, s.QUEUED),
        (k.STARTED, s.RUNNING),
        (k.RELEASED, s.QUEUED),
        (k.STARTED, s.RUNNING),
        (k.RESCUED, s.QUEUED),
        (k.STARTED, s.RUNNING),
        (k.COMPLETED, s.COMPLETED),
    ]


async def test_a_submission_says_all_that_is_fixed(backend: Backend) -> None:
    job = await submit(
        backend.queue,
        function="charge",
        queue="money",
        args=b'{"cents":9007199254740993}',
        priority=3,
        key="k",
        parent_id="p",
        root_id="r",
        retries=2,
        timeout_ms=5,
        max_deliveries=4,
        expires_ms=HOUR,
        metadata=b'{"a":1}',
    )
    event = await last_event(backend.queue, job.id)
    told = event.submission
    assert told is not None
    assert (event.kind, event.seq, event.at) == (EventKind.SUBMITTED, 1, backend.clock.now)
    assert (told.function, told.queue, told.priority, told.key) == ("charge", "money", 3, "k")
    assert (told.parent_id, told.root_id, told.retries, told.timeout_ms) == ("p", "r", 2, 5)
    assert (told.max_deliveries, told.expires_at) == (4, backend.clock.now + HOUR)
    assert (value(told.args), value(told.metadata)) == ({"cents": 9007199254740993}, {"a": 1})


async def test_a_start_says_by_whom_and_which_attempt(backend: Backend) -> None:
    job = await running(backend.queue, worker_id="w7")
    event = await last_event(backend.queue, job.id)
    assert (event.kind, event.worker_id) == (EventKind.STARTED, "w7")
    assert (event.attempt, event.fence, event.at) == (1, 1, backend.clock.now)


async def test_a_completion_has_its_result(queue: Queue) -> None:
    job = await running(queue)
    await complete(queue, job, b'{"total":9007199254740993}')
    assert value((await last_event(queue, job.id)).result) == {"total": 9007199254740993}


async def test_a_completion_with_null_has_null(queue: Queue) -> None:
    job = await running(queue)
    await complete(queue, job, b"null")
    assert value((await last_event(queue, job.id)).result) is None


async def test_a_retry_has_its_error_and_the_time_of_the_next_attempt(backend: Backend) -> None:
    job = await running(backend.queue)
    await finish(backend.queue, job, OutcomeKind.RETRY_LATER, error=BOOM, delay_ms=MINUTE)
    event = await last_event(backend.queue, job.id)
    assert (event.kind, event.error) == (EventKind.RETRYING, BOOM)
    assert (event.run_at, event.failures) == (backend.clock.now + MINUTE, 1)


async def test_a_failure_has_its_error_and_reason(queue: Queue) -> None:
    job = await running(queue)
    await finish(queue, job, OutcomeKind.FAIL, error=BOOM, reason="timeout")
    event = await last_event(queue, job.id)
    assert (event.kind, event.error, event.reason) == (EventKind.FAILED, BOOM, "timeout")
    assert event.failures == 1


async def test_an_expiry_has_its_reason(backend: Backend) -> None:
    job = await submit(backend.queue, expires_ms=SECOND)
    backend.clock.advance(SECOND)
    await sweep(backend.queue)
    event = await last_event(backend.queue, job.id)
    assert (event.kind, event.reason) == (EventKind.CANCELLED, "expired")


async def test_a_poisonous_jobs_failure_has_its_reason(backend: Backend) -> None:
    job = await running(backend.queue, max_deliveries=1)
    await let_leases_lapse(backend)
    event = await last_event(backend.queue, job.id)
    assert (event.kind, event.reason) == (EventKind.FAILED, "max_deliveries")
    assert event.error == (await get(backend.queue, job.id)).error
    assert (event.rescues, event.failures) == (1, 0)


async def test_news_is_recorded_as_whole_values(queue: Queue) -> None:
    job = await running(queue, metadata=b'{"a":1}')
    line = LogLine(5, Level.WARNING, "app", "careful")
    await note(queue, job, progress=0.5, progress_message="half")
    await note(queue, job, metadata=b'{"b":2}')
    await note(queue, job, checkpoint=b'{"page":1}')
    await note(queue, job, steps=b'{"x":1}')
    await note(queue, job, steps=b'{"y":2}')
    await note(queue, job, logs=(line,))

    progress, metadata, checkpoint, _, steps, log = (await events_of(queue, job.id))[2:]
    assert (progress.progress, progress.progress_message) == (0.5, "half")
    assert value(metadata.metadata) == {"a": 1, "b": 2}
    assert value(checkpoint.checkpoint) == {"page": 1}
    assert (value(steps.checkpoint), value(steps.steps)) == ({"page": 1}, {"x": 1, "y": 2})
    (told,) = log.logs
    assert (told.at, told.level, told.message) == (5, Level.WARNING, "careful")
    assert told == (await queue.logs(job.id))[0]


async def test_a_batch_is_one_entry(queue: Queue) -> None:
    await queue.submit([a_job() for _ in range(5)])
    await claim(queue)
    submits, starts = await Reader().read(queue)
    assert [event.kind for event in submits.entry.events] == [EventKind.SUBMITTED] * 5
    assert [event.kind for event in starts.entry.events] == [EventKind.STARTED] * 5


async def test_a_large_batch_loses_no_event(queue: Queue) -> None:
    jobs = [a_job(args=b'"%s"' % (b"x" * 5000)) for _ in range(1500)]
    await queue.submit(jobs)
    assert [event.job_id for event in await events_of(queue)] == [job.id for job in jobs]


# --- groups -----------------------------------------------------------------------------------


async def test_a_new_group_starts_at_the_oldest_entry(queue: Queue) -> None:
    job = await completed(queue)
    assert await queue.read_events("first", "a") != []
    assert [e.entry.events[0].job_id for e in await queue.read_events("second", "a")] == [
        job.id
    ] * 3


async def test_an_empty_stream_gives_nothing(queue: Queue) -> None:
    assert await queue.read_events("g", "a") == []
    assert await asyncio.wait_for(queue.read_events("g", "a", timeout=0.01), PATIENCE) == []


async def test_consumers_of_a_group_share_its_entries(backend: Backend) -> None:
    second = await backend.second()
    for _ in range(9):
        await submit(backend.queue)
    mine = await backend.queue.read_events("g", "a", limit=4)
    theirs = await second.read_events("g", "b")
    assert (len(mine), len(theirs)) == (4, 5)
    ids = [stored.position for stored in mine + theirs]
    assert len(set(ids)) == 9
    assert await backend.queue.read_events("g", "a") == []
    assert {stored.deliveries for stored in mine + theirs} == {1}


async def test_entries_come_oldest_first_and_no_more_than_asked_for(queue: Queue) -> None:
    jobs = [await submit(queue) for _ in range(7)]
    seen: list[str] = []
    while entries := await queue.read_events("g", "a", limit=3):
        assert len(entries) <= 3
        seen.extend(stored.entry.events[0].job_id for stored in entries)
    assert seen == [job.id for job in jobs]


async def test_a_read_waits_for_the_first_entry(backend: Backend) -> None:
    second = await backend.second()
    for submitter in (backend.queue, second):
        waiting = asyncio.create_task(backend.queue.read_events("g", "a", timeout=2 * PATIENCE))
        await backend.queue.get(["a round trip, so that the read has asked"])
        job = await submit(submitter)
        (stored,) = await asyncio.wait_for(waiting, PATIENCE)
        assert stored.entry.events[0].job_id == job.id


async def test_ack_says_how_many_were_pending(queue: Queue) -> None:
    for _ in range(3):
        await submit(queue)
    positions = [stored.position for stored in await queue.read_events("g", "a")]
    assert await queue.ack("g", positions[:2]) == 2
    assert await queue.ack("g", positions) == 1
    assert await queue.ack("g", positions) == 0
    assert await queue.ack("g", []) == 0
    assert await queue.ack("nobody", positions) == 0


async def test_groups_settle_for_themselves(queue: Queue) -> None:
    await submit(queue)
    (first,) = await queue.read_events("one", "a")
    await queue.read_events("two", "a")
    await queue.ack("one", [first.position])
    assert await queue.ack("two", [first.position]) == 1


async def test_positions_and_pending_entries_survive_a_reopen(backend: Backend) -> None:
    await submit(backend.queue)
    (before,) = await backend.queue.read_events("g", "a")
    queue = await backend.reopen()
    assert await queue.read_events("g", "a") == []
    assert await queue.ack("g", [before.position]) == 1


# --- reports ----------------------------------------------------------------------------------


async def test_reports_come_in_one_entry_with_the_stores_time(backend: Backend) -> None:
    queue = backend.queue
    told = [
        Report(kind="api.requests", subject="shop", at=1, data=Raw(b'{"n":9007199254740993}')),
        Report(kind="api.requests", subject="caf\u00e9 \U0001f600", at=2),
    ]
    await queue.report(told)
    (stored,) = await queue.read_events("g", "a")
    first, second = stored.entry.reports
    assert stored.entry.events == ()
    assert [(each.kind, each.subject) for each in (first, second)] == [
        (each.kind, each.subject) for each in told
    ]
    assert {each.at for each in (first, second)} == {backend.clock.now}
    assert value(first.data) == {"n": 9007199254740993}
    assert second.data == NOTHING


async def test_no_reports_make_no_entry(queue: Queue) -> None:
    await queue.report([])
    assert await queue.read_events("g", "a") == []


async def test_reports_that_are_not_json_are_refused_together(queue: Queue) -> None:
    fine = Report(kind="api.requests", subject="shop", at=0, data=Raw(b"{}"))
    broken = Report(kind="api.requests", subject="shop", at=0, data=Raw(b"{"))
    with pytest.raises(QueueError, match="isn't JSON"):
        await queue.report([fine, broken])
    assert await queue.read_events("g", "a") == []


async def test_a_report_wakes_a_read_that_waits(backend: Backend) -> None:
    second = await backend.second()
    waiting = asyncio.create_task(backend.queue.read_events("g", "a", timeout=2 * PATIENCE))
    await backend.queue.get(["a round trip, so that the read has asked"])
    await second.report([Report(kind="api.requests", subject="shop", at=0)])
    (stored,) = await asyncio.wait_for(waiting, PATIENCE)
    assert [each.subject for each in stored.entry.reports] == ["shop"]


# --- taking over ------------------------------------------------------------------------------


async def test_entries_that_idle_are_taken_over(backend: Backend) -> None:
    queue = backend.queue
    await submit(queue)
    (given,) = await queue.read_events("g", "dead")
    backend.let_idle(MINUTE // 2)
    assert await queue.claim_stale("g", "alive", MINUTE) == []
    backend.let_idle(MINUTE // 2)
    assert await queue.claim_stale("g", "alive", MINUTE) == [
        StoredEntry(given.position, given.entry, deliveries=2)
    ]


async def test_taking_over_starts_the_wait_anew(backend: Backend) -> None:
    queue = backend.queue
    await submit(queue)
    await queue.read_events("g", "a")
    backend.let_idle(MINUTE)
    assert len(await queue.claim_stale("g", "b", MINUTE)) == 1
    assert await queue.claim_stale("g", "c", MINUTE) == []
    backend.let_idle(MINUTE)
    (again,) = await queue.claim_stale("g", "b", MINUTE)
    assert again.deliveries == 3


async def test_settled_entries_are_not_taken_over(backend: Backend) -> None:
    queue = backend.queue
    for _ in range(3):
        await submit(queue)
    first, *rest = await queue.read_events("g", "a")
    await queue.ack("g", [first.position])
    backend.let_idle(MINUTE)
    assert [stored.position for stored in await queue.claim_stale("g", "b", MINUTE)] == [
        stored.position for stored in rest
    ]


async def test_many_stale_entries_are_taken_over_a_part_at_a_time(backend: Backend) -> None:
    queue = backend.queue
    for _ in range(7):
        await submit(queue)
    await queue.read_events("g", "dead")
    backend.let_idle(MINUTE)
    taken: list[str] = []
    while stale := await queue.claim_stale("g", "alive", MINUTE, limit=3):
        assert len(stale) <= 3
        taken.extend(stored.position for stored in stale)
    assert len(taken) == len(set(taken)) == 7


async def test_a_group_takes_over_only_its_own(backend: Backend) -> None:
    await submit(backend.queue)
    await backend.queue.read_events("one", "a")
    backend.let_idle(MINUTE)
    assert await backend.queue.claim_stale("two", "a", MINUTE) == []


async def test_a_consumer_that_holds_entries_is_not_forgotten(backend: Backend) -> None:
    queue = backend.queue
    await queue.forget_consumers("g", 0)  # there is no such group yet
    await submit(queue)
    given = await queue.read_events("g", "dead")
    await queue.forget_consumers("g", 0)
    await queue.forget_consumers("g", 0, only="dead")
    backend.let_idle(MINUTE)
    stale = await queue.claim_stale("g", "alive", MINUTE)
    assert [stored.position for stored in stale] == [stored.position for stored in given]


async def test_a_consumer_that_was_forgotten_may_come_back(backend: Backend) -> None:
    queue = backend.queue
    await submit(queue)
    (first,) = await queue.read_events("g", "a")
    await queue.ack("g", [first.position])
    await queue.forget_consumers("g", 0, only="a")
    assert await queue.read_events("g", "a") == []
    job = await submit(queue)
    (second,) = await queue.read_events("g", "a")
    assert second.entry.events[0].job_id == job.id


# --- trimming ---------------------------------------------------------------------------------


async def test_old_entries_go_once_every_group_has_settled_them(backend: Backend) -> None:
    queue = backend.queue
    backend.log_is_whole = False
    old = await completed(queue)
    entries = await queue.read_events("g", "a")
    await queue.ack("g", [stored.position for stored in entries])
    backend.clock.advance(2 * DAY)
    new = await submit(queue)
    await sweep(queue)
    assert await kinds_of(queue, old.id) == []
    assert await kinds_of(queue, new.id) == [EventKind.SUBMITTED]


async def test_young_entries_stay_though_all_have_settled_them(backend: Backend) -> None:
    queue = backend.queue
    job = await submit(queue)
    entries = await queue.read_events("g", "a")
    await queue.ack("g", [stored.position for stored in entries])
    backend.clock.advance(DAY - SECOND)
    await sweep(queue)
    assert await kinds_of(queue, job.id) == [EventKind.SUBMITTED]


async def test_what_a_group_has_not_read_is_never_trimmed(backend: Backend) -> None:
    queue = backend.queue
    first = await submit(queue)
    entries = await queue.read_events("slow", "a")
    await queue.ack("slow", [stored.position for stored in entries])
    second = await submit(queue)
    for entry in await queue.read_events("quick", "a"):
        await queue.ack("quick", [entry.position])
    backend.log_is_whole = False
    backend.clock.advance(30 * DAY)
    await sweep(queue)
    unread = await queue.read_events("slow", "a")
    assert [stored.entry.events[0].job_id for stored in unread] == [second.id]
    assert await kinds_of(queue, first.id) == []


async def test_what_a_group_has_not_settled_is_never_trimmed(backend: Backend) -> None:
    queue = backend.queue
    job = await submit(queue)
    await queue.read_events("g", "dead")
    backend.let_idle(30 * DAY)
    await sweep(queue)
    (stale,) = await queue.claim_stale("g", "alive", MINUTE)
    assert stale.entry.events[0].job_id == job.id


async def test_positions_are_not_used_again_after_trimming(backend: Backend) -> None:
    queue = backend.queue
    backend.log_is_whole = False
    await submit(queue)
    (old,) = await queue.read_events("g", "a")
    await queue.ack("g", [old.position])
    backend.clock.advance(2 * DAY)
    await sweep(queue)
    job = await submit(queue)
    (new,) = await queue.read_events("g", "a")
    assert new.entry.events[0].job_id == job.id
    assert new.position != old.position


# --- what is left of damage -------------------------------------------------------------------


async def test_what_cannot_be_decoded_is_told_of_and_holds_up_nothing(backend: Backend) -> None:
    queue = backend.queue
    first = await submit(queue)
    backend.append_garbage()
    started = {
        "kind": "job.started",
        "job_id": first.id,
        "seq": 2,
        "attempt": 1,
        "at": 1,
        "status": "running",
    }
    backend.append_raw(started, started | {"kind": "job.abducted"}, started | {"seq": "two"})
    last = await submit(queue)

    entries = await queue.read_events("server", "one")
    told = [event.job_id for stored in entries for event in stored.entry.events]
    assert told == [first.id, first.id, last.id]
    spoiled = [piece for stored in entries for piece in stored.unreadable]
    assert [(piece.number, piece.job_id) for piece in spoiled] == [
        (0, None),
        (1, first.id),
        (2, first.id),
    ]
    assert all(piece.body and piece.problem for piece in spoiled)

    again = await queue.claim_stale("server", "two", 0)
    assert [stored.unreadable for stored in again] == [stored.unreadable for stored in entries]
    assert await queue.ack("server", [stored.position for stored in again]) == len(again)
