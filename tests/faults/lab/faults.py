"""What a fault is: one way to do harm, and what is told of it. `nemesis.py` strikes."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from msgspec import Struct

from tests.faults.lab.stores import HistoryStore, Planted, QueueStore
from tests.faults.lab.system import Process, System

Undo = Callable[[], None]


class Strike(Struct, frozen=True, kw_only=True):
    """A fault that was struck: at a wall clock time in milliseconds, at what, with which pid.

    `until`: when it was undone, where that is to be. `in_vain`: there was nothing for it to harm.
    """

    fault: str
    at: int
    target: str
    pid: int = 0
    planted: Planted = Planted()
    until: int = 0
    in_vain: bool = False

    def __str__(self) -> str:
        whom = f" (pid {self.pid})" if self.pid else ""
        return f"{self.fault} {self.target}{whom}{' in vain' if self.in_vain else ''}"

    def may_be_felt(self, at: int, for_ms: int) -> bool:
        """Whether a moment is within its time, or less than so long after it."""
        return self.at <= at <= max(self.at, self.until) + for_ms


class Harm(NamedTuple):
    """What was done: how to undo it, if that is to be, and whether it has had its effect yet."""

    strike: Strike
    undo: Undo | None = None
    has_told: Callable[[], bool] = lambda: True
    harms_by_telling: bool = False
    """Whether it has done nothing as long as it hasn't told."""


class Fault:
    """One way to do harm, for a while that is drawn from `lasts` (seconds)."""

    name = ""
    lasts = (0.0, 0.0)

    def fits(self, queue: QueueStore, history: HistoryStore) -> bool:
        """Whether it can be done to these stores."""
        return True

    def strike(self, system: System, chance: random.Random) -> Harm | None:
        """Do it. None: nobody was there to be struck."""
        raise NotImplementedError


def now_ms() -> int:
    """The machine's wall clock, in milliseconds."""
    return time.time_ns() // 1_000_000


def struck_now(fault: str, target: str, pid: int = 0) -> Strike:
    """A strike of this moment."""
    return Strike(fault=fault, at=now_ms(), target=target, pid=pid)


def one_of(processes: Sequence[Process], chance: random.Random) -> Process | None:
    """One that can be struck; None where there is none."""
    there = [each for each in processes if each.running and not each.frozen]
    return chance.choice(there) if there else None
