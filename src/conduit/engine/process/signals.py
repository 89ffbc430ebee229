"""Signals to a run, heard by a thread: tasks that block the event loop keep none of them away."""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from conduit.engine.process.dispositions import LoopsHandler, undo_harm
from conduit.engine.process.forks import shielded

logger = logging.getLogger("conduit.run")

_STOPS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
_DUMP = getattr(signal, "SIGQUIT", None)
_END = 0
"""No signal's number: the thread that hears them ends."""

Handle = Callable[[int], None]


@contextmanager
def signals_to(
    handle: Handle,
    *,
    at_once: Handle | None = None,
    on_dump: Callable[[], None] | None = None,
    until_exit: Callable[[], None] | None = None,
) -> Generator[Callable[[], None]]:
    """Have SIGINT, SIGTERM and SIGHUP handled while entered, where that can be (the main thread).

    `handle` is called on the event loop, `at_once` before that in a thread, be the loop blocked or
    not; `on_dump` is called there on SIGQUIT. `until_exit`: the process ends next; a signal that
    comes later calls this, which ends it at once. What it yields is to be called now and then, to
    take back what tasks do to the handlers.
    """
    loop = asyncio.get_running_loop()
    if os.name != "posix" or threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    listener = _Listener(loop, handle, at_once, on_dump)
    with shielded():
        listener.start()
        try:
            yield listener.take_back
        finally:
            listener.stop(until_exit)


class _Listener:
    """Reads the numbers of signals from a descriptor that Python's own handler writes to.

    The descriptor is the process's only one (`signal.set_wakeup_fd`). Whoever had it before, such
    as the event loop, gets the numbers passed on.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        handle: Handle,
        at_once: Handle | None,
        on_dump: Callable[[], None] | None,
    ) -> None:
        self._loop = loop
        self._handle = handle
        self._at_once = at_once
        self._on_dump = on_dump
        self._before: dict[int, Any] = {}
        self._harm: dict[int, Any] = {}
        self._loops_handler = LoopsHandler()
        self._passed_on_to = -1
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._writing, False)
        self._thread = threading.Thread(target=self._listen, name="conduit-signals", daemon=True)

    def start(self) -> None:
        """Take the signals."""
        for number in self._numbers():
            self._before[number] = signal.signal(number, _to_thread)
        self._harm = undo_harm()
        self._take_descriptor()
        self._thread.start()

    def stop(self, until_exit: Callable[[], None] | None) -> None:
        """Give them back, or to `until_exit`. What comes in between waits, and is heard then."""
        taken = list(self._before)
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, taken)
        signal.set_wakeup_fd(self._passed_on_to, warn_on_full_buffer=False)
        self._passed_on_to = -1
        if until_exit is None:
            for number, before in (self._before | self._harm).items():
                signal.signal(number, signal.SIG_DFL if before is None else before)
        else:
            for number in self._before:
                signal.signal(number, partial(_exit_now, until_exit))
            # All threads have ended when this is called, and the interpreter is about to give the
            # signals back to the system, for which they would be a reason to kill it.
            atexit.register(ignore_signals)
        self._end_thread()
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def _end_thread(self) -> None:
        """Have it read a number that no signal has: forked children keep the pipe open."""
        os.set_blocking(self._writing, True)
        os.write(self._writing, bytes([_END]))
        self._thread.join()
        os.close(self._writing)
        os.close(self._reading)

    def _numbers(self) -> list[int]:
        stops: list[int] = [
            number
            for number in _STOPS
            # `nohup` has it ignored, for good reason.
            if number == signal.SIGINT or signal.getsignal(number) is not signal.SIG_IGN
        ]
        return stops if _DUMP is None or self._on_dump is None else [*stops, _DUMP]

    def _take_descriptor(self) -> None:
        others = signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)
        if others != self._writing:
            self._passed_on_to = others

    def take_back(self) -> None:
        """Undo what a task has done to the handlers."""
        self._take_descriptor()
        for number in self._before:
            if signal.signal(number, _to_thread) is not _to_thread:
                _tell_of_change(number, "it is the worker's again, as the worker stops by it")
        changed = set(undo_harm())
        if self._loops_handler.keep():
            changed.add(signal.SIGCHLD)
        for number in sorted(changed):
            _tell_of_change(number, "it is as before, as all jobs of the worker rely on it")

    def _listen(self) -> None:
        while True:
            numbers = os.read(self._reading, 256)
            for number in numbers:
                if number == _END:
                    return
                try:
                    self._hear(number)
                except Exception:  # whatever it is, the next signal has to be heard
                    logger.exception("a signal could not be handled")
            if self._passed_on_to >= 0:
                with suppress(OSError):  # its loop has closed, or has enough to read
                    os.write(self._passed_on_to, numbers)

    def _hear(self, number: int) -> None:
        if number == _DUMP and self._on_dump is not None:
            self._on_dump()
        elif number in self._before:
            if self._at_once is not None:
                self._at_once(number)
            with suppress(RuntimeError):  # the loop has closed
                self._loop.call_soon_threadsafe(self._handle, number)


def _tell_of_change(number: int, what_now: str) -> None:
    name = signal.Signals(number).name
    logger.warning("a task has changed the handler of %s; %s", name, what_now)


def ignore_signals() -> None:
    """Hear no more of them: the process has ended but for its last words."""
    for number in _STOPS:
        signal.signal(number, signal.SIG_IGN)


def _exit_now(exit_now: Callable[[], None], number: int, _: object) -> None:
    if number != _DUMP:
        ignore_signals()
        exit_now()


def _to_thread(*_: object) -> None:
    """The thread is told by the descriptor; without a handler the signal would end the process."""
