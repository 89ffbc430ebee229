"""What a worker knows of a task function, and of itself: declared once, never changed."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from conduit.core.codec import DEFAULT_PAYLOAD_LIMIT, Signature
from conduit.core.errors import ArgumentError, PayloadError
from conduit.core.model import (
    DEFAULT_MAX_DELIVERIES,
    DEFAULT_QUEUE,
    CronInfo,
    FunctionInfo,
    NewJob,
)
from conduit.core.new_jobs import new_job
from conduit.core.retry import RetryPolicy
from conduit.core.schedule import Catchup, Overlap, Schedule
from conduit.engine.context import Context
from conduit.engine.executors.processes import ProcessTarget
from conduit.queue.base import DEFAULT_LEASE_MS
from conduit.submission import Passage, SubmitMiddleware

Hook = Callable[..., Awaitable[None] | None]
Next = Callable[[], Awaitable[Any]]
Middleware = Callable[[Context, Next], Awaitable[Any]]
"""Wraps every job of a worker: `async def middleware(ctx, call_next)`, which calls the latter."""


class Mode(StrEnum):
    """Where a function runs: coroutine functions on the loop, plain ones in a thread or process."""

    ASYNC = "async"
    THREAD = "thread"
    PROCESS = "process"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """Callables, plain or async, around a job. An error in one is logged and changes nothing.

    `on_start(ctx)` · `on_success(ctx, value)` · `on_failure(ctx, error)` · `on_retry(ctx, error)` ·
    `on_complete(ctx)`, the last one after success and final failure alike. None is called for a
    cancelled job, nor for one that had to be left behind.
    """

    on_start: Hook | None = None
    on_success: Hook | None = None
    on_failure: Hook | None = None
    on_retry: Hook | None = None
    on_complete: Hook | None = None


NO_HOOKS = Hooks()


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """A task function with its options. Times in seconds."""

    name: str
    call: Callable[..., Any]
    signature: Signature
    mode: Mode
    queue: str = DEFAULT_QUEUE
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    timeout: float | None = None
    priority: int = 0
    max_deliveries: int = DEFAULT_MAX_DELIVERIES
    hooks: Hooks = NO_HOOKS
    event: str | None = None
    """The pattern of events that this function handles."""
    target: ProcessTarget | None = None
    """How a worker process finds the function again; set in process mode."""

    def check_arguments(self, job: NewJob) -> None:
        """Check that a job's arguments, which were changed, fit. Raises `ArgumentError`."""
        try:
            self.signature.decode(job.args)
        except PayloadError as error:
            raise ArgumentError(
                f"what a submit middleware made of the arguments: {error}"
            ) from error

    def info(self, worker: str) -> FunctionInfo:
        """What others are told of this function."""
        return FunctionInfo(
            name=self.name,
            worker=worker,
            queue=self.queue,
            signature=str(self.signature),
            parameters=self.signature.parameters(),
            doc=(self.call.__doc__ or "").strip().partition("\n")[0],
            retries=self.retry.retries,
            timeout_ms=None if self.timeout is None else round(self.timeout * 1000),
            priority=self.priority,
            max_deliveries=self.max_deliveries,
            event=self.event,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Cron:
    """A schedule and the function it submits, without arguments."""

    name: str
    function: str
    queue: str
    schedule: Schedule
    timezone: str
    catchup: Catchup = Catchup.ONE
    overlap: Overlap = Overlap.SKIP
    priority: int = 0
    max_deliveries: int = DEFAULT_MAX_DELIVERIES

    @property
    def fingerprint(self) -> str:
        """8 hex digits that change with anything that is declared of the schedule."""
        said = (
            self.schedule.describe(),
            self.timezone,
            self.function,
            self.queue,
            self.catchup,
            self.overlap,
            self.priority,
            self.max_deliveries,
        )
        return hashlib.sha256(repr(tuple(map(str, said))).encode()).hexdigest()[:8]

    def job(self, at: int) -> NewJob:
        """What becomes of the tick at `at`: a new job each time that a clock brings it."""
        return new_job(f"cron:{self.name}:{secrets.token_hex(4)}:{at}", self.function, self)

    def info(self, worker: str) -> CronInfo:
        """What the queue keeps of this schedule."""
        return CronInfo(
            name=self.name,
            function=self.function,
            worker=worker,
            schedule=self.schedule.spec(),
            timezone=self.timezone,
            fingerprint=self.fingerprint,
            rhythm=self.schedule.fingerprint(),
            catchup=self.catchup.value,
            overlap=self.overlap.value,
            queue=self.queue,
            priority=self.priority,
            max_deliveries=self.max_deliveries,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSpec:
    """All that `WorkerService` needs to run. Times in seconds unless the name says otherwise.

    `queues` maps a queue's name to its weight: a queue of weight 3 gives three jobs where one of
    weight 1 gives one; equal weights take turns.
    """

    name: str
    functions: Mapping[str, Function]
    crons: Sequence[Cron] = ()
    queues: Mapping[str, int] = field(default_factory=lambda: {DEFAULT_QUEUE: 1})
    concurrency: int = 50
    """Jobs that run at once on the loop and in threads; those in processes have own places."""
    prefetch: int | None = None
    """Jobs to hold beyond those that run; None: some, while jobs are short, else none."""
    processes: int = 2
    """Worker processes for functions in process mode."""
    max_jobs: int | None = None
    """After so many jobs a process is replaced."""
    max_memory: int | None = None
    """Over so many megabytes of memory, too."""
    lifespan: Callable[[], AbstractAsyncContextManager[Any]] | None = None
    middleware: Sequence[Middleware] = ()
    submit_middleware: Sequence[SubmitMiddleware] = ()
    """Around the submits that the worker makes itself: ticks of schedules, and `execute`."""
    lease_ms: int = DEFAULT_LEASE_MS
    shutdown_timeout: float = 25.0
    cancel_grace: float = 30.0
    """For how long a job that is told to stop may go on before it is left behind."""
    connect_timeout: float = 0.0
    """For how long `start` tries to reach a queue that isn't there yet."""
    payload_limit: int = DEFAULT_PAYLOAD_LIMIT

    @property
    def passage(self) -> Passage:
        """The way of the jobs that the worker submits itself."""
        return Passage(
            self.submit_middleware,
            lambda job: self.functions[job.function].check_arguments(job),
            self.payload_limit,
        )

    @property
    def process_places(self) -> int:
        """How many jobs run at once in processes: as many as there are, at most `concurrency`."""
        return min(self.processes, self.concurrency)

    @property
    def wears_out(self) -> bool:
        """Whether the worker's own process is to be replaced: it has limits, and jobs run in it."""
        limited = self.max_jobs is not None or self.max_memory is not None
        modes = {function.mode for function in self.functions.values()}
        return limited and modes != {Mode.PROCESS}
