"""`Worker`: tasks, schedules and handlers of events under one name, and what runs them."""

from __future__ import annotations

import asyncio
import difflib
import os
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Literal, ParamSpec, Self, TypeVar, Unpack, cast, overload

from conduit.core.checks import check_count, check_seconds, check_text
from conduit.core.codec import DEFAULT_PAYLOAD_LIMIT
from conduit.core.errors import (
    ArgumentError,
    ConfigurationError,
    InvalidTaskError,
    UnknownFunctionError,
    quoted,
)
from conduit.core.model import DEFAULT_QUEUE
from conduit.core.result import TaskResult
from conduit.core.schedule import Catchup, Overlap, parse_schedule
from conduit.engine.attempts.function import Cron, Function, Middleware, WorkerSpec
from conduit.engine.process.recycling import MEASURES_MEMORY
from conduit.engine.worker import WorkerService
from conduit.queue import Queue
from conduit.sdk import declaration, registry
from conduit.sdk.declaration import (
    FunctionOptions,
    Surroundings,
    SyncExecutor,
    TaskOptions,
    place_of,
)
from conduit.sdk.events import EventHandle
from conduit.sdk.future import task_result
from conduit.sdk.middleware import around_jobs, around_submits, checked
from conduit.sdk.submitting import source_of
from conduit.sdk.task import AsyncTaskHandle, Decorator, PlainTaskHandle, TaskHandle, handle_for
from conduit.submission import SubmitMiddleware

P = ParamSpec("P")
R = TypeVar("R")

MOST_BYTES = 256 * 1024 * 1024
"""The highest `payload_limit`: what every store can keep in one value."""
HEAVIEST = 1000
"""The highest weight of a queue."""

Lifespan = Callable[[], AbstractAsyncContextManager[Any]]


