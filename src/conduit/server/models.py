"""What the HTTP API takes and gives. The OpenAPI page is made of these types.

Times are ISO 8601 in UTC, spans are milliseconds. Payloads (arguments, results, metadata and so on)
are the JSON that they are, byte by byte as the queue has them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Raw, Struct

from conduit.core.model import (
    DEFAULT_QUEUE,
    MAX_PRIORITY,
    MIN_PRIORITY,
    CronInfo,
    FunctionInfo,
    Job,
    JobError,
    JobStatus,
    QueueInfo,
    WorkerInfo,
)
from conduit.core.schedule import parse_schedule
from conduit.server.db.apis import ApiCount, RouteCount
from conduit.server.db.rows import ArtifactRow, AttemptRow, JobRow, LogRow
from conduit.server.db.statistics import Bucket, Ended, Percentiles, Statistics, Window
from conduit.server.ingest.dead import DeadLetter

LATEST = 253_402_300_799_999
"""The last millisecond that a date has: year 9999."""

LONGEST_S = 36_525 * 86_400
"""A hundred years. More is a slip of units, such as milliseconds for seconds."""

Id = Annotated[str, Meta(examples=["0199f1f0-7c3a-7c1e-8d7e-3a9f1c2b4d5e"])]
Time = Annotated[str, Meta(examples=["2026-11-02T09:00:00.000Z"])]
FunctionName = Annotated[str, Meta(examples=["charge"])]
Name = Annotated[str, Meta(min_length=1, max_length=255)]
Seconds = Annotated[float, Meta(ge=0, le=LONGEST_S)]


def iso(ms: int) -> str:
    """A time in ISO 8601, UTC, to the millisecond; beyond the calendar, its end."""
    ms = min(max(ms, 0), LATEST)
    return (
        datetime.fromtimestamp(ms // 1000, UTC)
        .replace(microsecond=ms % 1000 * 1000)
        .isoformat(timespec="milliseconds")[:-6]
        + "Z"
    )


def _iso(ms: int | None) -> str | None:
    return None if ms is None else iso(ms)


# --- jobs ------------------------------------------------------------------------------------


class ErrorView(Struct, frozen=True):
    """What an attempt died of."""

    type: Annotated[str, Meta(examples=["CardError"])]
    message: Annotated[str, Meta(examples=["card declined"])]
    traceback: str | None = None


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
    started_at: Time | None
    finished_at: Time | None
    seq: Annotated[int, Meta(description="How many steps the job has made; rises with each")]


class JobDetail(JobSummary, frozen=True, kw_only=True):
    """A job with its payloads."""

    args: Annotated[Raw, Meta(examples=[{"order_id": "o1", "cents": 100}])]
    result: Raw | None
    metadata: Raw
    checkpoint: Raw | None
    steps: Raw


class JobPageView(Struct, frozen=True, kw_only=True):
    """Jobs that match; `total` is the exact count under the same filters."""

    items: list[JobSummary]
    total: int
    limit: int
    offset: int
    next_cursor: str | None


def as_job(row: JobRow) -> Job:
    """A row of the history as the job that it tells of."""
    fields = _fields(row, _OF_A_ROW)
    for name in ("args", "metadata", "steps", "result", "checkpoint"):
        fields[name] = None if fields[name] is None else fields[name].encode()
    if row.error is not None:
        fields["error"] = msgspec.json.decode(row.error, type=JobError)
    return Job(**fields)


_OF_A_ROW = [name for name in JobRow.__struct_fields__ if name != "applied_at"]


def summary(job: Job) -> JobSummary:
    """A job for a list: its error without the traceback."""
    return JobSummary(**_common(job, traceback=False))


def detail(job: Job) -> JobDetail:
    """A job in full. Its token, the right to change it, is its worker's alone."""
    return JobDetail(
        **_common(job, traceback=True),
        args=Raw(job.args),
        result=_raw(job.result),
        metadata=Raw(job.metadata),
        checkpoint=_raw(job.checkpoint),
        steps=Raw(job.steps),
    )


def _raw(payload: bytes | None) -> Raw | None:
    return None if payload is None else Raw(payload)


def _fields(item: Struct, names: Sequence[str], **others: Any) -> dict[str, Any]:
    """The fields of these names, `others` in place of some."""
    return {name: getattr(item, name) for name in names} | others


