"""A job and what surrounds it, as plain frozen records shared by every layer.

All times are integers: milliseconds since the epoch by the *store's* clock. All payloads
(arguments, results, metadata, checkpoints) are JSON bytes made by `conduit.core.codec`; no layer
below the SDK opens them.

`gc=False` on the records of the hot path spares the garbage collector from walking millions of
them; none can be part of a cycle.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from msgspec import Raw, Struct

from conduit.core.layout import Counted, Ended, Fixed, Leased, Noted

DEFAULT_QUEUE = "default"
DEFAULT_MAX_DELIVERIES = 3
NO_TIMEOUT = 0
"""As a job's `timeout_ms`: it has none, whatever its function says."""
MIN_PRIORITY, MAX_PRIORITY = -100, 100
MAX_AFTER = 1000
"""For how many jobs one job can wait."""
MAX_HEADERS = 4096
"""Bytes of a job's headers as JSON."""


NOTHING = Raw()
"""A JSON value that isn't there; unlike the value `null`, which is `b"null"`."""
ANYTHING = Raw(b"{}")
"""The JSON Schema (2020-12) that every value fits."""


class JobStatus(StrEnum):
    """Where a job is in its life. The legal moves between these stand in `transitions.py`."""

    BLOCKED = "blocked"
    SCHEDULED = "scheduled"
    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def finished(self) -> bool:
        """Whether the status is terminal."""
        return self in FINISHED


FINISHED = frozenset({JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED})


class Reason(StrEnum):
    """Why a job ended other than by completing. A cancel may carry its caller's words instead."""

    ERROR = "error"
    TIMEOUT = "timeout"
    FAIL = "fail"
    MAX_DELIVERIES = "max_deliveries"
    BAD_PAYLOAD = "bad_payload"
    BAD_RESULT = "bad_result"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


class JobError(Struct, frozen=True, omit_defaults=True):
    """What an attempt died of: the exception's type name, its words, its traceback as text.

    `qualified_name` is that of the type with its module, such as `shop.errors.CardDeclined`; None
    where no exception was raised.
    """

    type: str
    message: str
    traceback: str | None = None
    qualified_name: str | None = None


class Terms(Struct, frozen=True, gc=False):
    """What is said of a job when it is submitted, and holds for good.

    What has a default here has it for good: nothing. Other defaults are `NewJob`'s, and are stored.
    `timeout_ms` and `retries` override the function's own settings. `after` are ids of jobs that
    have to complete before this one may start, `MAX_AFTER` at most; one that is named twice is
    waited for once. `headers` travel with the job, `MAX_HEADERS` at most, and mean nothing to it.
    """

    function: Fixed[str]
    queue: Fixed[str]
    priority: Fixed[int]
    max_deliveries: Fixed[int]
    key: Fixed[str | None] = None
    parent_id: Fixed[str | None] = None
    root_id: Fixed[str | None] = None
    retries: Fixed[int | None] = None
    timeout_ms: Fixed[int | None] = None
    after: Fixed[tuple[str, ...]] = ()
    headers: Fixed[dict[str, str]] = {}


def terms_of(job: Terms) -> dict[str, Any]:
    """What was said of a job when it was submitted, by name."""
    return {name: getattr(job, name) for name in Terms.__struct_fields__}


