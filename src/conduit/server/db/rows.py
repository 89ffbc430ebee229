"""Rows of the history as frozen records: one field for each column, of the same name and in order.

JSON stays text here, as it is stored; whoever answers with it puts it into the answer as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from conduit.core.model import JobStatus


class JobRow(Struct, frozen=True, kw_only=True, gc=False):
    """A job as its events left it; the columns of `tables.jobs`."""

    id: str
    function: str
    queue: str
    status: JobStatus
    args: str
    submitted_at: int
    run_at: int
    priority: int
    key: str | None = None
    parent_id: str | None = None
    root_id: str | None = None
    retries: int | None = None
    timeout_ms: int | None = None
    max_deliveries: int
    expires_at: int | None = None
    started_at: int | None = None
    finished_at: int | None = None
    generation: int
    attempt: int
    failures: int
    rescues: int
    fence: int
    seq: int
    worker_id: str | None = None
    cancel_requested: bool = False
    reason: str | None = None
    error: str | None = None
    result: str | None = None
    progress: float | None = None
    progress_message: str | None = None
    metadata: str = "{}"
    checkpoint: str | None = None
    steps: str = "{}"
    applied_at: int
    after: str | None = None
    claimed_at: int | None = None


class DependencyRow(Struct, frozen=True, gc=False):
    """A job and one that it waits for; the columns of `tables.dependencies`."""

    job_id: str
    after_id: str


class AttemptRow(Struct, frozen=True, kw_only=True, gc=False):
    """One lease of a job and what came of it; the columns of `tables.attempts`."""

    job_id: str
    fence: int
    generation: int
    attempt: int
    worker_id: str | None = None
    claimed_at: int
    ended_at: int | None = None
    outcome: str | None = None
    reason: str | None = None
    error: str | None = None
    started_at: int | None = None


class LogRow(Struct, frozen=True, kw_only=True, gc=False):
    """One captured log line; the columns of `tables.logs`."""

    job_id: str
    number: int
    at: int
    attempt: int
    level: str
    logger: str
    message: str


class ArtifactRow(Struct, frozen=True, kw_only=True, gc=False):
    """The description of a file that a job kept; the columns of `tables.artifacts`."""

    job_id: str
    name: str
    content_type: str
    size: int
    sha256: str
    at: int
    location: str | None = None


_STATUS = JobRow.__struct_fields__.index("status")


def job_row(values: Sequence[Any]) -> JobRow:
    """A job from a result's row, its columns selected as `tables.jobs` has them."""
    fields = dict(zip(JobRow.__struct_fields__, values, strict=True))
    fields["status"] = JobStatus(values[_STATUS])
    return JobRow(**fields)
