"""What events do to the history of one job; the property test has all the combinations."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec import Raw, structs

from conduit.core.events import Event, EventKind, Submission
from conduit.core.model import Job, JobError, JobStatus, Level, LogLine
from conduit.server.ingest.fold import DATA_LOST, JobHistory, is_lost
from conduit.server.ingest.soundness import fault_of

BOOM = JobError(type="NoSuchOrder", message="no", qualified_name="shop.errors.NoSuchOrder")


def an_event(kind: EventKind, status: JobStatus, seq: int, **over: Any) -> Event:
    fields: dict[str, Any] = {
        "job_id": "job",
        "attempt": 1,
        "at": 1000 + seq,
        "generation": 1,
        "fence": 1,
    }
    return Event(kind=kind, status=status, seq=seq, **(fields | over))


def submitted(**over: Any) -> Event:
    submission = Submission(
        function="charge", queue="default", priority=0, max_deliveries=3, args=Raw(b'{"cents":1}')
    )
    fields: dict[str, Any] = {"attempt": 0, "fence": 0, "submission": submission} | over
    return an_event(EventKind.SUBMITTED, JobStatus.QUEUED, fields.pop("seq", 1), **fields)


def started(seq: int = 2, **over: Any) -> Event:
    return an_event(EventKind.STARTED, JobStatus.RUNNING, seq, **({"worker_id": "w1"} | over))


def failed(seq: int = 3, **over: Any) -> Event:
    fields = {"failures": 1, "reason": "error", "error": BOOM} | over
    return an_event(EventKind.FAILED, JobStatus.FAILED, seq, **fields)


def completed(seq: int, **over: Any) -> Event:
    fields = {"result": Raw(b'"ok"')} | over
    return an_event(EventKind.COMPLETED, JobStatus.COMPLETED, seq, **fields)


def deleted(seq: int) -> Event:
    return an_event(EventKind.DELETED, JobStatus.FAILED, seq)


def requeued(seq: int = 4) -> Event:
    return an_event(EventKind.REQUEUED, JobStatus.QUEUED, seq, generation=2)


def a_history(*events: Event) -> JobHistory:
    history = JobHistory("job", now=1)
    for event in events:
        history.apply(event)
    return history


def test_a_stale_failure_does_not_overwrite_the_success_that_came_after_a_retry() -> None:
    again = started(5, fence=2, generation=2)
    done = completed(6, fence=2, generation=2)
    history = a_history(submitted(), started(), failed(), requeued(), again, done)
    history.apply(failed())
    assert history.row is not None
    assert (history.row.status, history.row.error) == (JobStatus.COMPLETED, None)
    assert [attempt.outcome for attempt in history.attempts.values()] == ["failed", "completed"]


def test_an_event_that_comes_too_early_waits_for_those_before_it() -> None:
    history = a_history(failed(), started())
    assert history.row is None
    assert sorted(history.parked) == [2, 3]
    history.apply(submitted())
    assert history.row is not None
    assert (history.row.status, history.row.seq, history.parked) == (JobStatus.FAILED, 3, {})


def test_an_attempt_is_told_from_start_to_end() -> None:
    history = a_history(submitted(), started(), failed())
    attempt = history.attempts[1]
    assert (attempt.claimed_at, attempt.started_at, attempt.ended_at) == (1002, None, 1003)
    assert (attempt.worker_id, attempt.outcome, attempt.reason) == ("w1", "failed", "error")
    assert attempt.error == msgspec.json.encode(BOOM).decode()


@pytest.mark.parametrize("kind", [EventKind.BEGUN, EventKind.PROGRESS])
def test_an_attempt_has_begun_once_an_event_says_so(kind: EventKind) -> None:
    begun = an_event(kind, JobStatus.RUNNING, 3, started_at=1777, progress=0.5)
    history = a_history(submitted(), started())
    assert history.row is not None
    assert (history.row.claimed_at, history.row.started_at) == (1002, None)
    history.apply(begun)
    assert (history.row.claimed_at, history.row.started_at) == (1002, 1777)
    assert (history.attempts[1].claimed_at, history.attempts[1].started_at) == (1002, 1777)


def test_a_released_job_of_which_no_begin_is_told_never_began() -> None:
    released = an_event(EventKind.RELEASED, JobStatus.QUEUED, 3)
    history = a_history(submitted(), started(), released)
    assert (history.attempts[1].outcome, history.attempts[1].started_at) == ("released", None)


def test_a_cancel_while_it_waits_ends_no_attempt() -> None:
    retrying = an_event(EventKind.RETRYING, JobStatus.SCHEDULED, 3, run_at=5000, error=BOOM)
    cancelled = an_event(EventKind.CANCELLED, JobStatus.CANCELLED, 4, reason="enough")
    history = a_history(submitted(), started(), retrying, cancelled)
    assert history.attempts[1].outcome == "retrying"


def test_a_second_life_begins_with_nothing_of_the_first() -> None:
    log = an_event(
        EventKind.LOG,
        JobStatus.RUNNING,
        3,
        logs=(LogLine(1, Level.INFO, "shop", "a line", number=1),),
    )
    first = (submitted(), started(), log, failed(4))
    history = a_history(*first, submitted(at=5000))
    assert history.row is not None
    assert (history.row.submitted_at, history.row.seq) == (5000, 1)
    assert (history.attempts, history.logs, history.wiped) == ({}, {}, True)
    for late in first:
        history.apply(late)
    assert (history.row.seq, history.parked) == (1, {})


def test_a_deleted_job_is_not_brought_back_by_a_late_event() -> None:
    events = (submitted(), started(), failed(), deleted(4))
    history = a_history(*events, *events)
    assert (history.row, history.parked, history.barrier) == (None, {}, 1004)
    history.apply(submitted(at=1005))
    assert history.row is not None


ENDED = Job(
    id="job",
    function="charge",
    queue="default",
    priority=0,
    max_deliveries=3,
    args=Raw(b"{}"),
    status=JobStatus.FAILED,
    submitted_at=1001,
    run_at=1001,
    finished_at=1003,
    seq=3,
)


@pytest.mark.parametrize("seen", range(5))
@pytest.mark.parametrize("at", [900, 1002, 1003, 1004])
def test_a_job_that_was_ended_before_its_events_came_stays_gone(seen: int, at: int) -> None:
    events = [submitted(), started(), failed(), structs.replace(deleted(4), at=at)]
    history = a_history(*events[:seen])
    history.end(ENDED)
    assert history.row is None
    for event in events[seen:] + events:
        history.apply(event)
    assert (history.row, history.parked) == (None, {})
    again = submitted(at=1005)
    for event in (again, *events, started(at=1006), failed(at=1007)):
        history.apply(event)
    assert history.row is not None
    assert (history.row.submitted_at, history.row.seq) == (1005, 3)
    assert history.parked == {}


def test_a_deletion_foretold_does_not_end_the_life_that_comes_before_its_event() -> None:
    history = a_history(submitted(), started(), failed())
    history.end(ENDED)
    history.apply(submitted(at=2000))
    for event in (deleted(4), started(at=2001), failed(at=2002), deleted(4)):
        history.apply(event)
    assert history.row is not None
    assert (history.row.submitted_at, history.row.seq, history.parked) == (2000, 3, {})


def test_a_deletion_that_came_too_early_leaves_no_ghost_where_the_clock_was_set_back() -> None:
    first = a_history(submitted(), started(), failed())
    first.end(ENDED)
    first.apply(deleted(4))
    life = [submitted(at=5000), started(at=4000), failed(at=3000)]
    gone = structs.replace(deleted(4), at=2000)
    for event in (gone, gone, *life):
        first.apply(event)
    assert (first.row, first.parked) == (None, {})


def test_a_job_that_lives_again_is_not_ended_with_its_earlier_life() -> None:
    history = a_history(submitted(at=2000))
    history.end(ENDED)
    assert history.row is not None
    assert history.parked == {}


def test_a_clock_set_back_makes_no_event_of_a_life_stale() -> None:
    history = a_history(submitted(), started(at=10), failed(at=20))
    assert history.row is not None
    assert (history.row.status, history.row.finished_at) == (JobStatus.FAILED, 20)


def test_a_job_given_up_is_unfinished_again_once_its_next_event_comes() -> None:
    history = a_history(submitted(), started())
    assert history.give_up(at=9000)
    assert history.row is not None
    assert is_lost(history.row)
    assert history.attempts[1].reason == DATA_LOST
    history.apply(completed(3))
    assert (history.row.status, history.row.reason) == (JobStatus.COMPLETED, None)
    assert history.attempts[1].outcome == "completed"


@pytest.mark.parametrize(
    "event",
    [
        submitted(seq=2),
        submitted(submission=None),
        started(0),
        started(2**31),
        started(fence=-1),
        started(at=2**63),
        started(job_id=""),
        started(job_id="a\0b"),
        started(job_id="x" * 501),
        an_event(EventKind.STARTED, JobStatus.COMPLETED, 2),
        an_event(EventKind.PROGRESS, JobStatus.RUNNING, 3, progress=float("nan")),
        completed(3, result=Raw(b"nope")),
        completed(3, result=Raw(b'"\xff"')),
        completed(3, result=Raw(b'"\\ud800"')),
        completed(3, result=Raw(b"[" * 100_000)),
    ],
)
def test_events_that_no_table_can_hold_are_found_out(event: Event) -> None:
    assert fault_of(event)