def _common(job: Job, *, traceback: bool) -> dict[str, Any]:
    fields = _fields(job, _COPIED)
    for name in ("submitted_at", "run_at", "expires_at", "started_at", "finished_at"):
        fields[name] = _iso(fields[name])
    fields["error"] = _error_view(job.error, traceback=traceback)
    return fields


_COPIED = [name for name in JobSummary.__struct_fields__ if name != "error"]


def _error_view(error: JobError | None, *, traceback: bool) -> ErrorView | None:
    if error is None:
        return None
    return ErrorView(error.type, error.message, error.traceback if traceback else None)


class AttemptView(Struct, frozen=True, kw_only=True):
    """One start of a job and how it ended."""

    number: Annotated[int, Meta(description="Of this start; never falls, not even over a retry")]
    generation: int
    attempt: int
    worker_id: str | None
    started_at: Time
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
        started_at=iso(row.started_at),
        ended_at=_iso(row.ended_at),
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


# --- submitting and acting -------------------------------------------------------------------


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
    priority: Annotated[int, Meta(ge=MIN_PRIORITY, le=MAX_PRIORITY)] | None = None
    key: Annotated[
        Name | None, Meta(description="While a job of this key is unfinished, it is answered")
    ] = None
    unique_for: Annotated[float, Meta(gt=0, le=LONGEST_S)] | None = None
    expires: Annotated[float, Meta(gt=0, le=LONGEST_S)] | None = None
    timeout: Annotated[float, Meta(gt=0, le=LONGEST_S)] | None = None
    retries: Annotated[int, Meta(ge=0, le=1_000_000)] | None = None
    metadata: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])
    job_id: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.:-]{1,64}$")] | None = None


class SubmittedView(Struct, frozen=True):
    """The id under which the job runs. `duplicate`: it is an unfinished job's of the same key."""

    job_id: Id
    duplicate: bool


class CancelRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Why a job is cancelled; shown with it."""

    reason: Annotated[str, Meta(min_length=1, max_length=255)] = "cancelled over HTTP"


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
    submitted_after: Annotated[datetime, Meta(tz=True)] | None = None
    submitted_before: Annotated[datetime, Meta(tz=True)] | None = None


class BulkRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One action on many jobs: those of a filter, those of these ids, or all that allow it."""

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


# --- what the queue knows --------------------------------------------------------------------


class FunctionView(Struct, frozen=True, kw_only=True):
    """A function that some worker has registered."""

    name: FunctionName
    worker: str
    queue: str
    signature: Annotated[str, Meta(examples=["charge(order_id: str, cents: int = 100)"])]
    parameters: Annotated[Raw, Meta(description="JSON Schema of the parameters, as far as told")]
    doc: str
    retries: int
    timeout_ms: int | None
    priority: int
    max_deliveries: int
    event: Annotated[str, Meta(description="The event pattern that it handles")] | None


def function_view(info: FunctionInfo) -> FunctionView:
    """A function as its worker registered it."""
    parameters = Raw((info.parameters or "{}").encode())
    return FunctionView(**_fields(info, FunctionView.__struct_fields__, parameters=parameters))


class QueueView(Struct, frozen=True, kw_only=True):
    """Depth and state of a queue; `oldest_at` is when its longest-waiting job became due."""

    name: str
    paused: bool
    queued: int
    scheduled: int
    running: int
    oldest_at: Time | None


def queue_view(info: QueueInfo) -> QueueView:
    """A queue as it is now."""
    oldest_at = _iso(info.oldest_at)
    return QueueView(**_fields(info, QueueView.__struct_fields__, oldest_at=oldest_at))


class CronView(Struct, frozen=True, kw_only=True):
    """A schedule. Ticks up to `ticked_up_to` are settled; `next_tick` is null while paused."""

    name: str
    function: FunctionName
    worker: str
    queue: str
    schedule: Annotated[str, Meta(examples=["0 9 * * *"])]
    timezone: Annotated[str, Meta(examples=["Europe/Zurich"])]
    description: str
    catchup: str
    priority: int
    paused: bool
    ticked_up_to: Time | None
    next_tick: Time | None


def cron_view(info: CronInfo, now: int) -> CronView:
    """A schedule as it stands at `now`, in milliseconds."""
    schedule = parse_schedule(info.schedule, info.timezone)
    return CronView(
        name=info.name,
        function=info.function,
        worker=info.worker,
        queue=info.queue,
        schedule=info.schedule,
        timezone=info.timezone,
        description=schedule.describe(),
        catchup=info.catchup,
        priority=info.priority,
        paused=info.paused,
        ticked_up_to=iso(info.last_tick) if info.last_tick else None,
        next_tick=None if info.paused else _iso(schedule.next_after(now)),
    )


