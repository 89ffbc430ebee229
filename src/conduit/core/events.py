"""Lifecycle events: what each transition records, in the same atomic step as the transition.

An event says which job, its place in the job's history (`seq`, strictly rising and without a gap
per job), which attempt, and when by the store's clock. Order is `seq` alone; times are for people.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from operator import attrgetter
from typing import Final

from msgspec import Raw, Struct

from conduit.core.model import (
    NOTHING,
    Artifact,
    JobError,
    JobStatus,
    LogLine,
    NewJob,
    Terms,
)


class EventKind(StrEnum):
    """Every kind of job event."""

    SUBMITTED = "job.submitted"
    QUEUED = "job.queued"
    STARTED = "job.started"
    PROGRESS = "job.progress"
    METADATA = "job.metadata"
    CHECKPOINT = "job.checkpoint"
    LOG = "job.log"
    ARTIFACT = "job.artifact"
    RETRYING = "job.retrying"
    RELEASED = "job.released"
    RESCUED = "job.rescued"
    COMPLETED = "job.completed"
    FAILED = "job.failed"
    CANCEL_REQUESTED = "job.cancel_requested"
    CANCELLED = "job.cancelled"
    REQUEUED = "job.requeued"
    DELETED = "job.deleted"
    UNBLOCKED = "job.unblocked"
    BEGUN = "job.begun"


KIND_NUMBERS: Final[Mapping[EventKind, int]] = {
    EventKind.SUBMITTED: 1,
    EventKind.QUEUED: 2,
    EventKind.STARTED: 3,
    EventKind.PROGRESS: 4,
    EventKind.METADATA: 5,
    EventKind.CHECKPOINT: 6,
    EventKind.LOG: 7,
    EventKind.ARTIFACT: 8,
    EventKind.RETRYING: 9,
    EventKind.RELEASED: 10,
    EventKind.RESCUED: 11,
    EventKind.COMPLETED: 12,
    EventKind.FAILED: 13,
    EventKind.CANCEL_REQUESTED: 14,
    EventKind.CANCELLED: 15,
    EventKind.REQUEUED: 16,
    EventKind.DELETED: 17,
    EventKind.UNBLOCKED: 18,
    EventKind.BEGUN: 19,
}
"""The number that stands for a kind where events are stored as numbers; given once, for good."""


class Submission(Terms, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What is fixed when a job is submitted; rides on its `job.submitted` event."""

    args: Raw
    metadata: Raw = NOTHING
    expires_at: int | None = None


_terms_in = attrgetter(*Terms.__struct_fields__)


def submission_of(job: NewJob, expires_at: int | None) -> Submission:
    """What is told of a job that has just been kept."""
    return Submission(
        *_terms_in(job), args=Raw(job.args), metadata=Raw(job.metadata), expires_at=expires_at
    )


class Event(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One step in a job's life.

    `status` is the status after the step. The rest is present where the kind calls for it: a
    `job.completed` has its result, a `job.retrying` its error and the time of the next attempt.
    `metadata`, `checkpoint` and `steps` are whole values, never differences, so that any one event
    stands for all earlier ones of its kind.

    `job.started` tells that a worker has claimed the job. When its function began, `started_at`,
    rides on the first event that is written anyway; `job.begun` tells it of a job that runs for so
    long that its lease is extended. Each end of an attempt has it, unless its function never began.
    """

    kind: EventKind
    job_id: str
    seq: int
    attempt: int
    at: int
    status: JobStatus
    generation: int = 1
    fence: int = 0
    failures: int = 0
    rescues: int = 0
    submission: Submission | None = None
    worker_id: str | None = None
    run_at: int | None = None
    started_at: int | None = None
    reason: str | None = None
    error: JobError | None = None
    result: Raw = NOTHING
    progress: float | None = None
    progress_message: str | None = None
    metadata: Raw = NOTHING
    checkpoint: Raw = NOTHING
    steps: Raw = NOTHING
    logs: tuple[LogLine, ...] = ()
    artifact: Artifact | None = None


class Report(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """News that isn't about one job: `worker.started`, `cron.ticked`, `queue.paused` and so on.

    `subject` is the worker's id, or the name of the schedule, queue or function; `data` is small
    JSON.
    """

    kind: str
    subject: str
    at: int
    data: Raw = NOTHING


class Entry(Struct, frozen=True, omit_defaults=True):
    """What one atomic step appended to the event stream: the events of a whole batch of jobs."""

    events: tuple[Event, ...] = ()
    reports: tuple[Report, ...] = ()
