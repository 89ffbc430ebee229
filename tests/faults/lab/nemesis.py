"""The nemesis: faults, each with a name, struck at random by a schedule that a seed draws.

To add a fault, subclass `Fault`, say which stores it needs, and put it into `FAULTS`.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from typing import NamedTuple

from msgspec import Struct, structs

from tests.faults.lab.faults import Fault, Harm, Strike, Undo, now_ms
from tests.faults.lab.network_faults import (
    CutHistory,
    CutNetwork,
    ForgetConnections,
    HalfOpenHistory,
    HalfOpenNetwork,
    LoseHistoryReplies,
    LoseReplies,
    SlowHistory,
    SlowNetwork,
)
from tests.faults.lab.process_faults import (
    EndWorker,
    FreezeWorker,
    HangUpWorker,
    KillMember,
    KillServer,
    KillSubmitter,
    KillWorker,
    Visit,
)
from tests.faults.lab.store_faults import (
    ChangePassword,
    DestroyGroup,
    DropClients,
    FailOver,
    FillDisk,
    FlushRedis,
    FlushScripts,
    KillNode,
    KillRedis,
    LockHistory,
    PauseRedis,
    PlantEvents,
    RestartPostgres,
    SetProcessClock,
    SetStoreClock,
    TerminateBackends,
)
from tests.faults.lab.system import System

_LONGEST_S = 15.0
"""For how long something without effect goes on beyond its time."""
_IN_VAIN_S = 60.0
"""The same for what harms nobody until it has its effect: a server may take long to start."""

FAULTS: tuple[Fault, ...] = (
    KillWorker(),
    FreezeWorker(),
    EndWorker(),
    HangUpWorker(),
    Visit(),
    KillServer(),
    KillSubmitter(),
    KillMember(),
    KillRedis(),
    PauseRedis(),
    DropClients(),
    FlushScripts(),
    ChangePassword(),
    DestroyGroup(),
    FlushRedis(),
    CutNetwork(),
    ForgetConnections(),
    SlowNetwork(),
    HalfOpenNetwork(),
    LoseReplies(),
    FailOver(),
    KillNode(),
    FillDisk(),
    SetStoreClock(),
    SetProcessClock(),
    PlantEvents(),
    LockHistory(),
    RestartPostgres(),
    TerminateBackends(),
    CutHistory(),
    SlowHistory(),
    HalfOpenHistory(),
    LoseHistoryReplies(),
)
"""Every fault there is."""

UNREACHABLE = (
    RestartPostgres.name,
    TerminateBackends.name,
    CutHistory.name,
    HalfOpenHistory.name,
    LoseHistoryReplies.name,
)
"""Faults for which a server that starts may not find its history."""

BY_NAME = {fault.name: fault for fault in FAULTS}


class Planned(Struct, frozen=True, kw_only=True):
    """A fault that is to be struck so many seconds after the start, and undone after so many.

    `must`: where nobody is there to be struck it is tried again.
    """

    after_s: float
    fault: str
    lasts_s: float
    seed: str
    must: bool = False


def plan(
    seed: int, weights: dict[str, float], *, first_s: float, last_s: float, every_s: float
) -> list[Planned]:
    """Faults by their names' weights, one `every_s` seconds or so."""
    chance = random.Random(f"{seed}/nemesis")
    planned: list[Planned] = []
    at = first_s
    while at < last_s:
        (name,) = chance.choices(list(weights), list(weights.values()))
        lasts = chance.uniform(*BY_NAME[name].lasts)
        planned.append(
            Planned(after_s=at, fault=name, lasts_s=lasts, seed=f"{seed}/{len(planned)}")
        )
        at += chance.uniform(0.5, 1.5) * every_s
    return planned


class _Lasting(NamedTuple):
    fault: str
    until_s: float
    harm: Harm
    undo: Undo


class Nemesis:
    """Strikes what is planned, when it is due; `act` is to be called again and again."""

    def __init__(self, system: System, planned: Sequence[Planned]) -> None:
        self.strikes: list[Strike] = []
        self._system = system
        self._planned = sorted(planned, key=lambda each: each.after_s)
        self._lasting: list[_Lasting] = []
        self._begun = time.monotonic()
        self._is_stopping = False

    @property
    def is_through(self) -> bool:
        """Whether all that was planned has been struck, and had its effect or its time."""
        waits = any(
            each.harm.harms_by_telling and not each.harm.has_told() for each in self._lasting
        )
        return not self._planned and not waits

    @property
    def has_stopped(self) -> bool:
        """Whether nothing lasts any more."""
        return self._is_stopping and not self._lasting

    def stop(self) -> None:
        """Strike no more, and undo at the next `act` what still lasts."""
        self._is_stopping = True

    def act(self) -> None:
        """Undo what has lasted long enough, and strike what is due."""
        passed = time.monotonic() - self._begun
        for each in [each for each in self._lasting if self._is_over(each, passed)]:
            self._lasting.remove(each)
            self._end(each)
        if self._is_stopping:
            return
        due = [each for each in self._planned if each.after_s <= passed]
        again = [each for each in due if not self._strike(each) and each.must]
        # Not before: to those who ask from another thread, what is being struck isn't through.
        self._planned = [*again, *self._planned[len(due) :]]

    def _end(self, lasting: _Lasting) -> None:
        in_vain = lasting.harm.harms_by_telling and not lasting.harm.has_told()
        lasting.undo()
        place = self.strikes.index(lasting.harm.strike)
        self.strikes[place] = structs.replace(lasting.harm.strike, until=now_ms(), in_vain=in_vain)

    def _is_over(self, lasting: _Lasting, passed: float) -> bool:
        patience_s = _IN_VAIN_S if lasting.harm.harms_by_telling else _LONGEST_S
        if self._is_stopping or passed >= lasting.until_s + patience_s:
            return True
        return passed >= lasting.until_s and lasting.harm.has_told()

    def _strike(self, planned: Planned) -> bool:
        lasts_still = any(each.fault == planned.fault for each in self._lasting)
        if lasts_still and planned.fault != FreezeWorker.name:  # several may be frozen at once
            return False
        harm = BY_NAME[planned.fault].strike(self._system, random.Random(planned.seed))
        if harm is None:
            return False
        self.strikes.append(harm.strike)
        if harm.undo is not None:
            until_s = time.monotonic() - self._begun + planned.lasts_s  # it may have taken long
            self._lasting.append(_Lasting(planned.fault, until_s, harm, harm.undo))
        return True
