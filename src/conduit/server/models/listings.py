"""What the queue knows of: functions, queues, crons, workers, events."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, structs

from conduit.core.crons import next_tick
from conduit.core.model import (
    NOTHING,
    CronInfo,
    FunctionInfo,
    ParameterInfo,
    ParameterKind,
    QueueInfo,
    WorkerInfo,
)
from conduit.core.schedule import parse_schedule
from conduit.server.models.fields import (
    FunctionName,
    Time,
    fields_of,
    iso,
    iso_or_none,
)
from conduit.server.operations.listings import Gone, Listing


class ParameterView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A parameter of a function: how it may be given, and what it takes."""

    name: str
    kind: ParameterKind
    required: bool
    annotation: Annotated[
        str, Meta(description="As written in the source", examples=["int | None"])
    ]
    schema: Annotated[Raw, Meta(description="JSON Schema; of all values for *args and **kwargs")]
    default: Annotated[
        Any, Meta(description="Left out where there is none that JSON can carry")
    ] = UNSET


class FunctionView(Struct, frozen=True, kw_only=True):
    """A function that some worker has registered.

    One that is paused and that no worker has any more is told as well, with an empty `worker`.
    """

    name: FunctionName
    worker: str
    queue: str
    signature: Annotated[str, Meta(examples=["charge(order_id: str, cents: int = 100)"])]
    parameters: list[ParameterView]
    doc: str
    retries: int
    timeout_ms: int | None
    priority: int
    max_deliveries: int
    event: Annotated[str, Meta(description="The event pattern that it handles")] | None
    paused: Annotated[bool, Meta(description="Its jobs wait until it is resumed", examples=[False])]


def function_view(info: FunctionInfo) -> FunctionView:
    """A function as its worker registered it, and whether it is paused."""
    parameters = [_parameter_view(each) for each in info.parameters]
    return FunctionView(**fields_of(info, FunctionView.__struct_fields__, parameters=parameters))


def _parameter_view(info: ParameterInfo) -> ParameterView:
    has_default = info.default != NOTHING
    default = msgspec.json.decode(info.default) if has_default else UNSET
    return ParameterView(**fields_of(info, ParameterView.__struct_fields__, default=default))


class FunctionDetail(FunctionView, frozen=True, kw_only=True):
    """A function. `stale`: the queue is out of reach, and this is from `at`."""

    stale: bool
    at: Time


def function_detail(info: FunctionInfo, listing: Listing[FunctionInfo]) -> FunctionDetail:
    """A function as the listing of them has it."""
    view = structs.asdict(function_view(info))
    return FunctionDetail(**view, stale=listing.stale, at=iso(listing.at))


class QueueView(Struct, frozen=True, kw_only=True):
    """Depth and state of a queue; `oldest_at` is when its longest-waiting job became due."""

    name: str
    paused: bool
    queued: int
    scheduled: int
    running: int
    blocked: int
    oldest_at: Time | None


def queue_view(info: QueueInfo) -> QueueView:
    """A queue as it is now."""
    oldest_at = iso_or_none(info.oldest_at)
    return QueueView(**fields_of(info, QueueView.__struct_fields__, oldest_at=oldest_at))


class CronView(Struct, frozen=True, kw_only=True):
    """A schedule, as the definition in force has it. Ticks up to `ticked_up_to` are settled.

    `next_tick` is null while it is paused, or while no worker runs it (`alive`). `last_job` is the
    id of the last tick's job; `skipped` says how many ticks in a row became no job because of it.
    """

    name: str
    function: FunctionName
    worker: str
    queue: str
    schedule: Annotated[str, Meta(examples=["0 9 * * *"])]
    timezone: Annotated[str, Meta(examples=["Europe/Zurich"])]
    description: str
    catchup: str
    overlap: str
    priority: int
    paused: bool
    alive: bool
    last_job: str | None
    skipped: int
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
        overlap=info.overlap,
        priority=info.priority,
        paused=info.paused,
        alive=info.alive,
        last_job=info.last_job,
        skipped=info.skipped,
        ticked_up_to=iso(info.last_tick) if info.last_tick else None,
        next_tick=iso_or_none(next_tick(info, now)),
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
    return WorkerView(**fields_of(info, WorkerView.__struct_fields__, **times))


class WorkerDetail(WorkerView, frozen=True, kw_only=True):
    """A worker. `stale`: the queue is out of reach, and this is from `at`."""

    stale: bool
    at: Time


def worker_detail(info: WorkerInfo, listing: Listing[WorkerInfo]) -> WorkerDetail:
    """A worker as the listing of them has it."""
    view = structs.asdict(worker_view(info))
    return WorkerDetail(**view, stale=listing.stale, at=iso(listing.at))


class GoneWorkerView(Struct, frozen=True, kw_only=True):
    """A worker that was there and isn't any more; `gone_at` is when that was noticed.

    One that stops says so, and is gone at once. One that is lost is gone a minute after `seen_at`.
    """

    id: str
    name: str
    host: str
    pid: int
    version: str
    queues: tuple[str, ...]
    started_at: Time
    seen_at: Time
    gone_at: Time


def gone_worker_view(gone: Gone) -> GoneWorkerView:
    """A worker as it reported itself last."""
    worker = gone.worker
    return GoneWorkerView(
        id=worker.id,
        name=worker.name,
        host=worker.host,
        pid=worker.pid,
        version=worker.version,
        queues=worker.queues,
        started_at=iso(worker.started_at),
        seen_at=iso(worker.seen_at),
        gone_at=iso(gone.at),
    )


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
    """Workers by id. `stale`: the queue is out of reach, and this is from `at`.

    `gone` are those that went within the last hour, as far as this server was there; latest first.
    """

    items: list[WorkerView]
    stale: bool
    at: Time
    gone: list[GoneWorkerView]


class EventView(Struct, frozen=True):
    """An event pattern that functions handle."""

    pattern: Annotated[str, Meta(examples=["order.*"])]
    handlers: list[FunctionName]


class EventsView(Struct, frozen=True):
    """Event patterns. `stale`: the queue is out of reach, and this is from `at`."""

    items: list[EventView]
    stale: bool
    at: Time
