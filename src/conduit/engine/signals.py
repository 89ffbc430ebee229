"""SIGINT and SIGTERM, handled on the event loop."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress

_HANDLED = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def signals_to(handle: Callable[[int], None], *, until_exit: bool = False) -> Generator[None]:
    """Have the signals handled by `handle` while entered, where the loop can (the main thread).

    `until_exit`: the process ends next. Signals that come later are ignored then, as one that
    arrived while the interpreter tidies up would kill a process that has ended in good order.
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
    loop: asyncio.AbstractEventLoop, taken: list[signal.Signals], until_exit: bool
) -> None:
    # What comes in between waits, and finds out then what has become of it.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, taken)
    for number in taken:
        loop.remove_signal_handler(number)
        if until_exit:
            signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
