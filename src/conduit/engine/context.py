"""What a job sees of itself while it runs: `current_job()` and the `Context` behind it.

A `Context` is plain data (`JobView`) and a `Port`, the way its news travel: straight to the
worker's reporter in coroutines and threads, over a pipe in worker processes.
"""

from __future__ import annotations

import asyncio
import contextvars
import hashlib
import inspect
import logging
import time
import typing
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, ParamSpec, Protocol, TypeVar, cast

from msgspec import structs

from conduit.core import codec
from conduit.core.errors import DeadlockError, NoCurrentJobError, PayloadTooLargeError
from conduit.core.model import Artifact, Lease, LogLine, Terms
from conduit.core.names import is_file_name
from conduit.core.retry import LONGEST_DELAY
from conduit.engine.content_types import guessed_type
from conduit.engine.text import MAX_MESSAGE, clean, is_header
from conduit.queue.base import Note

P = ParamSpec("P")
R = TypeVar("R")

ARTIFACT_LIMIT = 16 * 1024 * 1024
"""The largest artifact in bytes; larger things belong in a file store, their address here."""

_current: contextvars.ContextVar[HasContext | None] = contextvars.ContextVar(
    "conduit_current_job", default=None
)


class Retry(Exception):
    """Raised in a job to ask for another attempt, `delay` (seconds, or a `timedelta`) from now.

    Counts as a failed attempt. A task that declares no `retries` may ask as often as it likes; one
    that does is bound by them. Without `delay`, the task's own retry policy says how long.
    """

    def __init__(
        self, reason: str = "the job asked for a retry", *, delay: float | timedelta | None = None
    ) -> None:
        super().__init__(reason)
        self.delay = None if delay is None else _checked_delay(delay)

    def __reduce__(self) -> tuple[Any, ...]:
        return _retry_again, (self.args[0], self.delay)


def _checked_delay(delay: float | timedelta) -> float:
    seconds = delay.total_seconds() if isinstance(delay, timedelta) else delay
    if not 0 <= seconds <= LONGEST_DELAY:  # not-a-number fails every comparison
        raise ValueError(f"Retry(delay={delay!r}): seconds or a timedelta, from 0 to a year")
    return float(seconds)


def _retry_again(reason: str, delay: float | None) -> Retry:
    return Retry(reason, delay=delay)


class Fail(Exception):
    """Raised in a job to end it as failed now, without further attempts."""

    def __init__(self, reason: str = "the job declared itself failed") -> None:
        super().__init__(reason)


class JobView(Terms, frozen=True, kw_only=True):
    """The facts of one attempt, picklable."""

    lease: Lease
    attempt: int
    max_attempts: int
    fence: int
    timeout: float | None
    """Seconds that the function may take."""
    metadata: bytes
    checkpoint: bytes | None
    steps: bytes


class Port(Protocol):
    """How a running job's news reach the queue."""

    def begun(self, at: float) -> None:
        """Told that the function is being called, `at` by the monotonic clock of this machine."""
        ...

    def deadline(self) -> float | None:
        """Seconds since the epoch at which the attempt times out; None before it has begun."""
        ...

    def send(self, note: Note) -> None:
        """Pass on soon, merged with what else is on its way. From any thread."""
        ...

    async def record(self, note: Note) -> None:
        """Durable on return. Raises `LeaseLostError` when the job is no longer this worker's."""
        ...

    def record_sync(self, note: Note) -> None:
        """`record` for threads and processes. Raises `RuntimeError` on the event loop's thread."""
        ...

    async def run_in_thread(self, call: Callable[[], Any]) -> Any:
        """Run a plain function in a thread, with a copy of the caller's context variables."""
        ...

    async def begin_wait(self, awaited: str, *, bounded: bool) -> int:
        """Note that the job waits for another, `bounded` by a timeout or not; a number for
        `end_wait`. Raises `DeadlockError`.
        """
        ...

    def end_wait(self, number: int) -> None:
        """Note that a wait is over."""
        ...

    def cancelled(self) -> bool:
        """Whether the job is to stop: cancelled, timed out, shut down, or its lease lost."""
        ...

    def wait_cancelled(self, timeout: float) -> bool:
        """Block a thread for `timeout` seconds or until `cancelled()`, which it returns."""
        ...


