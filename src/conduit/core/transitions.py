"""The job's state machine: one table of legal moves, and the few decisions that need thought.

A backend reads the job's state, asks here what a verb does to it, and writes the answer in the
same atomic step. The Lua and SQL of a backend may spell a row out for speed; the conformance suite
holds them to this table.
"""

from __future__ import annotations

from collections.abc import Mapping
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


class Decision(NamedTuple):
    """What becomes of a running job: the move, and what is counted and told with it."""

    verb: Verb
    target: JobStatus
    failures: int = 0
    """How much to add to the job's failures."""
    rescues: int = 0
    """How much to add to the job's rescues."""
    reason: Reason | None = None
    """The job's reason where the outcome tells none."""
    hushed: bool = False
    """Whether a reason that the outcome tells doesn't count."""


_COMPLETED = Decision(Verb.COMPLETE, _S.COMPLETED, hushed=True)
_FAILED = Decision(Verb.FAIL, _S.FAILED, failures=1, reason=Reason.ERROR)
_RETRYING = Decision(Verb.RETRY_LATER, _S.SCHEDULED, failures=1)
_CANCELLED = Decision(Verb.CANCEL, _S.CANCELLED)
_OVERRULED = Decision(Verb.CANCEL, _S.CANCELLED, hushed=True)
_RELEASED = Decision(Verb.RELEASE, _S.QUEUED)
_POSTPONED = Decision(Verb.RELEASE, _S.SCHEDULED)

_OUTCOMES = (
    # the outcome, what it makes of a job at once, with a delay, and after a cancel was requested
    (OutcomeKind.COMPLETE, _COMPLETED, _COMPLETED, _COMPLETED),
    (OutcomeKind.FAIL, _FAILED, _FAILED, _OVERRULED),
    (OutcomeKind.RETRY_LATER, _RETRYING, _RETRYING, _OVERRULED),
    (OutcomeKind.CANCEL, _CANCELLED, _CANCELLED, _CANCELLED),
    (OutcomeKind.RELEASE, _RELEASED, _POSTPONED, _OVERRULED),
)

SETTLED: Mapping[tuple[OutcomeKind, bool, bool], Decision] = {
    (kind, asked, delayed): cancelled if asked else later if delayed else at_once
    for kind, at_once, later, cancelled in _OUTCOMES
    for asked in (False, True)
    for delayed in (False, True)
}
"""What an outcome makes of a running job: by its kind, whether a cancel was requested, and whether
it names a delay.

A job that returned normally has completed, even when a cancel was under way. In every other case a
requested cancel wins: over a retry, a failure, and a hand-back.
"""

RESCUED: Mapping[tuple[bool, bool], Decision] = {
    (False, False): Decision(Verb.RESCUE, _S.QUEUED, rescues=1),
    (False, True): Decision(Verb.RESCUE, _S.FAILED, rescues=1, reason=Reason.MAX_DELIVERIES),
    (True, False): Decision(Verb.RESCUE, _S.CANCELLED, rescues=1),
    (True, True): Decision(Verb.RESCUE, _S.CANCELLED, rescues=1),
}
"""What becomes of a running job whose lease ran out, as its worker died or was cut off: by whether
a cancel was requested, and whether this was the last of its `max_deliveries`.

It goes back to its queue, ahead of the backlog, until it has had them all: then the job itself is
taken for what kills its workers.
"""


class Ending(NamedTuple):
    """A decision about one job, with the words that go with it."""

    move: Move
    failures: int = 0
    rescues: int = 0
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
    """Decide by `SETTLED` when the holder of a job's lease reports an outcome."""
    decision = SETTLED[kind, cancel_requested, delay_ms > 0]
    return Ending(
        move(decision.verb, JobStatus.RUNNING, decision.target),
        failures=decision.failures,
        delay_ms=delay_ms,
        reason=(None if decision.hushed else reason) or decision.reason,
        error=None if decision.target is JobStatus.COMPLETED else error,
    )


def rescue(
    *, cancel_requested: bool, rescues: int, max_deliveries: int, worker_id: str | None
) -> Ending:
    """Decide by `RESCUED` when a job's lease has run out."""
    decision = RESCUED[cancel_requested, rescues + 1 >= max_deliveries]
    error = None
    if decision.target is JobStatus.FAILED:
        words = (
            f"the worker was lost {rescues + 1} times while running this job, "
            f"last {worker_id or 'unknown'}"
        )
        error = JobError(type="WorkerLost", message=words)
    return Ending(
        move(decision.verb, JobStatus.RUNNING, decision.target),
        rescues=decision.rescues,
        reason=decision.reason,
        error=error,
    )


def began_at(now: int, ms_ago: int, claimed_at: int | None) -> int:
    """When a function began that its worker says has been running for `ms_ago` milliseconds.

    It lies between the claim and now, whatever the clocks say.
    """
    return max(min(now - ms_ago, now), claimed_at or 0)


def dependency_reason(job_id: str, status: JobStatus) -> str:
    """Why a job is cancelled that waits for `job_id`, which ended as `status`, not completed."""
    ended = "has failed" if status is JobStatus.FAILED else "was cancelled"
    return f"job {job_id} that it waits for {ended}"
