"""Cuts what a task forks off from the process that runs it.

A fork inherits the event loop's wake-up descriptor, its selector, its signal handlers and its
connections: a signal to the child would be read by its parent's loop, and a child that comes back
up the stack would go on as a second worker.
"""

from __future__ import annotations

import inspect
import os
import signal
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

_RESET = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT")
    if hasattr(signal, name)
)
_CAME_BACK = (
    "a process that a task had forked came back from the task and was ended: "
    "end it with os._exit(), or use subprocess or multiprocessing\n"
)


NO_LINE = (
    "this process was forked by a job and has no line to the job's worker: give what it has to say "
    "to the process of the job, which can write it"
)


FLUSH_S = 1.0
"""How long a child that ends may take to write what it has printed. A stream that another thread
was writing to at the moment of the fork is locked in the child for ever."""


class _State(threading.local):
    mask: set[int] | None = None  # the forking thread's, while it forks


class _Forks:
    def __init__(self) -> None:
        self.generation = 0
        self.shields = 0
        self.hooked = False
        self.state = _State()


_forks = _Forks()


def generation() -> int:
    """A number that is another one in each process that came out of a fork."""
    return _forks.generation


@contextmanager
def shielded() -> Generator[None]:
    """While this is entered, processes that are forked from this one are cut off from it."""
    if not _forks.hooked and hasattr(os, "register_at_fork"):
        _forks.hooked = True
        os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
    _forks.shields += 1
    try:
        yield
    finally:
        _forks.shields -= 1


def end_if_forked(born: int, error: BaseException | None = None) -> None:
    """End this process if it was forked since `generation` was `born`, as that which it came from
    runs the same code. `error`: what the task raised in it; a `SystemExit` says the exit code."""
    if born != _forks.generation:
        _end(error)


def _end(error: BaseException | None) -> NoReturn:
    asked = isinstance(error, SystemExit)
    if not asked:
        with suppress(OSError):
            os.write(2, _CAME_BACK.encode())
    with suppress(RuntimeError):  # no thread can be had
        flushing = threading.Thread(target=_flush, daemon=True)
        flushing.start()
        flushing.join(FLUSH_S)
    os._exit(_code(error) if asked else 1)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):  # closed, or somebody's that fails: it ends all the same
            stream.flush()


def _code(error: BaseException | None) -> int:
    code = getattr(error, "code", None)
    return code if isinstance(code, int) else int(code is not None)


# --- around a fork -----------------------------------------------------------------------------


def _before() -> None:
    """Hold signals back: the child mustn't be found by one before it is cut off."""
    if _forks.shields:
        _forks.state.mask = signal.pthread_sigmask(signal.SIG_BLOCK, _RESET)


def _in_parent() -> None:
    mask, _forks.state.mask = _forks.state.mask, None
    if mask is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _in_child() -> None:
    _forks.generation += 1
    if _forks.shields:
        _forks.shields = 0
        signal.set_wakeup_fd(-1)
        for number in _RESET:
            default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            signal.signal(number, default)
        step = _step_of_loop(inspect.currentframe())
        if step is not None:
            _end_after(step)
    _in_parent()


def _step_of_loop(frame: FrameType | None) -> FrameType | None:
    """The coroutine that the event loop runs at this moment and that would give it control again.

    None: this process won't come back to the loop, as it wasn't forked there or belongs to
    `multiprocessing`.
    """
    outermost = None
    while frame is not None:
        if frame.f_globals.get("__name__") == "multiprocessing.popen_fork":
            return None
        if frame.f_code.co_flags & inspect.CO_COROUTINE:
            outermost = frame
        frame = frame.f_back
    return outermost


def _end_after(step: FrameType) -> None:
    """End this process when it leaves `step`, by a return or an await."""

    def watch(frame: FrameType, event: str, _: object) -> None:
        if frame is step and event == "return":
            _end(None)

    sys.setprofile(watch)
