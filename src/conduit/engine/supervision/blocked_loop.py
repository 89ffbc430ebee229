"""Notices that something blocks the worker's event loop, and says what.

A thread asks the loop for a sign of life. While none comes it looks at the stack of the loop's
thread: a job that is on it in each of several looks, with the loop standing still throughout, is
what blocks. No times are compared, so that neither a busy loop nor a machine that was suspended is
mistaken for a blocked one.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import linecache
import logging
import sys
import sysconfig
import threading
import time
from asyncio.events import Handle
from collections import Counter
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple

from conduit.engine.attempts.attempt import Attempt, Tools
from conduit.engine.context import holder_in
from conduit.engine.supervision.lifespan import Lifespan

logger = logging.getLogger("conduit.engine")

CHECK_S = 0.5
"""How often the loop is asked, and how long it has to answer."""
LOOK_S = 0.2
LOOKS = 5
"""So many looks in a row have to find the same culprit: a second."""
FREELY_TOLD = 5
"""So many jobs of a function are told of as they come, further ones at most every `PAUSE_S`."""
PAUSE_S = 60.0

_ADVICE = (
    "A function written with plain def runs in a thread; await asyncio.to_thread(...) does the "
    "same for one call"
)

_Culprit = Attempt | Lifespan | None
"""A job or a lifespan; None is code beside them, such as a route of an API."""

# A frame of one of these says whose the frames inside it are.
# pyright: reportPrivateUsage=false
_RUNS_JOB = Attempt.run.__code__
_RUNS_HOOK = Attempt._hook.__code__
_RUNS_MIDDLEWARE = Attempt._through_middleware.__code__
_RUNS_FUNCTION = Attempt._call.__code__
_RUNS_LIFESPAN = Lifespan._live.__code__
_RUNS_CALLBACK = Handle._run.__code__  # of asyncio's own loop
_RUNS_LOOP = asyncio.Runner.run.__code__

_OURS = str(Path(__file__).parents[2])
_LIBRARIES = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib")})


class Sight(NamedTuple):
    """What was seen on the stack of a loop that stands still."""

    culprit: _Culprit
    part: str
    """Which part of a job it is, such as a hook; empty for its function."""
    place: str
    line: str

    def __str__(self) -> str:
        return f"{self.place}: {self.line}" if self.line else self.place


class Watchdog:
    """Watches the event loop for the worker that these tools belong to.

    What other workers of the same loop run is theirs to tell of.
    """

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._worker = tools.spec.name
        self._turned = threading.Event()
        self._over = threading.Event()
        self._times: Counter[str] = Counter()
        self._told_at: dict[str, float] = {}

    def start(self) -> None:
        """Begin to watch."""
        threading.Thread(target=self._watch, name="conduit-watchdog", daemon=True).start()

    def stop(self) -> None:
        """Watch no longer."""
        self._over.set()

    def _watch(self) -> None:
        try:
            while not self._over.is_set():
                self._turned.clear()
                self._tools.loop.call_soon_threadsafe(self._turned.set)
                if self._over.wait(CHECK_S):
                    return
                if not self._turned.is_set():
                    self._find_culprit()
        except RuntimeError:  # the loop has closed
            return

    def _find_culprit(self) -> None:
        """Look until the loop turns again; tell of whatever was there throughout."""
        last: Sight | None = None
        times = 0
        while not self._turned.is_set() and not self._over.wait(LOOK_S):
            seen = self._look()
            again = seen and last and (seen.culprit, seen.part) == (last.culprit, last.part)
            times = times + 1 if again else 1
            last = seen
            if seen is not None and times == LOOKS:
                self._tell(seen)

    def _look(self) -> Sight | None:
        frame = sys._current_frames().get(self._tools.loop_thread)
        frames: list[FrameType] = []
        while frame is not None:
            frames.append(frame)
            frame = frame.f_back
        return sight(self._tools.loop, frames[::-1])

    # --- what is said -------------------------------------------------------------------------

    def _tell(self, seen: Sight) -> None:
        culprit = seen.culprit
        if culprit is not None and not culprit.belongs_to(self._tools.spec):
            return
        if isinstance(culprit, Attempt):
            culprit.note_blocked(seen.place)
            if self._is_due(culprit.job.function):
                culprit.warn(self._of_job(culprit, seen))
            return
        what = "the lifespan" if culprit else "code beside the jobs' own tasks"
        if self._is_due(what):
            logger.warning(
                "%s blocks the event loop of worker %s: %s. No job of the worker moves meanwhile. "
                "Await asyncio.to_thread(...) around a call that blocks",
                *(what, self._worker, seen),
            )

    def _of_job(self, attempt: Attempt, seen: Sight) -> str:
        job = attempt.job
        return (
            f"{seen.part}job {job.id} ({job.function}) blocks the event loop: {seen}. Nothing else "
            f"of worker {self._worker} moves meanwhile, and no timeout or cancel reaches it. "
            f"{_ADVICE}"
        )

    def _is_due(self, what: str) -> bool:
        """Whether to say it now: always at first, now and then where it has become a habit."""
        now = time.monotonic()
        self._times[what] += 1
        if self._times[what] > FREELY_TOLD and now < self._told_at[what] + PAUSE_S:
            return False
        self._told_at[what] = now
        return True


# --- reading a stack -------------------------------------------------------------------------


def sight(loop: asyncio.AbstractEventLoop, frames: list[FrameType]) -> Sight | None:
    """Whose code is on a loop's stack, outermost frame first; None if it is nobody's but ours."""
    culprit, base = _owner(loop, frames)
    if base is None:
        return None
    running = frames[base + 1 :]
    task = _code_of_task(culprit)
    theirs = [each for each in running if each.f_code is task or not _is_library(each.f_code)]
    if not theirs:
        return None
    at = theirs[-1]
    name, number = at.f_code.co_filename, at.f_lineno
    return Sight(
        culprit,
        _part(running),
        f"{_shown(name)}:{number}, in {at.f_code.co_qualname}",
        linecache.getline(name, number).strip(),
    )


def _owner(loop: asyncio.AbstractEventLoop, frames: list[FrameType]) -> tuple[_Culprit, int | None]:
    """Who runs, and the number of the frame from which on it is all theirs."""
    culprit: _Culprit = None
    base: int | None = None
    for number, frame in enumerate(frames):
        if frame.f_code is _RUNS_JOB or frame.f_code is _RUNS_LIFESPAN:
            culprit, base = frame.f_locals["self"], number
        elif frame.f_code is _RUNS_CALLBACK:
            culprit, base = _job_of(frame.f_locals["self"]._context), number
        elif frame.f_code is _RUNS_LOOP:
            culprit, base = _job_of(_context_of_task(loop)), number
    return culprit, base


def _context_of_task(loop: asyncio.AbstractEventLoop) -> contextvars.Context | None:
    """The context of the task that runs, where Python tells (from 3.12 on).

    A loop that isn't written in Python, such as uvloop, shows no frame of its callbacks.
    """
    task: Any = asyncio.current_task(loop)
    return task.get_context() if hasattr(task, "get_context") else None


def _job_of(context: contextvars.Context | None) -> Attempt | None:
    job = None if context is None else holder_in(context)
    return job if isinstance(job, Attempt) else None


def _code_of_task(culprit: _Culprit) -> CodeType | None:
    """The job's function, which counts as the user's wherever it is installed."""
    if not isinstance(culprit, Attempt):
        return None
    return getattr(inspect.unwrap(culprit.function.call), "__code__", None)


def _part(running: list[FrameType]) -> str:
    codes = {each.f_code for each in running}
    if _RUNS_HOOK in codes:
        return "a hook of "
    if _RUNS_MIDDLEWARE in codes and _RUNS_FUNCTION not in codes:
        return "middleware of "
    return ""


def _is_library(code: CodeType) -> bool:
    """Whether code is Conduit's, comes with Python or was installed: somebody else calls it."""
    name = code.co_filename
    return (
        name.startswith(("<frozen", _OURS, *_LIBRARIES))
        or "site-packages" in name
        or "dist-packages" in name
    )


def _shown(name: str) -> str:
    path = Path(name)
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