class WorkerView(Struct, frozen=True, kw_only=True):
    """A running worker process; `seen_at` is its last heartbeat."""

    id: str
    name: str
    host: str
    pid: int
    version: str
    queues: tuple[str, ...]
    concurrency: int
    running: int
    started_at: Time
    seen_at: Time


def worker_view(info: WorkerInfo) -> WorkerView:
    """A worker as it reported itself."""
    times = {"started_at": iso(info.started_at), "seen_at": iso(info.seen_at)}
    return WorkerView(**_fields(info, WorkerView.__struct_fields__, **times))


class FunctionsView(Struct, frozen=True):
    """Functions by name. `stale`: the queue is out of reach, and this is from `at`."""

    items: list[FunctionView]
    stale: bool
    at: Time


class QueuesView(Struct, frozen=True):
    """Queues by name. `stale`: the queue is out of reach, and this is from `at`."""

    items: list[QueueView]
    stale: bool
    at: Time


class CronsView(Struct, frozen=True):
    """Schedules by name. `stale`: the queue is out of reach, and this is from `at`."""

    items: list[CronView]
    stale: bool
    at: Time


class WorkersView(Struct, frozen=True):
    """Workers by id. `stale`: the queue is out of reach, and this is from `at`."""

    items: list[WorkerView]
    stale: bool
    at: Time


class EventView(Struct, frozen=True):
    """An event pattern that functions handle."""

    pattern: Annotated[str, Meta(examples=["order.*"])]
    handlers: list[FunctionName]


class EventsView(Struct, frozen=True):
    """Event patterns. `stale`: the queue is out of reach, and this is from `at`."""

    items: list[EventView]
    stale: bool
    at: Time


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


# --- statistics ------------------------------------------------------------------------------


class SpentView(Struct, frozen=True, kw_only=True):
    """Milliseconds that half, 95 % and 99 % stayed within; `of` is how many jobs that tells of."""

    p50: float | None
    p95: float | None
    p99: float | None
    of: int


class EndedView(Struct, frozen=True, kw_only=True):
    """Jobs that ended, how many of them in a second, and how long they waited and ran.

    `error_rate` is the share that failed, of those that weren't cancelled.
    """

    total: int
    completed: int
    failed: int
    cancelled: int
    per_second: float
    error_rate: float | None
    wait_ms: SpentView
    run_ms: SpentView


class StatsView(Struct, frozen=True, kw_only=True):
    """What happened from `after` until `before`. `statuses` counts all jobs as they are now."""

    after: Time
    before: Time
    submitted: int
    statuses: Annotated[dict[JobStatus, int], Meta(examples=[{"queued": 3, "completed": 40}])]
    overall: EndedView
    functions: dict[str, EndedView]


class BucketView(Struct, frozen=True, kw_only=True):
    """What happened from `at` until the next bucket."""

    at: Time
    submitted: int
    ended: EndedView


class TrendsView(Struct, frozen=True, kw_only=True):
    """Buckets of `bucket_ms`, oldest first, also where nothing happened."""

    after: Time
    before: Time
    bucket_ms: int
    items: list[BucketView]


def stats_view(window: Window, found: Statistics) -> StatsView:
    """Statistics of a window."""
    ms = window.before - window.after
    return StatsView(
        after=iso(window.after),
        before=iso(window.before),
        submitted=found.submitted,
        statuses=dict(found.statuses),
        overall=_ended_view(found.overall, ms),
        functions={name: _ended_view(each, ms) for name, each in found.functions.items()},
    )


def trends_view(window: Window, bucket_ms: int, buckets: Sequence[Bucket]) -> TrendsView:
    """Statistics over time."""
    return TrendsView(
        after=iso(window.after),
        before=iso(window.before),
        bucket_ms=bucket_ms,
        items=[
            BucketView(
                at=iso(each.at), submitted=each.submitted, ended=_ended_view(each.ended, bucket_ms)
            )
            for each in buckets
        ],
    )


