"""What a finished job hands back to whoever waits for it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from conduit.core.model import JobStatus

R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskResult(Generic[R]):
    """A job's end: its value, or why there is none. Times are aware datetimes in UTC.

    `error` is the last error's type and words (`"ValueError: no such order"`), `traceback` its
    text. `attempts` counts the attempts that were started.
    """

    value: R | None
    ok: bool
    status: JobStatus
    error: str | None
    traceback: str | None
    job_id: str
    function: str
    attempts: int
    submitted_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
