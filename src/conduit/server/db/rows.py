"""Rows of the history as frozen records: one field for each column, of the same name and in order.

Payloads stay text here, as they are stored; whoever answers with one puts it into the answer as it
is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_origin

import msgspec
from msgspec import Struct

from conduit.core.layout import fields_of
from conduit.core.model import JobStatus, Terms


class JobRow(Terms, frozen=True, kw_only=True, gc=False):
    """A job as its events left it; the columns of `tables.jobs`."""

    id: str
    status: JobStatus
    args: str
    submitted_at: int
    run_at: int
    expires_at: int | None = None
    claimed_at: int | None = None
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


_DECODERS = {JobStatus: JobStatus} | {
    line.type: msgspec.json.Decoder(line.type).decode
    for line in fields_of(JobRow)
    if get_origin(line.type) in (tuple, dict)
}
_DECODED = {line.name: _DECODERS[line.type] for line in fields_of(JobRow) if line.type in _DECODERS}


def job_row(values: Sequence[Any]) -> JobRow:
    """A job from a result's row, its columns selected as `tables.jobs` has them."""
    fields = dict(zip(JobRow.__struct_fields__, values, strict=True))
    for name, decode in _DECODED.items():
        fields[name] = decode(fields[name])
    return JobRow(**fields)
