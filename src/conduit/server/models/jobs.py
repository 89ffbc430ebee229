"""Jobs and what belongs to them: attempts, log lines, relatives, artifacts."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw, Struct

from conduit.core import layout
from conduit.core.model import (
    DEFAULT_QUEUE,
    Job,
    JobError,
    JobStatus,
)
from conduit.server.db.graph import EdgeKind, Graph
from conduit.server.db.queries import ARGS_SHOWN
from conduit.server.db.rows import ArtifactRow, AttemptRow, JobRow, LogRow
from conduit.server.models.fields import (
    FunctionName,
    Id,
    Time,
    fields_of,
    iso,
    iso_or_none,
)


class ErrorView(Struct, frozen=True):
    """What an attempt died of."""

    type: Annotated[str, Meta(examples=["CardError"])]
    message: Annotated[str, Meta(examples=["card declined"])]
    traceback: str | None = None
    qualified_name: Annotated[
        str | None,
        Meta(
            description="The type with its module; null where no exception was raised",
            examples=["shop.errors.CardError"],
        ),
    ] = None


class JobSummary(Struct, frozen=True, kw_only=True):
    """A job without its payloads. `attempt` is 1 for the first run, 0 before it."""

    id: Id
    function: FunctionName
    queue: Annotated[str, Meta(examples=[DEFAULT_QUEUE])]
    status: JobStatus
    priority: int
    key: str | None
    parent_id: str | None
    root_id: str | None
    generation: int
    attempt: int
    failures: int
    rescues: int
    retries: int | None
    timeout_ms: int | None
    max_deliveries: int
    worker_id: str | None
    cancel_requested: bool
    reason: str | None
    error: ErrorView | None
    progress: float | None
    progress_message: str | None
    submitted_at: Time
    run_at: Time
    expires_at: Time | None
    claimed_at: Annotated[
        Time | None, Meta(description="Since when a worker holds it, or held it last")
    ]
    started_at: Annotated[
        Time | None,
        Meta(description="When its function began; null while a running job is only held"),
    ]
    finished_at: Time | None
    seq: Annotated[int, Meta(description="How many steps the job has made; rises with each")]
    args_preview: Annotated[
        str,
        Meta(
            description=f"The first {ARGS_SHOWN} characters of its arguments, which are JSON",
            examples=['{"order_id":"o1","cents":100}'],
        ),
    ]


class JobDetail(JobSummary, frozen=True, kw_only=True):
    """A job with its payloads and headers, and the ids of the jobs that it was to wait for."""

    after: list[Id]
    args: Annotated[Raw, Meta(examples=[{"order_id": "o1", "cents": 100}])]
    result: Raw | None
    metadata: Raw
    headers: dict[str, str]
    checkpoint: Raw | None
    steps: Raw


class JobPageView(Struct, frozen=True, kw_only=True):
    """Jobs that match; `total` is the exact count under the same filters.

    `statuses` counts those of each status under the other filters, where `by_status` asked for it.
    """

    items: list[JobSummary]
    total: int
    limit: int
    offset: int
    next_cursor: str | None
    statuses: (
        Annotated[dict[JobStatus, int], Meta(examples=[{"failed": 3, "completed": 40}])] | None
    )


def as_job(row: JobRow) -> Job:
    """A row of the history as the job that it tells of."""
    fields = fields_of(row, _OF_A_ROW)
    for name in _PAYLOADS:
        fields[name] = None if fields[name] is None else fields[name].encode()
    if row.error is not None:
        fields["error"] = msgspec.json.decode(row.error, type=JobError)
    return Job(**fields)


_PAYLOADS = [line.name for line in layout.fields_of(Job) if line.type is bytes]
_OF_A_ROW = [name for name in JobRow.__struct_fields__ if name != "applied_at"]


def summary(job: Job) -> JobSummary:
    """A job for a list: its error without the traceback."""
    return JobSummary(**_common(job, traceback=False))


def detail(job: Job) -> JobDetail:
    """A job in full. Its token, the right to change it, is its worker's alone."""
    return JobDetail(
        **_common(job, traceback=True),
        after=list(job.after),
        args=Raw(job.args),
        result=_raw(job.result),
        metadata=Raw(job.metadata),
        headers=job.headers,
        checkpoint=_raw(job.checkpoint),
        steps=Raw(job.steps),
    )


def _raw(payload: bytes | None) -> Raw | None:
    return None if payload is None else Raw(payload)