class HasContext(Protocol):
    """What stands for the current job; makes its `Context` when someone asks for it."""

    @property
    def context(self) -> Context:
        """The job's context, always the same one."""
        ...


class Context:
    """The running job, for its own code. Get it with `conduit.current_job()`."""

    def __init__(self, view: JobView, port: Port) -> None:
        self._view = view
        self._port = port
        self._metadata = _decode_fields(view.metadata)
        self._steps = _decode_fields(view.steps)
        self._checkpoint = None if view.checkpoint is None else codec.decode_value(view.checkpoint)
        self._behind: set[str] = set()  # jobs that it submitted to start after its own end

    @property
    def context(self) -> Context:
        """Itself: a `Context` may stand for the current job."""
        return self

    # --- facts --------------------------------------------------------------------------------

    @property
    def job_id(self) -> str:
        """The job's id."""
        return self._view.lease.job_id

    @property
    def function(self) -> str:
        """The task's registered name."""
        return self._view.function

    @property
    def attempt(self) -> int:
        """Which attempt this is, from 1."""
        return self._view.attempt

    @property
    def max_attempts(self) -> int:
        """How many attempts the retry policy grants: `retries` + 1."""
        return self._view.max_attempts

    @property
    def fencing_token(self) -> int:
        """A number that rises with every lease of this job; let other systems refuse lower ones."""
        return self._view.fence

    @property
    def idempotency_key(self) -> str:
        """The same in every attempt of this job; for calls to systems that drop repeats."""
        return self._view.lease.job_id

    @property
    def key(self) -> str | None:
        """The key the job was submitted with."""
        return self._view.key

    @property
    def queue(self) -> str:
        """The queue the job came from."""
        return self._view.queue

    @property
    def parent_id(self) -> str | None:
        """The job that submitted this one."""
        return self._view.parent_id

    @property
    def root_id(self) -> str | None:
        """The first ancestor of this job; None when it has no parent."""
        return self._view.root_id

    @property
    def deadline(self) -> datetime | None:
        """When this attempt times out, in UTC; None before the function has begun, as in
        `on_start`, and where there is no timeout.
        """
        at = self._port.deadline()
        return None if at is None else datetime.fromtimestamp(at, UTC)

    @property
    def metadata(self) -> dict[str, Any]:
        """A copy of the job's metadata, as submitted and since merged."""
        return dict(self._metadata)

    @property
    def headers(self) -> dict[str, str]:
        """A copy of the headers that the job was submitted with."""
        return dict(self._view.headers)

    @property
    def checkpoint(self) -> Any:
        """What `save_checkpoint` last saved, in this attempt or an earlier one; else None."""
        return self._checkpoint

    @property
    def cancelled(self) -> bool:
        """Whether the job is to stop: cancelled, timed out, shutting down, or its lease lost."""
        return self._port.cancelled()

    @property
    def log(self) -> logging.Logger:
        """A standard logger; what it logs is kept with the job at every level."""
        return logging.getLogger(f"conduit.job.{self._view.function}")

    def keep_log(self, line: LogLine) -> None:
        """Keep a log line with the job; the capture of stdlib logging calls this."""
        self._port.send(self._note(logs=(line,)))

    # --- progress, metadata, checkpoint -------------------------------------------------------

    def set_progress(self, value: float, message: str | None = None) -> None:
        """Say how far the job is: 0..1, or a percentage above 1 up to 100.

        Returns at once; frequent calls are merged, the last one always arrives. From anywhere.
        """
        number = float(value)
        if not 0 <= number <= 100:
            raise ValueError(f"set_progress({value!r}): between 0 and 1, or a percentage up to 100")
        fraction = number if number <= 1 else number / 100
        words = None if message is None else clean(str(message), MAX_MESSAGE)
        self._port.send(self._note(progress=fraction, progress_message=words))

    def set_progress_sync(self, value: float, message: str | None = None) -> None:
        """`set_progress`, under the name that goes with the other `_sync` methods."""
        self.set_progress(value, message)

    async def set_metadata(self, **fields: Any) -> None:
        """Merge fields into the stored job's metadata; durable on return."""
        await self._port.record(self._note(metadata=_encode_fields(fields)))
        self._metadata.update(fields)

    def set_metadata_sync(self, **fields: Any) -> None:
        """`set_metadata` for threads and processes."""
        self._port.record_sync(self._note(metadata=_encode_fields(fields)))
        self._metadata.update(fields)

    async def save_checkpoint(self, state: Any) -> None:
        """Keep `state` for the next attempt; durable on return."""
        await self._port.record(self._note(checkpoint=_encode_state(state)))
        self._checkpoint = state

    def save_checkpoint_sync(self, state: Any) -> None:
        """`save_checkpoint` for threads and processes."""
        self._port.record_sync(self._note(checkpoint=_encode_state(state)))
        self._checkpoint = state

    # --- steps and sleep ----------------------------------------------------------------------

    async def step(
        self,
        name: str,
        fn: Callable[P, Awaitable[R]] | Callable[P, R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Run `fn(*args)` once per job: later attempts get its remembered result instead.

        A plain function runs in a thread. The result goes through JSON both times, so that the
        first attempt and the second see the same thing; `fn`'s return annotation gives types back.
        """
        if name not in self._steps:
            if inspect.iscoroutinefunction(fn):
                value = await fn(*args, **kwargs)
            else:
                value = await self._port.run_in_thread(partial(fn, *args, **kwargs))
                if inspect.isawaitable(value):
                    value = await value
            encoded = codec.encode_value({name: value}, path=f"step {name!r}")
            await self._port.record(self._note(steps=encoded))
            self._steps.update(cast("dict[str, Any]", codec.decode_value(encoded)))
        return cast("R", self._remembered(name, fn))

    def step_sync(self, name: str, fn: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """`step` for threads and processes; `fn` is a plain function."""
        if name not in self._steps:
            value = fn(*args, **kwargs)
            encoded = codec.encode_value({name: value}, path=f"step {name!r}")
            self._port.record_sync(self._note(steps=encoded))
            self._steps.update(cast("dict[str, Any]", codec.decode_value(encoded)))
        return cast("R", self._remembered(name, fn))

    def _remembered(self, name: str, fn: Callable[..., Any]) -> Any:
        try:
            returned = typing.get_type_hints(fn).get("return", Any)
        except (NameError, TypeError, AttributeError):
            returned = Any  # not annotated in a way that resolves: plain JSON values
        return codec.decode_value_as(codec.encode_value(self._steps[name]), returned)

    async def sleep(self, seconds: float) -> None:
        """Wait; a cancel, a timeout or a shutdown ends it by cancelling the job."""
        await asyncio.sleep(seconds)

    def sleep_sync(self, seconds: float) -> None:
        """`sleep` for threads and processes: `asyncio.CancelledError` when the job is to stop."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if self._port.wait_cancelled(left):
                raise asyncio.CancelledError

    # --- waiting for other jobs -----------------------------------------------------------------

    def submits_behind(self, job_id: str, after: Iterable[str]) -> None:
        """Note what a job that it submits waits for; its `Future` asks later."""
        if any(each == self.job_id or each in self._behind for each in after):
            self._behind.add(job_id)

    @asynccontextmanager
    async def waiting_for(self, job_id: str, *, bounded: bool) -> AsyncGenerator[None]:
        """While this is entered, the job waits for another; a `Future` says so.

        Raises `DeadlockError` where that wait could never end.
        """
        if job_id == self.job_id:
            raise DeadlockError(
                f"job {job_id} ({self.function}) waits for itself, and would for ever. "
                "If a submit gave it this Future: the key of that submit is this job's own"
            )
        if job_id in self._behind:
            raise DeadlockError(
                f"job {self.job_id} ({self.function}) waits for job {job_id}, which starts only "
                "after it, because of after=...: neither would ever end"
            )
        number = await self._port.begin_wait(job_id, bounded=bounded)
        try:
            yield
        finally:
            self._port.end_wait(number)

    # --- artifacts ----------------------------------------------------------------------------

    async def artifact(
        self, name: str, data: bytes | str, content_type: str | None = None
    ) -> Artifact:
        """Keep a named file with the job (text is stored as UTF-8); durable on return.

        Without `content_type` its name says what it is: `report.csv` is `text/csv`. The same name
        again replaces. Raises `PayloadTooLargeError` over 16 MiB.
        """
        note = self._artifact_note(name, data, content_type)
        await self._port.record(note)
        assert note.artifact is not None
        return note.artifact

    def artifact_sync(
        self, name: str, data: bytes | str, content_type: str | None = None
    ) -> Artifact:
        """`artifact` for threads and processes."""
        note = self._artifact_note(name, data, content_type)
        self._port.record_sync(note)
        assert note.artifact is not None
        return note.artifact

    def _artifact_note(self, name: str, data: bytes | str, content_type: str | None) -> Note:
        if not is_file_name(name):
            raise ValueError(
                f"artifact name {name!r}: 1 to 255 characters, none of control, not . or .."
            )
        if content_type is not None and not is_header(content_type):
            raise ValueError(f"content_type={content_type!r}: such as 'text/csv', in ASCII")
        body = data.encode() if isinstance(data, str) else bytes(memoryview(data))
        if len(body) > ARTIFACT_LIMIT:
            raise PayloadTooLargeError(
                f"artifact {name!r} has {len(body):,} bytes; the limit is {ARTIFACT_LIMIT:,}",
                size=len(body),
                limit=ARTIFACT_LIMIT,
            )
        described = Artifact(
            name=name,
            content_type=content_type or guessed_type(name, is_text=isinstance(data, str)),
            size=len(body),
            sha256=hashlib.sha256(body).hexdigest(),
        )
        return structs.replace(self._note(), artifact=described, data=body)

    def _note(self, **news: Any) -> Note:
        return Note(lease=self._view.lease, **news)


def current_job() -> Context:
    """The job that the calling code runs in. Raises `NoCurrentJobError` outside a job."""
    context = find_current_job()
    if context is None:
        raise NoCurrentJobError(
            "current_job() was called outside a job: it works in functions that a worker runs, "
            "and in threads that were started with a copy of their context"
        )
    return context


def find_current_job() -> Context | None:
    """The job that the calling code runs in, or None outside a job."""
    holder = _current.get()
    return None if holder is None else holder.context


def holder_in(context: contextvars.Context) -> HasContext | None:
    """What stands for the job in whose context some code runs, or None outside a job."""
    return context.get(_current)


def enter_job(holder: HasContext) -> None:
    """Make a job the current one of the running task, thread or process."""
    _current.set(holder)


def _decode_fields(stored: bytes) -> dict[str, Any]:
    return {} if stored == b"{}" else cast("dict[str, Any]", codec.decode_value(stored))


def _encode_fields(fields: dict[str, Any]) -> bytes:
    return codec.encode_value(fields, path="metadata", limit=codec.DEFAULT_PAYLOAD_LIMIT)


def _encode_state(state: Any) -> bytes:
    return codec.encode_value(state, path="checkpoint", limit=codec.DEFAULT_PAYLOAD_LIMIT)
