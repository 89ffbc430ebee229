"""SIGINT and SIGTERM, handled on the event loop."""

from __future__ import annotations

import asyncio
import atexit
import os
import signal
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from functools import partial

_HANDLED = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def signals_to(
    handle: Callable[[int], None], *, until_exit: Callable[[], int] | None = None
) -> Generator[None]:
    """Have the signals handled by `handle` while entered, where the loop can (the main thread).

    `until_exit`: the process ends next, with the code that this tells then. A signal that comes
    later ends it with that code at once, as threads that hang may keep it for ever.
    """
    loop = asyncio.get_running_loop()
    taken: list[signal.Signals] = []
    for number in _HANDLED:
        with suppress(NotImplementedError, RuntimeError, ValueError):
            loop.add_signal_handler(number, handle, number)
            taken.append(number)
    try:
        yield
    finally:
        if taken:
            _give_up(loop, taken, until_exit)


def _give_up(
    loop: asyncio.AbstractEventLoop,
    taken: list[signal.Signals],
    until_exit: Callable[[], int] | None,
) -> None:
    # What comes in between waits, and finds out then what has become of it.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, taken)
    for number in taken:
        loop.remove_signal_handler(number)
    if until_exit is not None:
        for number in taken:
            signal.signal(number, partial(_exit_now, taken, until_exit()))
        # All threads have ended when this is called, and the interpreter is about to give the
        # signals back to the system, for which they would be a reason to kill it.
        atexit.register(_ignore, taken)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _exit_now(taken: list[signal.Signals], code: int, *_: object) -> None:
    _ignore(taken)
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):  # closed, or in the middle of a write: the exit matters more
            stream.flush()
    os._exit(code)


def _ignore(signals: list[signal.Signals]) -> None:
    for number in signals:
        signal.signal(number, signal.SIG_IGN)
