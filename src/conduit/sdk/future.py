"""`Future`: a submitted job, from the side of whoever wants to know what becomes of it."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast, overload

from conduit.core.checks import check_seconds, check_text
from conduit.core.codec import Signature, decode_value
from conduit.core.errors import (
    ArtifactNotFoundError,
    InvalidOptionError,
    JobNotFoundError,
    JobStateError,
    TaskCancelledError,
    TaskFailedError,
    TaskTimeoutError,
    quoted,
)
from conduit.core.model import MAX_AFTER, Artifact, Job, JobStatus, Reason
from conduit.core.result import TaskResult
from conduit.engine.context import find_current_job
from conduit.queue import Source
from conduit.queue.base import Acted
from conduit.sdk import registry
from conduit.sdk.blocking import run_blocking
from conduit.sdk.client import connect, resolve_url

if TYPE_CHECKING:
    from conduit.sdk.task import TaskHandle

R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")


class Future(Generic[R_co]):
    """A job that was submitted. Works in any event loop, in threads, and from other processes.

    `await future` is `await future.value()`.
    """

    __slots__ = ("__weakref__", "_signature", "_source", "job_id")

    def __init__(
        self, job_id: str, *, source: Source | None = None, signature: Signature | None = None
    ) -> None:
        """Use `Future.of`. `source`: a resolved URL, or a queue; None: the settings say."""
        self.job_id = job_id
        self._source = source
        self._signature = signature

    @overload
    @classmethod
    def of(cls, job_id: str, handle: TaskHandle[..., T]) -> Future[T]: ...

    @overload
    @classmethod
    def of(cls, job_id: str, handle: None = None) -> Future[Any]: ...

    @classmethod
    def of(cls, job_id: str, handle: TaskHandle[..., Any] | None = None) -> Future[Any]:
        """Reattach to a job by its id, from another process or later.

        `handle` is the job's task: it says which queue to ask and which type the value has. Without
        it the settings' queue is asked, and the value has the type that a task of that name in this
        process says; plain JSON if there is none.
        """
        if handle is None:
            return Future(job_id)
        return Future(job_id, source=handle.source, signature=handle.__conduit_function__.signature)

    def __repr__(self) -> str:
        return f"<Future {self.job_id}>"

    def __await__(self) -> Generator[Any, Any, R_co]:
        return self.value().__await__()

    # --- waiting ------------------------------------------------------------------------------

    async def result(self, timeout: float | None = None) -> TaskResult[R_co]:
        """Wait for the job's end, `timeout` seconds at most; without it, as long as it takes.

        Raises `TaskFailedError`, `TaskTimeoutError` or `TaskCancelledError`, each with the
        `TaskResult`; `TimeoutError` when the wait is over, and the job goes on;
        `JobNotFoundError`. In a job, `DeadlockError` where it waits for itself or for a job that
        waits for it.
        """
        result, reason = await self._outcome(timeout)
        if not result.ok:
            raise _error_of(result, reason)
        return result

    async def value(self, timeout: float | None = None) -> R_co:
        """What the job returned. Waits and raises as `result` does."""
        result = await self.result(timeout)
        return cast("R_co", result.value)

    async def outcome(self, timeout: float | None = None) -> TaskResult[R_co]:
        """Like `result`, but a job that failed or was cancelled is an answer, not an error."""
        result, _ = await self._outcome(timeout)
        return result

    async def _outcome(self, timeout: float | None) -> tuple[TaskResult[R_co], str | None]:
        if timeout is not None:
            timeout = check_seconds("timeout", timeout, InvalidOptionError, zero=True)
        connection = await connect(self._queue_source())
        waiter = find_current_job()
        if waiter is None:
            job = await connection.finished(self.job_id, timeout)
        else:
            async with waiter.waiting_for(self.job_id, bounded=timeout is not None):
                job = await connection.finished(self.job_id, timeout)
        return task_result(job, self._signature), job.reason

    # --- acting -------------------------------------------------------------------------------

    async def status(self) -> JobStatus:
        """Where the job is in its life. Raises `JobNotFoundError`."""
        queue = await (await connect(self._queue_source())).open()
        (job,) = await queue.get([self.job_id])
        if job is None:
            raise JobNotFoundError(self.job_id)
        return job.status

    async def cancel(self) -> bool:
        """Cancel the job: True if it is cancelled, or running and has been asked to stop.

        False if it had finished before. A job that returns before it notices has completed, and
        its status says so. Raises `JobNotFoundError`.
        """
        queue = await (await connect(self._queue_source())).open()
        (action,) = await queue.cancel([self.job_id], Reason.CANCELLED.value)
        if action.acted is Acted.UNKNOWN:
            raise JobNotFoundError(self.job_id)
        return action.acted in (Acted.DONE, Acted.REQUESTED)

    async def retry(self) -> None:
        """Queue a failed or cancelled job anew, with fresh attempts, under the same id.

        While a job that it waits for is unfinished, it is blocked again. Raises `JobStateError` if
        it is neither, if another job holds its key by now, or if one that it waits for has failed,
        was cancelled or is gone; `JobNotFoundError`.
        """
        queue = await (await connect(self._queue_source())).open()
        (action,) = await queue.retry([self.job_id])
        if action.status is None:
            raise JobNotFoundError(self.job_id)
        if action.acted is Acted.KEY_TAKEN:
            raise JobStateError(
                f"job {self.job_id} can't be retried: another job holds its key, unfinished or "
                "within its unique_for window",
                status=action.status,
            )
        if action.acted is Acted.DEPENDENCY:
            raise JobStateError(
                f"job {self.job_id} can't be retried: a job that it waits for has failed, was "
                "cancelled or is gone; retry that one first",
                status=action.status,
            )
        if action.acted is not Acted.DONE:
            raise JobStateError(
                f"job {self.job_id} is {action.status}: only a failed or cancelled one can be "
                "retried",
                status=action.status,
            )

    # --- artifacts ----------------------------------------------------------------------------

    async def artifacts(self) -> list[Artifact]:
        """What the job kept with `ctx.artifact`, by name, without the bytes.

        Raises `JobNotFoundError`.
        """
        queue = await (await connect(self._queue_source())).open()
        found = await queue.artifacts(self.job_id)
        if not found:
            await self.status()  # there is such a job, or there was never one
        return found

    async def artifact(self, name: str) -> bytes:
        """The bytes that the job kept under a name.

        Raises `ArtifactNotFoundError` where it kept none of that name, `JobNotFoundError`.
        """
        queue = await (await connect(self._queue_source())).open()
        data = await queue.artifact(self.job_id, name)
        if data is None:
            known = ", ".join(repr(each.name) for each in await self.artifacts()) or "none"
            raise ArtifactNotFoundError(
                f"job {self.job_id} has no artifact {name!r}; it has {known}"
            )
        return data

    def _queue_source(self) -> Source:
        return self._source or resolve_url(None)

    # --- without an event loop ------------------------------------------------------------------

    def result_sync(self, timeout: float | None = None) -> TaskResult[R_co]:
        """`result` for callers without an event loop."""
        return run_blocking(self.result(timeout))

    def value_sync(self, timeout: float | None = None) -> R_co:
        """`value` for callers without an event loop."""
        return run_blocking(self.value(timeout))

    def status_sync(self) -> JobStatus:
        """`status` for callers without an event loop."""
        return run_blocking(self.status())

    def cancel_sync(self) -> bool:
        """`cancel` for callers without an event loop."""
        return run_blocking(self.cancel())

    def retry_sync(self) -> None:
        """`retry` for callers without an event loop."""
        run_blocking(self.retry())

    def artifacts_sync(self) -> list[Artifact]:
        """`artifacts` for callers without an event loop."""
        return run_blocking(self.artifacts())

    def artifact_sync(self, name: str) -> bytes:
        """`artifact` for callers without an event loop."""
        return run_blocking(self.artifact(name))


Awaited = Future[Any] | str | Iterable[Future[Any] | str]
"""What a job can wait for: a Future, a job's id, or several of them."""


