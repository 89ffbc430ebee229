"""`EventHandle`: publishing an event by name, and handling events by name or pattern."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, ParamSpec, TypeVar, Unpack, overload

from msgspec import structs

from conduit.core.codec import encode_value
from conduit.core.model import FunctionInfo, NewJob
from conduit.core.new_jobs import new_job
from conduit.core.patterns import compile_pattern, matches, validate_event_name
from conduit.sdk import registry
from conduit.sdk.blocking import run_blocking
from conduit.sdk.client import connect
from conduit.sdk.declaration import FunctionOptions
from conduit.sdk.future import Future
from conduit.sdk.submitting import Home, source_of, submit
from conduit.sdk.task import (
    AsyncTaskHandle,
    Decorator,
    PlainTaskHandle,
    TaskHandle,
    ancestry,
    new_id,
)
from conduit.submission import Origin

P = ParamSpec("P")
R = TypeVar("R")

Declare = Callable[[Callable[..., Any], str, FunctionOptions], TaskHandle[..., Any]]


class EventHandle:
    """An event of a worker: `publish` it, and put `on` over the functions that handle it.

    A pattern (`order.*` for one segment, `order.**` for one or more) can be handled, not published.
    """

    def __init__(
        self, name: str, home: Home, handles: Sequence[TaskHandle[..., Any]], declare: Declare
    ) -> None:
        """Use `worker.event`. `handles` are the worker's tasks, those yet to come included."""
        compile_pattern(name)
        self._name = name
        self._home = home
        self._handles = handles
        self._declare = declare

    def __repr__(self) -> str:
        return f"<event {self._name!r}>"

    @property
    def name(self) -> str:
        """The event's name, or the pattern."""
        return self._name

    @overload
    def on(  # pyright: ignore[reportOverlappingOverload]  coroutine functions are functions
        self, fn: Callable[P, Coroutine[Any, Any, R]], /, **options: Unpack[FunctionOptions]
    ) -> AsyncTaskHandle[P, R]: ...

    @overload
    def on(
        self, fn: Callable[P, R], /, **options: Unpack[FunctionOptions]
    ) -> PlainTaskHandle[P, R]: ...

    @overload
    def on(self, fn: None = None, /, **options: Unpack[FunctionOptions]) -> Decorator: ...

    def on(
        self, fn: Callable[..., Any] | None = None, /, **options: Unpack[FunctionOptions]
    ) -> Any:
        """Make a function a handler: it gets a job of its own for each event that matches.

        It is a task like any other, with the options of one. Raises `InvalidTaskError`.
        """

        def declare(fn: Callable[..., Any]) -> TaskHandle[..., Any]:
            return self._declare(fn, self._name, options)

        return declare if fn is None else declare(fn)

    async def publish(self, /, **arguments: Any) -> list[Future[Any]]:
        """Submit a job to every handler of this event, all in one step; their Futures.

        Handlers are those of this worker, and those that any worker has registered with the queue.
        Each job's metadata has the event's name. Nobody handles it: an empty list.

        Raises `InvalidPatternError` for a pattern, and what `submit` raises, `ArgumentError` for
        one if a handler of this process can't take the arguments; then no handler gets a job.
        """
        return await self._publish(self._local_jobs(arguments), arguments)

    def publish_sync(self, /, **arguments: Any) -> list[Future[Any]]:
        """`publish` for callers without an event loop."""
        return run_blocking(self._publish(self._local_jobs(arguments), arguments))

    def _local_jobs(self, arguments: dict[str, Any]) -> list[NewJob]:
        validate_event_name(self._name)
        return [
            handle.prepare(**arguments)
            for handle in self._handles
            if self._goes_to(handle.__conduit_function__.event)
        ]

    async def _publish(self, local: list[NewJob], arguments: dict[str, Any]) -> list[Future[Any]]:
        source = source_of(self._home)
        connection = await connect(source)
        known = {job.function for job in local}
        # One job per name, whoever has registered it: other workers, one under its former name.
        registered = {info.name: info for info in await (await connection.open()).functions()}
        others = [
            self._job_for(info, arguments)
            for info in registered.values()
            if info.name not in known and self._goes_to(info.event)
        ]
        told = encode_value({"event": self._name})
        jobs = [structs.replace(job, metadata=told) for job in (*local, *others)]
        if not jobs:
            return []
        job_ids = await submit(self._home, source, jobs, Origin.EVENT)
        return [
            Future(job_id, source=source, signature=registry.find_signature(job.function))
            for job_id, job in zip(job_ids, jobs, strict=True)
        ]

    def _goes_to(self, pattern: str | None) -> bool:
        return pattern is not None and matches(pattern, self._name)

    def _job_for(self, info: FunctionInfo, arguments: dict[str, Any]) -> NewJob:
        """A job for another worker's handler, checked here if its code is in this process too."""
        handle = registry.find_handle(info.name)
        if handle is not None and handle.__conduit_function__.event == info.event:
            return handle.prepare(**arguments)
        parent_id, root_id = ancestry()
        args = encode_value(arguments, path="kwargs", limit=self._home.payload_limit)
        return new_job(new_id(), info.name, info, args=args, parent_id=parent_id, root_id=root_id)
