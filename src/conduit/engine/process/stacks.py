"""What SIGQUIT shows: where every thread and every task of the event loop is, and in which job."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from types import FrameType
from typing import Any

JobOf = Callable[[object], tuple[str, str] | None]
"""The id and the function of the job that the engine's frames have in a variable."""

MOST_FRAMES = 60
STDERR = 2


def dump_on_sigquit(job_of: JobOf) -> Callable[[], None]:
    """Have a worker process show its stacks on SIGQUIT, by a thread: its main one runs jobs.

    What is returned takes the signal, and again when a job has taken it.
    """
    reading, writing = os.pipe()
    os.set_blocking(writing, False)

    def take() -> None:
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        signal.signal(signal.SIGQUIT, _to_thread)

    def listen() -> None:
        while number := os.read(reading, 1):  # of any signal that has a handler in Python
            if number[0] == signal.SIGQUIT:
                dump_stacks(job_of)

    threading.Thread(target=listen, name="conduit-signals", daemon=True).start()
    return take


def _to_thread(*_: object) -> None:
    """The thread is told by the descriptor; without a handler the signal would end the process."""


def dump_stacks(job_of: JobOf, loop: asyncio.AbstractEventLoop | None = None) -> None:
    """Write all stacks to stderr. From any thread, whatever the others do."""
    lines = [f"--- stacks of process {os.getpid()} ---\n"]
    for part in (_threads(job_of), () if loop is None else _tasks(job_of, loop)):
        try:
            lines += part
        except Exception as error:  # they go on while they are looked at
            lines.append(f"(the rest can't be shown: {error})\n")
    with suppress(OSError):  # nobody reads it
        os.write(STDERR, "".join(lines).encode(errors="backslashreplace"))


def _threads(job_of: JobOf) -> Iterator[str]:
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    for ident, frame in sys._current_frames().items():  # pyright: ignore[reportPrivateUsage]
        if ident != threading.get_ident():
            frames = [each for each, _ in traceback.walk_stack(frame)]
            yield f"\nthread {names.get(ident, ident)}{_job(job_of, frames)}\n"
            yield from _lines(reversed(frames))


def _tasks(job_of: JobOf, loop: asyncio.AbstractEventLoop) -> Iterator[str]:
    for task in asyncio.all_tasks(loop):
        frames = _awaits(task.get_coro())
        yield f"\ntask {task.get_name()}{_job(job_of, frames)}\n"
        yield from _lines(frames)


def _awaits(awaited: Any) -> list[FrameType]:
    """The frames of a coroutine and of those that it waits for, the innermost one last."""
    frames: list[FrameType] = []
    while awaited is not None and len(frames) < MOST_FRAMES:
        frame = getattr(awaited, "cr_frame", None) or getattr(awaited, "gi_frame", None)
        if frame is not None:
            frames.append(frame)
        awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "gi_yieldfrom", None)
    return frames


def _lines(frames: Iterable[FrameType]) -> list[str]:
    found = traceback.StackSummary.extract(
        ((frame, frame.f_lineno) for frame in frames), limit=-MOST_FRAMES, lookup_lines=False
    )
    return found.format()


def _job(job_of: JobOf, frames: Iterable[FrameType]) -> str:
    """The job whose attempt is on this stack, in words; empty if there is none."""
    for frame in frames:
        if frame.f_globals.get("__name__") in _ENGINE:
            for value in frame.f_locals.values():
                job = job_of(value)
                if job is not None:
                    return f" in job {job[0]} ({job[1]})"
    return ""


_ENGINE = frozenset(
    {
        "conduit.engine.attempts.attempt",
        "conduit.engine.executors.child",
        "conduit.engine.claims.slots",
        "conduit.engine.executors.threads",
    }
)