class Worker:
    """A named set of tasks, and the process part that runs them.

        worker = conduit.Worker("orders", concurrency=50)

        @worker.task(retries=3)
        async def charge(order_id: str, cents: int) -> Receipt: ...

    `concurrency`: how many jobs run at once on the event loop and in threads; those in processes
    have places of their own, one per process. `prefetch`: how many more to fetch ahead; None lets
    the worker decide by how long its jobs take. `queues`: names to take jobs from, or a mapping
    from name to weight, by which they take turns. `sync_executor`: where plain functions run.
    `processes`: worker processes for them; None: one per core. `max_jobs`, `max_memory`: a process
    that has run so many jobs, or takes more megabytes, is replaced by a fresh one, worker processes
    everywhere and the worker's own under `conduit run`. `queue_url`: None takes it from the
    settings. `queue`: an object in its place, for the worker and the submits of its tasks. It is
    used where it is open in the running event loop; elsewhere, others on the same store are opened.
    `lifespan`: a function to an async context manager around the worker's life.
    `middleware`: `async def (ctx, call_next)` around each job, the first one outermost.
    `submit_middleware`: `async def (submission, call_next)` around each submit of its tasks, events
    and schedules.
    `shutdown_timeout`: seconds that jobs get to finish when the worker stops. `payload_limit`: the
    most that arguments or a result may take, in bytes of JSON.

    Raises `InvalidTaskError` that names the option that can't work.
    """

    def __init__(
        self,
        name: str,
        *,
        concurrency: int = 50,
        prefetch: int | None = None,
        queues: Sequence[str] | Mapping[str, int] = (DEFAULT_QUEUE,),
        sync_executor: SyncExecutor = "thread",
        processes: int | None = None,
        max_jobs: int | None = None,
        max_memory: int | None = None,
        queue_url: str | None = None,
        queue: Queue | None = None,
        lifespan: Lifespan | None = None,
        middleware: Sequence[Middleware] = (),
        submit_middleware: Sequence[SubmitMiddleware] = (),
        shutdown_timeout: float = 25.0,
        payload_limit: int = DEFAULT_PAYLOAD_LIMIT,
    ) -> None:
        error = InvalidTaskError
        self._name = check_text("name", name, error)
        self._concurrency = check_count("concurrency", concurrency, error, least=1)
        self._prefetch = None if prefetch is None else check_count("prefetch", prefetch, error)
        self._queues = _weights(queues)
        if sync_executor not in ("thread", "process"):
            raise error(f'sync_executor={sync_executor!r} must be "thread" or "process"')
        self._sync_executor: SyncExecutor = sync_executor
        cores = os.cpu_count() or 1
        self._processes = (
            cores if processes is None else check_count("processes", processes, error, least=1)
        )
        self._set_limits(max_jobs, max_memory, error)
        self._queue_url = None if queue_url is None else _checked_url(queue_url, error)
        self._queue = None if queue is None else _checked_queue(queue, error)
        if queue is not None and queue_url is not None:
            raise error(f"queue={queue!r} and queue_url={queue_url!r}: give one of them")
        self._lifespan = _checked_lifespan(lifespan)
        self._middleware: tuple[Middleware, ...] = checked("middleware", middleware)
        self._submit_middleware: tuple[SubmitMiddleware, ...] = checked(
            "submit_middleware", submit_middleware
        )
        self._shutdown_timeout = check_seconds(
            "shutdown_timeout", shutdown_timeout, error, zero=True
        )
        self._payload_limit = check_count(
            "payload_limit", payload_limit, error, least=1, most=MOST_BYTES
        )
        self._functions: dict[str, Function] = {}
        self._handles: list[TaskHandle[..., Any]] = []
        self._crons: list[Cron] = []
        self._connect_timeout = 0.0
        self._service: WorkerService | None = None
        self._running = False

    def __repr__(self) -> str:
        return f"<worker {self._name!r}: {len(self._functions)} functions>"

    # --- facts --------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """What the worker is called."""
        return self._name

    @property
    def concurrency(self) -> int:
        """How many jobs run at once on the event loop and in threads."""
        return self._concurrency

    @property
    def queues(self) -> Mapping[str, int]:
        """The queues it takes jobs from, with their weights."""
        return MappingProxyType(self._queues)

    @property
    def shutdown_timeout(self) -> float:
        """How long its jobs may take to finish when it stops, in seconds."""
        return self._shutdown_timeout

    @property
    def queue_url(self) -> str | None:
        """Where its jobs wait; None: the settings say, or `queue` is used."""
        return self._queue_url

    @property
    def queue(self) -> Queue | None:
        """The queue that was handed over, if one was."""
        return self._queue

    @property
    def payload_limit(self) -> int:
        """The most that arguments or a result may take, in bytes of JSON."""
        return self._payload_limit

    @property
    def submit_middleware(self) -> Sequence[SubmitMiddleware]:
        """What is around its submits, the first one outermost."""
        return self._submit_middleware

    @property
    def functions(self) -> Mapping[str, Function]:
        """Its tasks and handlers by name, as the engine sees them."""
        return MappingProxyType(self._functions)

    @property
    def crons(self) -> Sequence[Cron]:
        """Its schedules."""
        return tuple(self._crons)

    def configure(
        self,
        *,
        queue_url: str | None = None,
        queue: Queue | None = None,
        concurrency: int | None = None,
        connect_timeout: float | None = None,
        max_jobs: int | None = None,
        max_memory: int | None = None,
    ) -> None:
        """Set what is given in place of what the file says, before the worker starts.

        Raises `ConfigurationError` when it has started or a value can't work.
        """
        if self._running:
            raise ConfigurationError(f"worker {self._name!r} has started: configure it before")
        if concurrency is not None:
            self._concurrency = check_count("concurrency", concurrency, ConfigurationError, least=1)
        self._set_limits(
            self._max_jobs if max_jobs is None else max_jobs,
            self._max_memory if max_memory is None else max_memory,
            ConfigurationError,
        )
        if queue_url is not None:
            self._queue_url, self._queue = _checked_url(queue_url, ConfigurationError), None
        if queue is not None:
            self._queue_url, self._queue = None, _checked_queue(queue, ConfigurationError)
        if connect_timeout is not None:
            self._connect_timeout = check_seconds(
                "connect_timeout", connect_timeout, ConfigurationError, zero=True
            )

    def _set_limits(
        self, max_jobs: int | None, max_memory: int | None, error: type[Exception]
    ) -> None:
        for option, value in (("max_jobs", max_jobs), ("max_memory", max_memory)):
            if value is not None:
                check_count(option, value, error, least=1)
        self._max_jobs = max_jobs
        self._max_memory = max_memory
        if max_memory is not None and not MEASURES_MEMORY:
            raise error("max_memory needs Linux, where the memory of a process can be told")

    # --- declaring ----------------------------------------------------------------------------

    @overload
    def task(  # pyright: ignore[reportOverlappingOverload]  coroutine functions are functions
        self, fn: Callable[P, Coroutine[Any, Any, R]], /, **options: Unpack[TaskOptions]
    ) -> AsyncTaskHandle[P, R]: ...

    @overload
    def task(
        self, fn: Callable[P, R], /, **options: Unpack[TaskOptions]
    ) -> PlainTaskHandle[P, R]: ...

    @overload
    def task(self, fn: None = None, /, **options: Unpack[TaskOptions]) -> Decorator: ...

    def task(self, fn: Callable[..., Any] | None = None, /, **options: Unpack[TaskOptions]) -> Any:
        """Make a function a task: `@worker.task`, or `@worker.task(retries=3)`.

        Options: see `TaskOptions`. Coroutine functions run on the worker's event loop, plain ones
        in a thread or a process. Raises `InvalidTaskError`.
        """

        def declare(fn: Callable[..., Any]) -> TaskHandle[..., Any]:
            return self._declare(fn, options, decorator="task")

        return declare if fn is None else declare(fn)

    def cron(
        self,
        spec: str | timedelta,
        /,
        *,
        timezone: str = "UTC",
        catchup: Literal["one", "skip", "all"] = "one",
        overlap: Literal["skip", "queue", "allow"] | None = None,
        **options: Unpack[FunctionOptions],
    ) -> Decorator:
        """Make a function a task that is submitted by the clock, once per tick among all workers.

        `spec`: a cron expression, `@daily` and its like, `@every 90s`, or a `timedelta`. `catchup`:
        what to do about ticks that passed while no worker ran: run the last one, none or all.
        `overlap`: what to do about a tick while the job of an earlier one is unfinished: skip it,
        queue one behind it, or allow both; None is "skip", but "allow" with `catchup="all"`, which
        runs many at once. The function takes no arguments that have no default. Raises
        `InvalidScheduleError`, `InvalidTaskError`.
        """
        declaration.check_options("cron", options)
        schedule = parse_schedule(spec, timezone)
        if catchup not in tuple(Catchup):
            raise InvalidTaskError(f'catchup={catchup!r} must be "one", "skip" or "all"')
        if overlap is None:
            overlap = "allow" if catchup == Catchup.ALL else "skip"
        if overlap not in tuple(Overlap):
            raise InvalidTaskError(f'overlap={overlap!r} must be "skip", "queue" or "allow"')

        def declare(fn: Callable[..., Any]) -> TaskHandle[..., Any]:
            handle = self._declare(fn, options, decorator="cron")
            function = handle.__conduit_function__
            self._crons.append(
                Cron(
                    name=function.name,
                    function=function.name,
                    queue=function.queue,
                    schedule=schedule,
                    timezone=timezone,
                    catchup=Catchup(catchup),
                    overlap=Overlap(overlap),
                    priority=function.priority,
                    max_deliveries=function.max_deliveries,
                )
            )
            return handle

        return cast("Decorator", declare)

    def event(self, name: str) -> EventHandle:
        """The event called `name`, to publish and to handle; or a pattern, to handle.

        Raises `InvalidPatternError`.
        """
        return EventHandle(name, self, self._handles, self._declare_handler)

    def _declare_handler(
        self, fn: Callable[..., Any], event: str, options: FunctionOptions
    ) -> TaskHandle[..., Any]:
        return self._declare(fn, options, decorator="on", event=event)

    def _declare(
        self,
        fn: Callable[..., Any],
        options: TaskOptions | FunctionOptions,
        *,
        decorator: Literal["task", "cron", "on"],
        event: str | None = None,
    ) -> TaskHandle[..., Any]:
        if self._running:
            raise InvalidTaskError(
                f"worker {self._name!r} has started and would not run {fn!r}: declare what it is "
                "to run before it starts"
            )
        given: dict[str, Any] = {**options}
        declaration.check_options(decorator, given)
        unique = given.pop("unique", False)
        if not isinstance(unique, bool):
            raise InvalidTaskError(f"unique={unique!r} must be True or False")
        surroundings = Surroundings(
            worker=self._name, queues=self._queues, sync_executor=self._sync_executor, event=event
        )
        function = declaration.task(fn, surroundings=surroundings, **given)
        self._check_name_free(function)
        if decorator == "cron":
            _check_callable_by_clock(function)
        handle = handle_for(function, self, unique=unique)
        self._functions[function.name] = function
        self._handles.append(handle)
        registry.remember(handle)
        return handle

    def _check_name_free(self, function: Function) -> None:
        known = self._functions.get(function.name)
        if known is not None:
            raise InvalidTaskError(
                f"worker {self._name!r} has two tasks called {function.name!r}: at "
                f"{place_of(known.call)} and at {place_of(function.call)}; give one of them "
                "another name with name=..."
            )

    # --- running ------------------------------------------------------------------------------

    def spec(self) -> WorkerSpec:
        """All that the engine needs to run this worker.

        Raises `InvalidTaskError` if there is nothing to run, or if a function for worker processes
        can't be found under its name, `ConfigurationError` for a middleware of the settings.
        """
        if not self._functions:
            raise InvalidTaskError(
                f"worker {self._name!r} has nothing to run: put @worker.task over a function"
            )
        for function in self._functions.values():
            if function.target is not None:
                function.target.check(function.call)
        return WorkerSpec(
            name=self._name,
            functions=dict(self._functions),
            crons=self.crons,
            queues=dict(self._queues),
            concurrency=self._concurrency,
            prefetch=self._prefetch,
            processes=self._processes,
            max_jobs=self._max_jobs,
            max_memory=self._max_memory,
            lifespan=self._lifespan,
            middleware=around_jobs(self._middleware),
            submit_middleware=around_submits(self._submit_middleware),
            shutdown_timeout=self._shutdown_timeout,
            connect_timeout=self._connect_timeout,
            payload_limit=self._payload_limit,
        )

    async def start(self) -> None:
        """Connect and begin to take jobs. Raises what stands in the way."""
        if self._running:
            raise ConfigurationError(f"worker {self._name!r} has started already")
        self._service = WorkerService(self.spec(), source_of(self))
        self._running = True
        try:
            await self._service.start()
        except BaseException:
            self._running = False
            raise

    async def stop(self) -> None:
        """Take no more jobs, let running ones finish for `shutdown_timeout`, hand back the rest."""
        if self._service is not None and self._running:
            await self._service.stop()
            self._running = False

    async def stop_now(self) -> None:
        """Hand back what runs, at once."""
        if self._service is not None and self._running:
            await self._service.stop_now()
            self._running = False

    @property
    def wears_out(self) -> bool:
        """Whether the process it runs in is to be replaced, by `max_jobs` or `max_memory`."""
        return bool(self._functions) and self.spec().wears_out

    async def worn_out(self) -> str:
        """Until the process it runs in is to be replaced; why, in words."""
        if self._service is None:
            return await asyncio.Future()
        return await self._service.worn_out()

    async def retire(self) -> None:
        """Claim no more, and wait until the jobs that run are over."""
        if self._service is not None:
            await self._service.retire()

    def hand_back_from_outside(self, seconds: float) -> None:
        """Give up every job from another thread, when the event loop is blocked for good."""
        if self._service is not None and self._running:
            self._service.hand_back_from_outside(seconds)

    def keep_loop(self) -> None:
        """The event loop isn't ended before this worker was stopped, unless by one of its tasks."""
        if self._service is not None:
            self._service.keeps_loop = True

    def dump_processes(self) -> None:
        """Have its worker processes show their stacks on stderr."""
        if self._service is not None and self._running:
            self._service.dump_processes()

    async def wait(self) -> None:
        """Until the worker has stopped. Raises what it crashed of."""
        if self._service is not None:
            await self._service.wait()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()
        await self.wait()

    async def execute(self, name: str, kwargs: Mapping[str, Any] | None = None) -> TaskResult[Any]:
        """Run one job of a task here and now, as attempt 1 and the only one, with all its events.

        The worker need not have started. A job that fails is a result too, with `ok` False.
        Raises `UnknownFunctionError`, and what `submit` raises.
        """
        if not isinstance(cast("object", kwargs), Mapping | None):
            raise ArgumentError(
                f"execute({name!r}, {quoted(kwargs)}): the arguments are a dict from parameter to "
                "value"
            )
        handle = self._handle(name)
        job = handle.prepare(**(kwargs or {}))
        service = self._service if self._running else None
        if service is None:
            service = WorkerService(self.spec(), source_of(self))
        ended = await service.execute(job)
        return task_result(ended, handle.__conduit_function__.signature)

    def _handle(self, name: str) -> TaskHandle[..., Any]:
        for handle in self._handles:
            if handle.name == name:
                return handle
        close = difflib.get_close_matches(name, self._functions, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"it has {', '.join(self._functions)}"
        raise UnknownFunctionError(f"worker {self._name!r} has no task {name!r}; {hint}")


def _weights(queues: object) -> dict[str, int]:
    weights: dict[str, int] = {}
    if isinstance(queues, Mapping):
        given = cast("Mapping[object, object]", queues)
        weights = {
            check_text("queues", name, InvalidTaskError): check_count(
                f"queues[{name!r}]", weight, InvalidTaskError, least=1, most=HEAVIEST
            )
            for name, weight in given.items()
        }
    elif isinstance(queues, Sequence) and not isinstance(queues, str):
        names = cast("Sequence[object]", queues)
        weights = {check_text("queues", name, InvalidTaskError): 1 for name in names}
        if len(weights) < len(names):
            raise InvalidTaskError(
                f"queues={quoted(names)} names a queue twice; to ask one more often, give weights "
                'in a dict, such as {"default": 1, "urgent": 3}'
            )
    if not weights:
        raise InvalidTaskError(
            f'queues={quoted(cast("object", queues))} must be a list of names, such as ["default", '
            '"mail"], or a dict from name to weight, such as {"default": 1, "urgent": 3}'
        )
    return weights


def _checked_url(url: object, error: type[Exception]) -> str:
    if isinstance(url, str) and url.strip():
        return url
    raise error(
        f"queue_url={quoted(url)} must be a URL, such as sqlite:///.conduit/queue.db; leave it out "
        "to take it from the settings"
    )


def _checked_queue(queue: object, error: type[Exception]) -> Queue:
    if all(hasattr(queue, each) for each in ("submit", "claim", "sibling", "loop")):
        return cast("Queue", queue)
    raise error(
        f"queue={quoted(queue)} must be a queue, such as conduit.queue.open_queue(URL) gives"
    )


def _checked_lifespan(lifespan: Lifespan | None) -> Lifespan | None:
    if lifespan is not None and not callable(lifespan):
        raise InvalidTaskError(
            f"lifespan={lifespan!r} must be a function that returns an async context manager; put "
            "@contextlib.asynccontextmanager over it"
        )
    return lifespan


def _check_callable_by_clock(function: Function) -> None:
    try:
        function.signature.encode((), {})
    except ArgumentError as error:
        raise InvalidTaskError(
            f"{function.name!r} ({place_of(function.call)}) is called by the clock, without "
            f"arguments: give its parameters defaults; its signature is {function.signature}"
        ) from error
