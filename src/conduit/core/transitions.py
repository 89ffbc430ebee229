"""The job's state machine: one table of legal moves, and the few decisions that need thought.

A backend reads the job's state, asks here what a verb does to it, and writes the answer in the
same atomic step. The Lua and SQL of a backend may spell a row out for speed; the conformance suite
holds them to this table.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from conduit.core.events import EventKind
from conduit.core.model import JobError, JobStatus, Reason


class Verb(StrEnum):
    """What can be done to a job; the same word everywhere, from SQL to the command line."""

    SUBMIT = "submit"
    UNBLOCK = "unblock"
    PROMOTE = "promote"
    CLAIM = "claim"
    COMPLETE = "complete"
    FAIL = "fail"
    RETRY_LATER = "retry_later"
    RELEASE = "release"
    RESCUE = "rescue"
    CANCEL = "cancel"
    EXPIRE = "expire"
    RETRY = "retry"


class Move(NamedTuple):
    """One row of the table: `verb` takes a job from `source` to `target`, recorded as `event`."""

    verb: Verb
    source: JobStatus | None
    target: JobStatus
    event: EventKind


_S = JobStatus
_E = EventKind

TABLE: tuple[Move, ...] = (
    Move(Verb.SUBMIT, None, _S.QUEUED, _E.SUBMITTED),
    Move(Verb.SUBMIT, None, _S.SCHEDULED, _E.SUBMITTED),
    Move(Verb.SUBMIT, None, _S.BLOCKED, _E.SUBMITTED),
    Move(Verb.UNBLOCK, _S.BLOCKED, _S.QUEUED, _E.UNBLOCKED),
    Move(Verb.UNBLOCK, _S.BLOCKED, _S.SCHEDULED, _E.UNBLOCKED),
    Move(Verb.PROMOTE, _S.SCHEDULED, _S.QUEUED, _E.QUEUED),
    Move(Verb.CLAIM, _S.QUEUED, _S.RUNNING, _E.STARTED),
    Move(Verb.COMPLETE, _S.RUNNING, _S.COMPLETED, _E.COMPLETED),
    Move(Verb.FAIL, _S.RUNNING, _S.FAILED, _E.FAILED),
    Move(Verb.RETRY_LATER, _S.RUNNING, _S.SCHEDULED, _E.RETRYING),
    Move(Verb.RELEASE, _S.RUNNING, _S.QUEUED, _E.RELEASED),
    Move(Verb.RELEASE, _S.RUNNING, _S.SCHEDULED, _E.RELEASED),
    Move(Verb.RESCUE, _S.RUNNING, _S.QUEUED, _E.RESCUED),
    Move(Verb.RESCUE, _S.RUNNING, _S.FAILED, _E.FAILED),
    Move(Verb.RESCUE, _S.RUNNING, _S.CANCELLED, _E.CANCELLED),
    Move(Verb.CANCEL, _S.BLOCKED, _S.CANCELLED, _E.CANCELLED),
    Move(Verb.CANCEL, _S.SCHEDULED, _S.CANCELLED, _E.CANCELLED),
    Move(Verb.CANCEL, _S.QUEUED, _S.CANCELLED, _E.CANCELLED),
    Move(Verb.CANCEL, _S.RUNNING, _S.RUNNING, _E.CANCEL_REQUESTED),
    Move(Verb.CANCEL, _S.RUNNING, _S.CANCELLED, _E.CANCELLED),
    Move(Verb.EXPIRE, _S.BLOCKED, _S.CANCELLED, _E.CANCELLED),
    Move(Verb.EXPIRE, _S.SCHEDULED, _S.CANCELLED, _E.CANCELLED),
    Move(Verb.EXPIRE, _S.QUEUED, _S.CANCELLED, _E.CANCELLED),
    Move(Verb.RETRY, _S.FAILED, _S.QUEUED, _E.REQUEUED),
    Move(Verb.RETRY, _S.CANCELLED, _S.QUEUED, _E.REQUEUED),
    Move(Verb.RETRY, _S.CANCELLED, _S.BLOCKED, _E.REQUEUED),
)

_LEGAL = {(move.verb, move.source, move.target): move for move in TABLE}
_SOURCES = frozenset((move.verb, move.source) for move in TABLE)


def allowed(verb: Verb, source: JobStatus | None) -> bool:
    """Whether `verb` can do anything to a job in status `source` (None: no such job yet)."""
    return (verb, source) in _SOURCES


def move(verb: Verb, source: JobStatus | None, target: JobStatus) -> Move:
    """The table's row for this move. Raises `ValueError` when the move isn't legal."""
    try:
        return _LEGAL[verb, source, target]
    except KeyError:
        raise ValueError(f"illegal move: {verb} from {source} to {target}") from None


class OutcomeKind(StrEnum):
    """How an attempt ended, in the words of the worker that ran it."""

    COMPLETE = "complete"
    FAIL = "fail"
    RETRY_LATER = "retry_later"
    CANCEL = "cancel"
    RELEASE = "release"


class Ending(NamedTuple):
    """What a running job becomes: the move, and the counters and words that go with it."""

    move: Move
    failures: int = 0
    """How much to add to the job's failures."""
    rescues: int = 0
    """How much to add to the job's rescues."""
    delay_ms: int = 0
    reason: str | None = None
    error: JobError | None = None


