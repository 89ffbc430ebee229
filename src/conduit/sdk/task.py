"""`TaskHandle`: what the decorators of a worker leave in a function's place."""

from __future__ import annotations

import functools
import hashlib
import logging
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Generic, ParamSpec, Protocol, Self, TypeVar, cast, overload

import msgspec
from uuid_utils import uuid7

from conduit.core.errors import InvalidOptionError
from conduit.core.model import NewJob
from conduit.core.new_jobs import new_job
from conduit.core.result import TaskResult
from conduit.engine.attempts.function import Function, Mode
from conduit.engine.context import find_current_job
from conduit.queue import Source
from conduit.sdk.blocking import run_blocking
from conduit.sdk.future import Awaited, Future, job_ids
from conduit.sdk.options import AS_DECLARED, AsDeclared, Seconds, SubmitOptions, suggests_options
from conduit.sdk.submitting import Home, source_of, submit

P = ParamSpec("P")
R = TypeVar("R")

logger = logging.getLogger("conduit.client")


class TaskHandle(Generic[P, R]):
    """A task: call it to run it here, submit it to have a worker run it.

    Needs no start-up: the first submit in a process connects by itself. Immutable.
    """

    __name__: str
    __wrapped__: Callable[P, Any]

    def __init__(
        self,
        function: Function,
        home: Home,
        *,
        unique: bool = False,
        options: SubmitOptions | None = None,
    ) -> None:
        functools.update_wrapper(cast("Callable[P, Any]", self), function.call, updated=())
        self.__conduit_function__ = function
        self._home = home
        self._unique = unique
        self._options = options or SubmitOptions()

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Run the function here and now, as if it weren't a task."""
        return self.__conduit_function__.call(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<task {self.name!r}: {self.__conduit_function__.signature}>"

    @property
    def name(self) -> str:
        """What the task is submitted by."""
        return self.__conduit_function__.name

    @property
    def source(self) -> Source:
        """Where its jobs go: a resolved URL or a queue. Raises `ConfigurationError`."""
        return source_of(self._home)

    # --- submitting ---------------------------------------------------------------------------

    async def submit(self, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Hand the job over to the queue; when this returns, it is kept.

        Raises `ArgumentError` that names the parameter, `SerializationError` that names the value's
        path, `PayloadTooLargeError`, `DependencyNotFoundError` for a job of `options(after=...)`
        that isn't in the queue, `SubmitConflictError` where a job with this id is stored with other
        contents, `QueueUnavailableError`. Nothing is kept then. Only after `SubmitUnknownError` the
        job may be kept or not: the store didn't answer in time.
        """
        return await self._submit(self.prepare(*args, **kwargs))

    def submit_sync(self, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """`submit` for callers without an event loop."""
        return run_blocking(self._submit(self.prepare(*args, **kwargs)))

    async def wait(self, *args: P.args, **kwargs: P.kwargs) -> TaskResult[R]:
        """Submit the job and wait for its end, however long that takes.

        A job that fails or is cancelled is a result too, with `ok` False. The only limit is
        `options(wait_timeout=...)`: `TimeoutError`, and the job goes on.
        """
        return await self._wait(self.prepare(*args, **kwargs))

    def wait_sync(self, *args: P.args, **kwargs: P.kwargs) -> TaskResult[R]:
        """`wait` for callers without an event loop."""
        return run_blocking(self._wait(self.prepare(*args, **kwargs)))

    @suggests_options
    def options(
        self,
        *,
        delay: Seconds | None = None,
        at: datetime | None = None,
        priority: int | None = None,
        key: str | None = None,
        unique_for: Seconds | None = None,
        expires: Seconds | datetime | None = None,
        timeout: Seconds | AsDeclared | None = AS_DECLARED,
        retries: int | None = None,
        queue: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        wait_timeout: Seconds | None = None,
        after: Awaited | None = None,
    ) -> Self:
        """A handle whose jobs differ in what is given. Spans are seconds or a `timedelta`.

        `delay`: how long from now to start, or `at`: when, an aware datetime. `priority`: -100 to
        100, higher first. `key`: while a job with this key is unfinished, a submit returns that
        job's Future; with `unique_for`, also for so long after its submission, and without a key of
        its own then one made of the arguments. `expires`: cancelled if it hasn't started within
        this span or by this moment. `timeout` (None: no limit), `retries`, `queue`: instead of the
        task's.
        `metadata`: kept and shown with the job. `headers`: text by name that travels with it, 4 KiB
        at most, such as a trace's id. `wait_timeout`: how long `wait` waits. `after`:
        a Future or a job's id, or several: blocked until all of these jobs have completed, and
        cancelled when one of them fails or is cancelled.

        Raises `InvalidOptionError` that names the option and its value.
        """
        if queue is not None and queue not in self._home.queues:
            _warn_of_queue(self.name, queue, ", ".join(self._home.queues))
        changed = self._options.changed(
            delay=delay,
            at=at,
            priority=priority,
            key=key,
            unique_for=unique_for,
            expires=expires,
            timeout=timeout,
            retries=retries,
            queue=queue,
            metadata=metadata,
            headers=headers,
            wait_timeout=wait_timeout,
            after=None if after is None else job_ids(after),
        )
        return type(self)(
            self.__conduit_function__, self._home, unique=self._unique, options=changed
        )

    def prepare(self, *args: P.args, **kwargs: P.kwargs) -> NewJob:
        """The job that `submit` would hand over, checked but not sent. Raises as `submit` does."""
        function, options = self.__conduit_function__, self._options
        payload = function.signature.encode(args, kwargs, limit=self._home.payload_limit)
        key = options.key
        if key is None and (self._unique or options.unique_ms is not None):
            key = _key_of(function.name, payload)
        parent_id, root_id = ancestry()
        job_id = new_id()
        if options.after and (parent := find_current_job()) is not None:
            parent.submits_behind(job_id, options.after)
        said = options.said | {"expires_ms": _expiry(options), "key": key}
        return new_job(
            job_id,
            function.name,
            function,
            args=payload,
            parent_id=parent_id,
            root_id=root_id,
            **said,
        )

    async def submit_prepared(self, jobs: Sequence[NewJob]) -> list[Future[R]]:
        """Hand over what `prepare` made, together; raises as `submit` does."""
        source = self.source
        job_ids = await submit(self._home, source, jobs)
        return [self._future(job_id, source) for job_id in job_ids]

    def future(self, job_id: str) -> Future[R]:
        """The Future of a job of this task."""
        return self._future(job_id, self.source)

    def _future(self, job_id: str, source: Source) -> Future[R]:
        signature = self.__conduit_function__.signature
        return Future(job_id, source=source, signature=signature)

    async def _submit(self, job: NewJob) -> Future[R]:
        source = self.source
        (job_id,) = await submit(self._home, source, [job])
        return self._future(job_id, source)

    async def _wait(self, job: NewJob) -> TaskResult[R]:
        future = await self._submit(job)
        return await future.outcome(self._options.wait_timeout)


class AsyncTaskHandle(TaskHandle[P, R]):
    """The handle of a coroutine function: calling it gives a coroutine."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
        """Run the function here, once awaited, as if it weren't a task."""
        return self.__conduit_function__.call(*args, **kwargs)


class PlainTaskHandle(TaskHandle[P, R]):
    """The handle of a plain function: calling it gives its result."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the function here and now, as if it weren't a task."""
        return self.__conduit_function__.call(*args, **kwargs)


class Decorator(Protocol):
    """Turns a function into a task handle with the same parameters."""

    @overload
    def __call__(  # pyright: ignore[reportOverlappingOverload]  coroutine functions are functions
        self, fn: Callable[P, Coroutine[Any, Any, R]], /
    ) -> AsyncTaskHandle[P, R]: ...

    @overload
    def __call__(self, fn: Callable[P, R], /) -> PlainTaskHandle[P, R]: ...


def handle_for(function: Function, home: Home, *, unique: bool = False) -> TaskHandle[..., Any]:
    """A handle of the kind that fits the function."""
    if function.mode is Mode.ASYNC:
        return AsyncTaskHandle[..., Any](function, home, unique=unique)
    return PlainTaskHandle[..., Any](function, home, unique=unique)


def new_id() -> str:
    """An id for a job: a UUID of version 7, which sorts by time."""
    return str(uuid7())


def ancestry() -> tuple[str | None, str | None]:
    """The parent and the root of a job that is submitted here: the current job and its root."""
    parent = find_current_job()
    return (None, None) if parent is None else (parent.job_id, parent.root_id or parent.job_id)


@functools.lru_cache(maxsize=1000)  # says each thing once
def _warn_of_queue(function: str, queue: str, served: str) -> None:
    logger.warning(
        "jobs of %s go to queue %r, and the worker that has it takes jobs from %s only: they wait "
        "until some worker with that function takes from %r",
        *(function, queue, served, queue),
    )


def _key_of(name: str, payload: bytes) -> str:
    """One key for equal arguments, in whatever order their dicts and sets were built."""
    arguments = msgspec.json.encode(msgspec.json.decode(payload), order="deterministic")
    return f"{name}:{hashlib.sha256(arguments).hexdigest()}"


def _expiry(options: SubmitOptions) -> int | None:
    if options.expires_at is None:
        return options.expires_ms
    left = options.expires_at - time.time_ns() // 1_000_000
    if left <= 0:
        moment = datetime.fromtimestamp(options.expires_at / 1000, UTC).isoformat()
        raise InvalidOptionError(f"expires={moment} has passed: the job could not start")
    return left
