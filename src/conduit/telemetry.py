"""What Conduit does, told to whoever listens: submit, claim, begin, end, retry, rescue, sweep.

Nothing is made of an event while nobody listens. A listener is called in a thread of its own, one
event after the other, so that none that is slow, hangs or raises holds anything up: what it can't
keep up with is left out, and counted.
"""

from __future__ import annotations

import atexit
import inspect
import logging
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, ClassVar, Self

from msgspec import Struct

from conduit.core.model import Job, NewJob

logger = logging.getLogger("conduit.telemetry")

MOST_WAITING = 100_000
"""Events that wait for one listener at most."""
CLOSING_S = 5.0
AT_EXIT_S = 2.0


# --- the events ------------------------------------------------------------------------------


class JobRef(Struct, frozen=True):
    """Which job an event is about."""

    job_id: str
    function: str
    queue: str


class Submit(Struct, frozen=True, kw_only=True):
    """Jobs were submitted together, or should have been: then `error` names the error's type.

    Of a schedule's ticks only those that this process made jobs of. `duplicates` counts jobs that
    weren't added, as another one holds their key.
    """

    name: ClassVar[str] = "submit"
    origin: str
    jobs: tuple[JobRef, ...]
    duplicates: int = 0
    error: str | None = None
    took_s: float


class Claim(Struct, frozen=True, kw_only=True):
    """A worker asked for up to `limit` jobs and got these, or none."""

    name: ClassVar[str] = "claim"
    worker: str
    jobs: tuple[JobRef, ...]
    limit: int
    took_s: float


class Begin(Struct, frozen=True, kw_only=True):
    """A function was called. `wait_s` is from when the job was due to its claim."""

    name: ClassVar[str] = "begin"
    worker: str
    job: JobRef
    attempt: int
    wait_s: float


class End(Struct, frozen=True, kw_only=True):
    """An attempt is over, and the queue has been told so.

    `outcome` is "complete", "fail", "retry_later", "cancel", "release" (handed back, at no cost) or
    "lost" (the lease was lost). `error` is the type's short name. `run_s` is None for a function
    that never began. `kept` is whether the queue took it from this worker.
    """

    name: ClassVar[str] = "end"
    worker: str
    job: JobRef
    attempt: int
    outcome: str
    reason: str | None = None
    error: str | None = None
    error_qualified_name: str | None = None
    run_s: float | None = None
    kept: bool = True


class Retry(Struct, frozen=True, kw_only=True):
    """An attempt failed, and the next one is due in `delay_s`; follows its `End`."""

    name: ClassVar[str] = "retry"
    worker: str
    job: JobRef
    attempt: int
    error: str | None
    delay_s: float


class Rescue(Struct, frozen=True, kw_only=True):
    """Jobs whose worker was lost: `rescued` go on elsewhere, `failed` were lost once too often."""

    name: ClassVar[str] = "rescue"
    worker: str
    rescued: int
    failed: int


class Sweep(Struct, frozen=True, kw_only=True):
    """The one sweeping worker has tidied the queue; in numbers of jobs."""

    name: ClassVar[str] = "sweep"
    worker: str
    promoted: int
    expired: int
    rescued: int
    failed: int
    purged: int
    took_s: float


def job_ref(job: Job | NewJob) -> JobRef:
    """What an event says of a job."""
    return JobRef(job.id, job.function, job.queue)


Event = Submit | Claim | Begin | End | Retry | Rescue | Sweep
Listener = Callable[[Event], object]


# --- listening -------------------------------------------------------------------------------


class Observation:
    """A listener that is being told: until `close`, or the end of a `with` block."""

    def __init__(self, listener: Listener) -> None:
        """Use `observe`."""
        self._listener = listener
        self._failed = False
        self.dropped = 0
        """How many events were left out, because the listener was too slow."""
        self.start_afresh()

    def start_afresh(self) -> None:
        """Also in a forked child, where the parent's thread isn't, nor what waits there."""
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._waiting: SimpleQueue[Event | None] = SimpleQueue()

    def tell(self, event: Event) -> None:
        """Pass an event on. Never blocks, never raises. From any thread."""
        if self._waiting.qsize() >= MOST_WAITING:
            self.dropped += 1
            if self.dropped == 1:
                logger.warning(
                    "the listener %r doesn't keep up: %d events wait for it, and more are left out",
                    *(self._listener, MOST_WAITING),
                )
            return
        self._waiting.put(event)
        if self._thread is None:
            self._start()

    def _start(self) -> None:
        with self._starting:
            if self._thread is None:
                thread = threading.Thread(
                    target=self._serve, args=(self._waiting,), name="conduit-telemetry", daemon=True
                )
                try:
                    thread.start()
                except RuntimeError:  # the interpreter is ending
                    return
                self._thread = thread

    def _serve(self, waiting: SimpleQueue[Event | None]) -> None:
        while (event := waiting.get()) is not None:
            try:
                self._listener(event)
            except BaseException:
                if not self._failed:
                    self._failed = True
                    logger.exception(
                        "the listener %r failed; this is told once, and it is told of what follows",
                        self._listener,
                    )

    def close(self, seconds: float = CLOSING_S) -> None:
        """Tell it no more, and wait so long for it to have heard what was told. Twice is fine."""
        with suppress(ValueError):
            listeners.remove(self)
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            self._waiting.put(None)
            thread.join(seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


listeners: list[Observation] = []
"""Who listens. Make an event only if somebody does."""


def observe(listener: Listener) -> Observation:
    """Have a function called with what Conduit does in this process, in a thread of its own.

    `conduit.telemetry` has the events. Raises `TypeError` for what can't be called.
    """
    given: Any = listener
    if not callable(given) or inspect.iscoroutinefunction(given):
        raise TypeError(f"{given!r} must be a plain function of one event")
    observation = Observation(listener)
    listeners.append(observation)
    return observation


def tell(event: Event) -> None:
    """Tell every listener. From any thread."""
    for each in tuple(listeners):
        each.tell(event)


def _start_afresh() -> None:
    for each in listeners:
        each.start_afresh()


def _close_at_exit() -> None:
    for each in tuple(listeners):
        each.close(AT_EXIT_S)


atexit.register(_close_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_afresh)