def settle(
    kind: OutcomeKind,
    *,
    cancel_requested: bool,
    delay_ms: int = 0,
    reason: str | None = None,
    error: JobError | None = None,
) -> Ending:
    """Decide what a running job becomes when the holder of its lease reports an outcome.

    A job that returned normally has completed, even when a cancel was under way. In every other
    case a requested cancel wins: over a retry, a failure, and a hand-back.
    """
    running = JobStatus.RUNNING
    if kind is OutcomeKind.COMPLETE:
        return Ending(move(Verb.COMPLETE, running, JobStatus.COMPLETED))
    if kind is OutcomeKind.CANCEL or cancel_requested:
        return Ending(
            move(Verb.CANCEL, running, JobStatus.CANCELLED),
            reason=reason if kind is OutcomeKind.CANCEL else None,
            error=error,
        )
    if kind is OutcomeKind.FAIL:
        failed = move(Verb.FAIL, running, JobStatus.FAILED)
        return Ending(failed, failures=1, reason=reason or Reason.ERROR, error=error)
    if kind is OutcomeKind.RETRY_LATER:
        retrying = move(Verb.RETRY_LATER, running, JobStatus.SCHEDULED)
        return Ending(retrying, failures=1, delay_ms=delay_ms, reason=reason, error=error)
    target = JobStatus.SCHEDULED if delay_ms > 0 else JobStatus.QUEUED
    return Ending(move(Verb.RELEASE, running, target), delay_ms=delay_ms, reason=reason)


def rescue(
    *, cancel_requested: bool, rescues: int, max_deliveries: int, worker_id: str | None
) -> Ending:
    """Decide what becomes of a running job whose lease ran out: its worker died or was cut off.

    It goes back to its queue, ahead of the backlog, until that has happened `max_deliveries`
    times: then the job itself is taken for what kills its workers.
    """
    running = JobStatus.RUNNING
    if cancel_requested:
        return Ending(move(Verb.RESCUE, running, JobStatus.CANCELLED), rescues=1)
    if rescues + 1 >= max_deliveries:
        words = (
            f"the worker was lost {rescues + 1} times while running this job, "
            f"last {worker_id or 'unknown'}"
        )
        return Ending(
            move(Verb.RESCUE, running, JobStatus.FAILED),
            rescues=1,
            reason=Reason.MAX_DELIVERIES,
            error=JobError(type="WorkerLost", message=words),
        )
    return Ending(move(Verb.RESCUE, running, JobStatus.QUEUED), rescues=1)


def began_at(now: int, ms_ago: int, claimed_at: int | None) -> int:
    """When a function began that its worker says has been running for `ms_ago` milliseconds.

    It lies between the claim and now, whatever the clocks say.
    """
    return max(min(now - ms_ago, now), claimed_at or 0)


def dependency_reason(job_id: str, status: JobStatus) -> str:
    """Why a job is cancelled that waits for `job_id`, which ended as `status`, not completed."""
    ended = "has failed" if status is JobStatus.FAILED else "was cancelled"
    return f"job {job_id} that it waits for {ended}"