def _ended_view(ended: Ended, ms: int) -> EndedView:
    return EndedView(
        total=ended.total,
        completed=ended.completed,
        failed=ended.failed,
        cancelled=ended.cancelled,
        per_second=ended.total * 1000 / ms,
        error_rate=ended.error_rate,
        wait_ms=_spent_view(ended.wait),
        run_ms=_spent_view(ended.run),
    )


def _spent_view(spent: Percentiles) -> SpentView:
    return SpentView(p50=spent.p50, p95=spent.p95, p99=spent.p99, of=spent.of)


class ApiView(Struct, frozen=True, kw_only=True):
    """An HTTP API beside the workers.

    `statuses` counts by class, `2xx` and so on; `errors` are the 5xx. `mean_ms` and `latency_ms`
    are what callers waited for.
    """

    name: str
    requests: int
    per_second: float
    errors: int
    statuses: dict[str, int]
    mean_ms: float
    latency_ms: SpentView
    last_minute: Time


class ApisView(Struct, frozen=True, kw_only=True):
    """APIs that were asked in the minutes that began from `after` until `before`."""

    after: Time
    before: Time
    items: list[ApiView]


class RouteView(Struct, frozen=True, kw_only=True):
    """Requests of one route, as it was declared; `statuses` counts by status."""

    method: str
    route: str
    requests: int
    per_second: float
    errors: int
    statuses: dict[str, int]
    mean_ms: float
    latency_ms: SpentView


class ApiDetail(Struct, frozen=True, kw_only=True):
    """One API, route by route."""

    name: str
    after: Time
    before: Time
    routes: list[RouteView]


def api_view(window: Window, found: ApiCount) -> ApiView:
    """An API with its counts."""
    classes: Counter[str] = Counter()
    for status, many in found.statuses.items():
        classes[f"{status // 100}xx"] += many
    return ApiView(
        name=found.name,
        requests=found.requests,
        per_second=_per_second(window, found.requests),
        errors=found.errors,
        statuses=dict(classes),
        mean_ms=found.total_ms / found.requests,
        latency_ms=_spent_view(found.latency),
        last_minute=iso(found.last_minute),
    )


def route_view(window: Window, found: RouteCount) -> RouteView:
    """A route with its counts."""
    return RouteView(
        method=found.method,
        route=found.route,
        requests=found.requests,
        per_second=_per_second(window, found.requests),
        errors=found.errors,
        statuses={str(status): many for status, many in found.statuses.items()},
        mean_ms=found.total_ms / found.requests,
        latency_ms=_spent_view(found.latency),
    )


def _per_second(window: Window, requests: int) -> float:
    return requests * 1000 / (window.before - window.after)


# --- dead letters ----------------------------------------------------------------------------


class DeadLetterView(Struct, frozen=True, kw_only=True):
    """An event that couldn't be applied to the history. `body` is the event, as text."""

    id: int
    job_id: str | None
    reason: str
    body: str
    deliveries: int
    at: Time
    replayed_at: Time | None


class DeadLettersView(Struct, frozen=True):
    """Dead letters, newest first. `next_before` is what to pass as `before` for older ones."""

    items: list[DeadLetterView]
    next_before: int | None


class ReplayView(Struct, frozen=True):
    """What became of a letter that was tried again."""

    id: int
    outcome: Literal["applied", "unreadable"]


def dead_letter_view(letter: DeadLetter) -> DeadLetterView:
    """A letter as it was kept."""
    return DeadLetterView(
        id=letter.id,
        job_id=letter.job_id,
        reason=letter.reason,
        body=letter.body,
        deliveries=letter.deliveries,
        at=iso(letter.at),
        replayed_at=_iso(letter.replayed_at),
    )


# --- the server itself -----------------------------------------------------------------------


class SessionRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """A key to sign in with."""

    key: Annotated[str, Meta(min_length=1, max_length=512)]


class SessionView(Struct, frozen=True):
    """Who is asking. `name` is null where no key is asked for."""

    role: Annotated[str, Meta(examples=["operate"])]
    name: str | None
    keys_required: bool


class HealthView(Struct, frozen=True):
    """The server is alive."""

    status: Literal["ok"]
    version: str


class CheckView(Struct, frozen=True):
    """How one of the stores is."""

    status: Literal["ok", "unavailable"]
    address: str | None = None
    detail: str | None = None


class ReadyView(Struct, frozen=True):
    """Whether the server can do all that it is for."""

    status: Literal["ok", "unavailable"]
    checks: dict[str, CheckView]
