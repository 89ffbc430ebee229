"""What the decorators of a worker take, and the engine's `Function` that becomes of it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import CodeType
from typing import Any, Literal, TypedDict

from conduit.core.checks import check_count, check_priority, check_seconds, check_text
from conduit.core.codec import Signature
from conduit.core.errors import InvalidTaskError
from conduit.core.model import DEFAULT_MAX_DELIVERIES
from conduit.core.retry import Delay, RetryOn, RetryPolicy
from conduit.engine.attempts.function import NO_HOOKS, Function, Hook, Hooks, Mode
from conduit.engine.executors.processes import ProcessTarget
from conduit.sdk.options import Seconds, unknown_option

SyncExecutor = Literal["thread", "process"]


class FunctionOptions(TypedDict, total=False):
    """Options of every decorator. Times in seconds."""

    name: str
    """What to submit it by; the function's own name by default."""
    queue: str
    """One of the worker's queues; its first by default."""
    retries: int
    """Attempts after the first that fails."""
    retry_delay: Delay
    """The wait before the first retry, each further one being `retry_backoff` times as long; or a
    list of waits, the last of which serves for all further retries."""
    retry_backoff: float | None
    """2 unless told otherwise."""
    retry_max_delay: Seconds | None
    """The longest wait; an hour by default."""
    retry_jitter: float
    """The fraction of each wait, 0 to 1, that is left to chance."""
    retry_on: RetryOn
    """Which errors are retried: exception types, or a function from the error to a bool."""
    timeout: Seconds | None
    """How long one attempt may take."""
    priority: int
    """-100 to 100; higher goes first."""
    max_deliveries: int
    """How often the job may take its worker down with it before it counts as failed."""
    on_start: Hook | None
    """`on_start(ctx)`, plain or async, like the other hooks."""
    on_success: Hook | None
    """`on_success(ctx, value)`"""
    on_failure: Hook | None
    """`on_failure(ctx, error)`, after the last attempt."""
    on_retry: Hook | None
    """`on_retry(ctx, error)`"""
    on_complete: Hook | None
    """`on_complete(ctx)`, after success and final failure alike."""


class TaskOptions(FunctionOptions, total=False):
    """Options of `worker.task`."""

    unique: bool
    """One unfinished job per set of arguments: a second submit gets the first one's Future."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a function gets from the worker it is declared on."""

    worker: str
    queues: Collection[str]
    sync_executor: SyncExecutor
    event: str | None = None


def check_options(decorator: str, options: Mapping[str, object]) -> None:
    """Refuse an option that the decorator doesn't take, in that decorator's name.

    Raises `InvalidTaskError` for one that belongs to another decorator, `TypeError` for one that
    doesn't exist.
    """
    known = TaskOptions.__annotations__ | FunctionOptions.__annotations__
    for option in options:
        if option not in known:
            raise unknown_option(decorator, option, known)
    if decorator != "task" and "unique" in options:
        raise InvalidTaskError(
            f"{decorator}(unique=...): only @worker.task takes unique; every tick of a schedule "
            "and every event makes a job of its own"
        )


def task(
    fn: Callable[..., Any],
    *,
    surroundings: Surroundings,
    name: str | None = None,
    queue: str | None = None,
    retries: int = 0,
    retry_delay: Delay = 1.0,
    retry_backoff: float | None = None,
    retry_max_delay: Seconds | None = None,
    retry_jitter: float = 0.1,
    retry_on: RetryOn = None,
    timeout: Seconds | None = None,
    priority: int = 0,
    max_deliveries: int = DEFAULT_MAX_DELIVERIES,
    on_start: Hook | None = None,
    on_success: Hook | None = None,
    on_failure: Hook | None = None,
    on_retry: Hook | None = None,
    on_complete: Hook | None = None,
) -> Function:
    """Check a function and its options; see `FunctionOptions` for what they mean.

    Raises `InvalidTaskError`, which names the task and the option that can't work.
    """
    name = _name(fn, name)
    signature = Signature.of(fn, name=name)
    mode = _mode(fn, surroundings.sync_executor)
    try:
        return Function(
            name=name,
            call=fn,
            signature=signature,
            mode=mode,
            queue=_queue(queue, surroundings),
            retry=RetryPolicy(
                retries=retries,
                delay=retry_delay,
                backoff=retry_backoff,
                max_delay=retry_max_delay,
                jitter=retry_jitter,
                retry_on=retry_on,
            ),
            timeout=_timeout(timeout),
            priority=check_priority(priority, InvalidTaskError),
            max_deliveries=check_count("max_deliveries", max_deliveries, InvalidTaskError, least=1),
            hooks=_hooks(
                on_start=on_start,
                on_success=on_success,
                on_failure=on_failure,
                on_retry=on_retry,
                on_complete=on_complete,
            ),
            event=surroundings.event,
            target=ProcessTarget.of(fn) if mode is Mode.PROCESS else None,
        )
    except InvalidTaskError as error:
        raise InvalidTaskError(f"task {name!r} ({place_of(fn)}): {error}") from error


def place_of(fn: Callable[..., Any]) -> str:
    """Where a function is written: `service.py:12`, relative to the current folder where it can."""
    code: CodeType = inspect.unwrap(getattr(fn, "__func__", fn)).__code__
    path = Path(code.co_filename)
    shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    return f"{shown}:{code.co_firstlineno}"


def _name(fn: Callable[..., Any], name: str | None) -> str:
    if hasattr(fn, "__conduit_function__"):
        raise InvalidTaskError(
            f"{getattr(fn, 'name', fn)!r} is a task already: put one of task, cron and on over "
            "each function, and call a shared function from both"
        )
    own = getattr(fn, "__name__", None)
    if name is not None:
        return check_text("name", name, InvalidTaskError)
    if own is None:
        raise InvalidTaskError(
            f"{fn!r} has no name: only a function can be a task; write @worker.task over a `def`"
        )
    if own == "<lambda>":
        raise InvalidTaskError("a lambda has no name: give the task one with name=...")
    return own


def _mode(fn: Callable[..., Any], sync_executor: SyncExecutor) -> Mode:
    if inspect.iscoroutinefunction(fn):
        return Mode.ASYNC
    return Mode.PROCESS if sync_executor == "process" else Mode.THREAD


def _queue(queue: str | None, surroundings: Surroundings) -> str:
    if queue is None:
        return next(iter(surroundings.queues))
    if queue not in surroundings.queues:
        served = ", ".join(map(repr, surroundings.queues))
        raise InvalidTaskError(
            f"queue={queue!r} isn't one that worker {surroundings.worker!r} takes jobs from "
            f"({served}): add it to Worker(queues=[...])"
        )
    return queue


def _timeout(timeout: object) -> float | None:
    return None if timeout is None else check_seconds("timeout", timeout, InvalidTaskError)


def _hooks(**hooks: Hook | None) -> Hooks:
    for option, hook in hooks.items():
        if hook is not None and not callable(hook):
            raise InvalidTaskError(f"{option}={hook!r} must be a function")
    return Hooks(**hooks) if any(hooks.values()) else NO_HOOKS