def _common(job: Job, *, traceback: bool) -> dict[str, Any]:
    fields = fields_of(job, _COPIED)
    for name in _TIMES:
        fields[name] = iso_or_none(fields[name])
    fields["error"] = _error_view(job.error, traceback=traceback)
    # No character takes more than four bytes, and one that is cut at the end isn't shown.
    fields["args_preview"] = job.args[: 4 * ARGS_SHOWN].decode(errors="ignore")[:ARGS_SHOWN]
    return fields


_TIMES = ("submitted_at", "run_at", "expires_at", "claimed_at", "started_at", "finished_at")
_MADE = ("error", "args_preview")
_COPIED = [name for name in JobSummary.__struct_fields__ if name not in _MADE]


def _error_view(error: JobError | None, *, traceback: bool) -> ErrorView | None:
    if error is None:
        return None
    shown = error.traceback if traceback else None
    return ErrorView(error.type, error.message, shown, error.qualified_name)


class AttemptView(Struct, frozen=True, kw_only=True):
    """One lease of a job and what came of it; without `started_at`, its function never began."""

    number: Annotated[int, Meta(description="Of this lease; never falls, not even over a retry")]
    generation: int
    attempt: int
    worker_id: str | None
    claimed_at: Time
    started_at: Time | None
    ended_at: Time | None
    outcome: Annotated[str, Meta(examples=["failed"])] | None
    reason: str | None
    error: ErrorView | None


class AttemptsView(Struct, frozen=True):
    """A job's attempts, oldest first."""

    items: list[AttemptView]


def attempt_view(row: AttemptRow) -> AttemptView:
    """An attempt as the history has it."""
    error = None if row.error is None else msgspec.json.decode(row.error, type=JobError)
    return AttemptView(
        number=row.fence,
        generation=row.generation,
        attempt=row.attempt,
        worker_id=row.worker_id,
        claimed_at=iso(row.claimed_at),
        started_at=iso_or_none(row.started_at),
        ended_at=iso_or_none(row.ended_at),
        outcome=row.outcome,
        reason=row.reason,
        error=_error_view(error, traceback=True),
    )


class LogView(Struct, frozen=True, kw_only=True):
    """One captured log line. `number` counts per job."""

    number: int
    at: Time
    attempt: int
    level: Annotated[str, Meta(examples=["info"])]
    logger: str
    message: str


class LogsView(Struct, frozen=True):
    """A job's log lines, oldest first. `next_after` is what to pass as `after` for those beyond."""

    items: list[LogView]
    next_after: int | None


def log_view(row: LogRow) -> LogView:
    """A log line as the history has it."""
    return LogView(
        number=row.number,
        at=iso(row.at),
        attempt=row.attempt,
        level=row.level,
        logger=row.logger,
        message=row.message,
    )


class TreeView(Struct, frozen=True):
    """A family of jobs: the first ancestor and all that came of it, by `parent_id`."""

    root_id: Id
    items: list[JobSummary]
    truncated: bool


class GraphNode(Struct, frozen=True, kw_only=True):
    """A job in a graph."""

    id: Id
    function: FunctionName
    status: JobStatus
    queue: str
    submitted_at: Time
    started_at: Time | None
    finished_at: Time | None


class GraphEdge(Struct, frozen=True, kw_only=True):
    """How two jobs of a graph hang together: `target` waits for `source`, or is its child."""

    source: Id
    target: Id
    kind: EdgeKind


class GraphView(Struct, frozen=True, kw_only=True):
    """A job and those that it hangs together with, nearest first; itself is the first."""

    nodes: list[GraphNode]
    edges: list[GraphEdge]
    truncated: bool


def graph_view(graph: Graph) -> GraphView:
    """A graph as the history has it."""
    return GraphView(
        nodes=[
            GraphNode(
                id=node.id,
                function=node.function,
                status=node.status,
                queue=node.queue,
                submitted_at=iso(node.submitted_at),
                started_at=iso_or_none(node.started_at),
                finished_at=iso_or_none(node.finished_at),
            )
            for node in graph.nodes
        ],
        edges=[
            GraphEdge(source=edge.source, target=edge.target, kind=edge.kind)
            for edge in graph.edges
        ],
        truncated=graph.truncated,
    )


class ArtifactView(Struct, frozen=True, kw_only=True):
    """A file that a job kept; its bytes are at `href`."""

    name: str
    content_type: str
    size: int
    sha256: str
    at: Time
    href: str


class ArtifactsView(Struct, frozen=True):
    """What a job kept, by name."""

    items: list[ArtifactView]


def artifact_view(row: ArtifactRow, href: str) -> ArtifactView:
    """An artifact as the history has it."""
    return ArtifactView(
        name=row.name,
        content_type=row.content_type,
        size=row.size,
        sha256=row.sha256,
        at=iso(row.at),
        href=href,
    )
