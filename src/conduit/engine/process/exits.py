"""The end of a process that was told to stop: in time, and said when it has come.

Threads that hang, executors and pools that are joined at exit, handlers of `atexit` and a blocked
event loop would each keep it for ever.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import NoReturn

from conduit.engine.process.forks import generation

logger = logging.getLogger("conduit.run")

STOP_GRACE_S = 3.0
"""How long all may take that comes after the time which jobs get to finish."""
PROBE_S = 0.5
"""How long an event loop may take to answer until it counts as blocked."""
OUTSIDE_S = 1.0
"""How long handing back from outside of a blocked event loop may take."""
LAST_WORDS_S = 0.3
"""How much of the grace is kept for the process to go."""
CANCELLED_BY_TASK = "a task cancelled tasks of the event loop that aren't its own"


class Ending:
    """Bounds the end of a process, from when it is begun; once its time is over, it exits by force.

    `of_script`: the process isn't the run's own, and goes on when the run is `over`.
    """

    def __init__(self, *, of_script: bool = False) -> None:
        self.of_script = of_script
        self.code = 0
        """The exit code."""
        self.told = False
        """Whether anyone has asked for the end."""
        self._over_at = 0.0
        self._run_is_over = False
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._said = of_script
        if not of_script:
            # The last of all that is called at the exit, as it is the first to be registered.
            atexit.register(self._say)

    def begin(
        self,
        patience: float,
        loop: asyncio.AbstractEventLoop,
        hand_back: Callable[[float], None],
    ) -> None:
        """From now the process has `patience`, in seconds, and `STOP_GRACE_S`. Twice is once.

        `hand_back` does what `loop` doesn't when it is blocked, in so many seconds. From any
        thread.
        """
        with self._changed:
            if self._thread is None:
                self._over_at = time.monotonic() + patience + STOP_GRACE_S
                self._thread = threading.Thread(
                    target=self._watch, args=(loop, hand_back), name="conduit-ending", daemon=True
                )
                self._thread.start()

    def hurry(self) -> None:
        """There is no patience any more. From any thread."""
        with self._changed:
            self._over_at = min(self._over_at, time.monotonic() + STOP_GRACE_S)
            self._changed.notify()

    def over(self) -> None:
        """Everything of the run has ended. A script goes on, for as long as it likes."""
        with self._changed:
            self._run_is_over = True
            self._changed.notify()

    def exit_now(self) -> None:
        """End the process, with the code."""
        self._say()
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):  # closed, or in the middle of a write: the exit matters more
                stream.flush()
        os._exit(self.code)

    # --- the thread ---------------------------------------------------------------------------

    def _watch(self, loop: asyncio.AbstractEventLoop, hand_back: Callable[[float], None]) -> None:
        self._wait(STOP_GRACE_S - PROBE_S)
        while not self._run_is_over and self._rest() > LAST_WORDS_S:
            if _is_blocked(loop):
                logger.warning("the event loop is blocked; what it runs is handed back without it")
                with suppress(Exception):  # whatever it is, the process ends
                    hand_back(OUTSIDE_S)
                _end_children()
                self.exit_now()
            time.sleep(PROBE_S / 5)
        if self.of_script and self._run_is_over:
            threading.main_thread().join()
            time.sleep(STOP_GRACE_S - LAST_WORDS_S)
        else:
            self._wait(LAST_WORDS_S, whole=True)
        _tell_of_threads()
        _end_children()
        self.exit_now()

    def _rest(self) -> float:
        return self._over_at - time.monotonic()

    def _wait(self, rest: float, *, whole: bool = False) -> None:
        """Until only `rest` is left, in seconds; and unless `whole`, at most until `over`."""
        with self._changed:
            while (seconds := self._rest() - rest) > 0 and (whole or not self._run_is_over):
                self._changed.wait(seconds)

    def _say(self) -> None:
        if self.told and not self._said:
            self._said = True
            logger.info("stopped")


@contextmanager
def no_quiet_exit(ending: Ending) -> Generator[None]:
    """Have `os._exit(0)` in a task end the process with 1, unless it was told to end.

    Nothing else is called then that could tell whoever started the process that it is gone. In
    processes that tasks fork the function is as ever.
    """
    leave, born = os._exit, generation()

    def leave_loudly(status: int) -> NoReturn:
        if status == 0 and not ending.told and generation() == born:
            with suppress(OSError):
                os.write(2, b"a task has ended the worker's process by os._exit(0)\n")
            status = 1
        leave(status)

    os._exit = leave_loudly
    try:
        yield
    finally:
        os._exit = leave


def _is_blocked(loop: asyncio.AbstractEventLoop) -> bool:
    answered = threading.Event()
    try:
        loop.call_soon_threadsafe(answered.set)
    except RuntimeError:  # it has closed
        return False
    return not answered.wait(PROBE_S) and not loop.is_closed()


def _end_children() -> None:
    """End what tasks have started by `multiprocessing`, which its own handler at the exit would."""
    for child in multiprocessing.active_children():
        with suppress(Exception):  # it has ended meanwhile, or is closed
            child.terminate()


def _tell_of_threads() -> None:
    kept = [
        each.name
        for each in threading.enumerate()
        if not each.daemon and each is not threading.main_thread()
    ]
    if kept:
        logger.warning("ending in spite of threads that don't: %s", ", ".join(kept[:5]))
