"""Which running jobs of this process wait for which jobs."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from conduit.core.errors import DeadlockError


class Wait:
    """One job that waits for another. `bounded`: by a timeout, so that it ends in any case."""

    __slots__ = ("awaited", "bounded", "waiter")

    def __init__(self, waiter: str, awaited: str, *, bounded: bool) -> None:
        self.waiter = waiter
        self.awaited = awaited
        self.bounded = bounded


class Waits:
    """Refuses a wait that closes a circle. Works from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_waiter: dict[str, set[Wait]] = {}

    def begin(self, wait: Wait) -> None:
        """Note a wait. Raises `DeadlockError` if it would end only with itself."""
        with self._lock:
            circle = None if wait.bounded else self._path(wait.awaited, wait.waiter)
            if circle is not None:
                raise DeadlockError(_words(wait.waiter, circle))
            self._by_waiter.setdefault(wait.waiter, set()).add(wait)

    def end(self, waits: Iterable[Wait]) -> None:
        """Note that waits are over; some of them may have been before."""
        with self._lock:
            for wait in waits:
                others = self._by_waiter.get(wait.waiter, set())
                others.discard(wait)
                if not others:
                    self._by_waiter.pop(wait.waiter, None)

    def of(self, waiter: str) -> list[str]:
        """The jobs that a job waits for now."""
        with self._lock:
            return [wait.awaited for wait in self._by_waiter.get(waiter, ())]

    def _path(self, start: str, goal: str) -> list[str] | None:
        """From a job along what each waits for without a bound, to another job, if that leads
        there."""
        paths, seen = [[start]], {start}
        while paths:
            path = paths.pop()
            if path[-1] == goal:
                return path
            for wait in self._by_waiter.get(path[-1], ()):
                if not wait.bounded and wait.awaited not in seen:
                    seen.add(wait.awaited)
                    paths.append([*path, wait.awaited])
        return None


def _words(waiter: str, circle: list[str]) -> str:
    through = "".join(f", which waits for job {each}" for each in circle[1:])
    return f"job {waiter} waits for job {circle[0]}{through}: none of them would ever end"


WAITS = Waits()
"""Of all the workers of this process, since their jobs may wait for each other's."""