class NewJob(Terms, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A job as it is submitted.

    `id` is made by the caller, so that a submit can be repeated safely. `delay_ms` counts from the
    store's clock at submission; `run_at` is absolute and wins. `expires_ms` and `unique_ms` count
    from submission too.
    """

    id: str
    queue: str = DEFAULT_QUEUE
    priority: int = 0
    max_deliveries: int = DEFAULT_MAX_DELIVERIES
    args: bytes = b"{}"
    metadata: bytes = b"{}"
    delay_ms: int = 0
    run_at: int | None = None
    expires_ms: int | None = None
    unique_ms: int | None = None


class _Kept(Terms, frozen=True, kw_only=True, gc=False):
    """What every stored job has beside its terms."""

    id: Fixed[str]
    args: Fixed[bytes]
    submitted_at: Fixed[int]
    status: Counted[JobStatus]
    run_at: Counted[int]


class Job(_Kept, frozen=True, gc=False):
    """A stored job, as the queue knows it now.

    `attempt` is what people count: 1 for the first run, one more after each failure or rescue; a
    job that was handed back keeps it. `fence` is what the store counts: the number of leases ever
    granted; it never falls, not even over a retry that opens a new `generation`. `seq` numbers the
    job's events without a gap. `claimed_at` and `started_at` are the latest attempt's: since when a
    worker holds it, and when its function began, which is empty until the queue was told so.
    """

    expires_at: Counted[int | None] = None
    seq: Counted[int] = 1
    generation: Counted[int] = 1
    attempt: Counted[int] = 0
    failures: Counted[int] = 0
    rescues: Counted[int] = 0
    fence: Counted[int] = 0
    token: Leased[str | None] = None
    worker_id: Leased[str | None] = None
    claimed_at: Leased[int | None] = None
    started_at: Leased[int | None] = None
    cancel_requested: Leased[bool] = False
    progress: Leased[float | None] = None
    progress_message: Leased[str | None] = None
    finished_at: Ended[int | None] = None
    reason: Ended[str | None] = None
    error: Ended[JobError | None] = None
    result: Ended[bytes | None] = None
    metadata: Noted[bytes] = b"{}"
    checkpoint: Noted[bytes | None] = None
    steps: Noted[bytes] = b"{}"


class Lease(Struct, frozen=True, gc=False):
    """The right to change one running job: `token` is `fence:random`, new for each claim."""

    job_id: str
    token: str


class Level(StrEnum):
    """Severity of a captured log line."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


class LogLine(Struct, frozen=True):
    """One captured log record of a job; `at` is the worker's clock, `number` counts per job."""

    at: int
    level: Level
    logger: str
    message: str
    attempt: int = 0
    number: int = 0


class Artifact(Struct, frozen=True):
    """A named file that a job kept: its description, without the bytes."""

    name: str
    content_type: str
    size: int
    sha256: str


class ParameterKind(StrEnum):
    """How an argument may be given: by position, by name, or by both."""

    POSITIONAL_ONLY = "positional_only"
    POSITIONAL_OR_KEYWORD = "positional_or_keyword"
    VAR_POSITIONAL = "var_positional"
    KEYWORD_ONLY = "keyword_only"
    VAR_KEYWORD = "var_keyword"


class ParameterInfo(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One parameter of a function, as data.

    The stored arguments have one value per parameter. That of `*args` is a list, that of `**kwargs`
    an object, and `schema` describes it as a whole.
    """

    name: str
    kind: ParameterKind = ParameterKind.POSITIONAL_OR_KEYWORD
    required: bool = False
    annotation: str = ""
    """As written in the source, for people."""
    schema: Raw = ANYTHING
    default: Raw = NOTHING
    """Its default as JSON, where it has one that JSON can carry."""


class FunctionInfo(Struct, frozen=True, kw_only=True):
    """What a worker says of a function it can run, so that others can submit it by name."""

    name: str
    worker: str
    queue: str = DEFAULT_QUEUE
    signature: str = "()"
    """For people; programs read `parameters`."""
    parameters: tuple[ParameterInfo, ...] = ()
    doc: str = ""
    retries: int = 0
    timeout_ms: int | None = None
    priority: int = 0
    max_deliveries: int = DEFAULT_MAX_DELIVERIES
    event: str | None = None
    """The event pattern that this function handles, if it is a handler."""
    paused: bool = False
    """Whether its jobs wait, as the queue has it; what a worker says of it counts for nothing."""


class CronInfo(Struct, frozen=True, kw_only=True):
    """A schedule: what a worker says of it, and below that, as the queue has it now.

    `schedule` and `timezone` are what `parse_schedule` takes. `fingerprint` changes with anything
    that is said here, `rhythm` with the times of the ticks.
    """

    name: str
    function: str
    worker: str
    schedule: str
    timezone: str
    fingerprint: str
    rhythm: str
    catchup: str
    overlap: str = "skip"
    queue: str = DEFAULT_QUEUE
    priority: int = 0
    max_deliveries: int = DEFAULT_MAX_DELIVERIES
    last_tick: int = 0
    """Ticks up to here are settled."""
    paused: bool = False
    alive: bool = False
    """Whether a live worker runs it."""
    last_job: str | None = None
    """The id of the last tick's job, which may be forgotten by now."""
    skipped: int = 0
    """How many ticks in a row became no job, because that one is unfinished."""


class StandstillWait(Struct, frozen=True, kw_only=True):
    """Jobs of one function wait for jobs of another, which are queued, or held by `holder`."""

    waiter: str
    awaited: str
    queue: str
    holder: str = ""
    """The id of a worker."""


class Standstill(Struct, frozen=True, kw_only=True):
    """All places that a worker has for some functions are held by jobs that wait for other jobs."""

    places: int
    functions: tuple[str, ...]
    waits: tuple[StandstillWait, ...]


class WorkerInfo(Struct, frozen=True, kw_only=True):
    """One running worker process as it reports itself; `seen_at` is its last heartbeat."""

    id: str
    name: str
    host: str
    pid: int
    version: str
    queues: tuple[str, ...]
    concurrency: int
    running: int = 0
    started_at: int = 0
    seen_at: int = 0
    standstills: tuple[Standstill, ...] = ()


class QueueInfo(Struct, frozen=True, kw_only=True):
    """Depth and state of one queue; `oldest_at` is when its longest-waiting job became due."""

    name: str
    paused: bool = False
    queued: int = 0
    scheduled: int = 0
    running: int = 0
    blocked: int = 0
    oldest_at: int | None = None
