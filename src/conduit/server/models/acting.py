"""What is asked of the queue, and what became of it: submits, events, actions on jobs."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from conduit.core.model import (
    MAX_AFTER,
    MAX_HEADERS,
    MAX_PRIORITY,
    MIN_PRIORITY,
    JobStatus,
)
from conduit.server.models.fields import (
    LONGEST_S,
    FunctionName,
    Id,
    Name,
    Seconds,
)

# `$` alone lets a line feed pass at the end, and schemas know no `\\Z`.
_JOB_ID = r"^[A-Za-z0-9_.:-]{1,64}$(?!\n)"


class SubmitRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A job to submit. What is left out is as the function declares it.

    `job_id` makes a repeat safe: the same id with the same contents is accepted again, once.
    """

    function: Annotated[str, Meta(min_length=1, max_length=255, examples=["charge"])]
    args: Annotated[list[Any], Meta(description="By position")] = msgspec.field(
        default_factory=list[Any]
    )
    kwargs: Annotated[
        dict[str, Any], Meta(description="By name", examples=[{"order_id": "o1"}])
    ] = msgspec.field(default_factory=dict[str, Any])
    queue: Name | None = None
    delay: Annotated[Seconds, Meta(description="Seconds before it may start")] = 0.0
    at: Annotated[datetime, Meta(tz=True, description="When it may start")] | None = None
    after: Annotated[
        list[Annotated[str, Meta(min_length=1, max_length=500)]],
        Meta(
            max_length=MAX_AFTER,
            description="Ids of jobs that have to complete before it may start; if one of them "
            "fails or is cancelled, so is it",
        ),
    ] = msgspec.field(default_factory=list[str])
    priority: Annotated[int, Meta(ge=MIN_PRIORITY, le=MAX_PRIORITY)] | None = None
    key: Annotated[
        Name | None, Meta(description="While a job of this key is unfinished, it is answered")
    ] = None
    unique_for: Annotated[float, Meta(gt=0, le=LONGEST_S)] | None = None
    expires: Annotated[float, Meta(gt=0, le=LONGEST_S)] | None = None
    timeout: Annotated[float, Meta(gt=0, le=LONGEST_S)] | None = None
    retries: Annotated[int, Meta(ge=0, le=1_000_000)] | None = None
    metadata: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])
    headers: Annotated[
        dict[str, str],
        Meta(
            description=f"Travel with the job; {MAX_HEADERS:,} bytes as JSON at most",
            examples=[{"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}],
        ),
    ] = msgspec.field(default_factory=dict[str, str])
    job_id: Annotated[str, Meta(pattern=_JOB_ID)] | None = None


class SubmittedView(Struct, frozen=True):
    """The id under which the job runs. `duplicate`: it is an unfinished job's of the same key."""

    job_id: Id
    duplicate: bool


class CancelRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Why a job is cancelled; shown with it."""

    reason: Annotated[str, Meta(min_length=1, max_length=255)] = "cancelled over HTTP"


_UTC = "In UTC where it names no zone"


class BulkFilter(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which jobs: as the filters of the list. Several values of one field are alternatives."""

    status: list[JobStatus] = msgspec.field(default_factory=list[JobStatus])
    function: list[Name] = msgspec.field(default_factory=list[str])
    queue: list[Name] = msgspec.field(default_factory=list[str])
    worker_id: list[Name] = msgspec.field(default_factory=list[str])
    key: Name | None = None
    parent_id: Name | None = None
    root_id: Name | None = None
    q: Name | None = None
    submitted_after: Annotated[datetime, Meta(description=_UTC)] | None = None
    submitted_before: Annotated[datetime, Meta(description=_UTC)] | None = None


class BulkRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One action on many jobs: those of a filter, those of these ids, or all that allow it.

    It takes exactly one of `filter`, `ids` and `all: true`.
    """

    action: Literal["cancel", "retry", "delete"]
    filter: BulkFilter | None = None
    ids: Annotated[list[Name], Meta(max_length=1000)] | None = None
    all: Annotated[bool, Meta(description="An empty filter is meant")] = False


class BulkView(Struct, frozen=True, kw_only=True):
    """What became of the jobs that matched.

    `done` includes `requested`: running jobs whose workers were asked to stop them. `skipped` were
    in a status that forbids it, or gone. `failed` weren't reached, because the queue went away.
    """

    matched: int
    done: int
    requested: int
    skipped: int
    failed: int


class PublishRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """What an event says: the arguments of its handlers, by name."""

    arguments: Annotated[dict[str, Any], Meta(examples=[{"order_id": "o1"}])] = msgspec.field(
        default_factory=dict[str, Any]
    )


class HandledBy(Struct, frozen=True):
    """A job that handles an event."""

    job_id: Id
    function: FunctionName


class PublishedView(Struct, frozen=True):
    """The jobs that came of an event: one for each handler; none where nobody handles it."""

    jobs: list[HandledBy]