def job_ids(after: object) -> tuple[str, ...]:
    """The ids in what `options(after=...)` was given, each once. Raises `InvalidOptionError`."""
    ids = tuple(dict.fromkeys(_job_id(each, after) for each in _several(after)))
    if len(ids) > MAX_AFTER:
        raise InvalidOptionError(
            f"after=... names {len(ids):,} jobs, and one job can wait for {MAX_AFTER:,} at most: "
            "let jobs in between wait for some of them each"
        )
    return ids


def _several(after: object) -> Iterable[object]:
    if isinstance(after, Iterable) and not isinstance(after, str):
        return cast("Iterable[object]", after)
    return (after,)


def _job_id(each: object, after: object) -> str:
    if isinstance(each, Future):
        return each.job_id
    if isinstance(each, str):
        return check_text("after", each, InvalidOptionError)
    raise InvalidOptionError(
        f"after={quoted(after)} must be a Future that `submit` returned, a job's id, or several of "
        f"them, not {quoted(each)}"
    )


# --- from a stored job to what its caller meets ------------------------------------------------


def task_result(job: Job, signature: Signature | None) -> TaskResult[Any]:
    """The end of a finished job. Raises `PayloadError` if its result doesn't fit the annotation."""
    ok = job.status is JobStatus.COMPLETED
    value: Any = None
    if ok and job.result is not None:
        value = _value(job.result, signature or registry.find_signature(job.function))
    return TaskResult(
        value=value,
        ok=ok,
        status=job.status,
        error=None if ok else _words(job),
        traceback=None if ok or job.error is None else job.error.traceback,
        job_id=job.id,
        function=job.function,
        attempts=job.attempt,
        submitted_at=_time(job.submitted_at),
        started_at=None if job.started_at is None else _time(job.started_at),
        finished_at=None if job.finished_at is None else _time(job.finished_at),
    )


def _value(stored: bytes, signature: Signature | None) -> Any:
    return decode_value(stored) if signature is None else signature.decode_result(stored)


def _words(job: Job) -> str | None:
    if job.error is None:
        return job.reason
    return f"{job.error.type}: {job.error.message}" if job.error.message else job.error.type


def _error_of(result: TaskResult[Any], reason: str | None) -> Exception:
    what = f"job {result.job_id} of {result.function!r}"
    if result.status is JobStatus.CANCELLED:
        told = f": {result.error}" if result.error not in (None, Reason.CANCELLED.value) else ""
        return TaskCancelledError(f"{what} was cancelled{told}", result)
    attempts = f"{result.attempts} attempt{'' if result.attempts == 1 else 's'}"
    words = f"{what} failed after {attempts}: {result.error}"
    if reason == Reason.TIMEOUT:
        return TaskTimeoutError(words, result)
    return TaskFailedError(words, result)


def _time(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)
