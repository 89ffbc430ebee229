"""The nemesis: faults, each with a name, struck at random by a schedule that a seed draws.

To add a fault, subclass `Fault`, say which stores it needs, and put it into `FAULTS`.
"""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple

import psycopg
from msgspec import Struct, structs
from redis.exceptions import RedisError

from tests.faults.lab.journal import Line, What
from tests.faults.lab.service import LEASE_MS
from tests.faults.lab.stores import (
    ClusterQueueStore,
    ForgetfulQueueStore,
    HistoryStore,
    Planted,
    PostgresHistoryStore,
    QueueStore,
    RedisQueueStore,
    SentinelQueueStore,
    SmallDiskQueueStore,
    SqliteQueueStore,
)
from tests.faults.lab.system import Process, System
from tests.faults.lab.visitor import VISIT
from tests.servers.process import until
from tests.servers.proxy import Proxy

Undo = Callable[[], None]

_LONGEST_S = 15.0
"""For how long something without effect goes on beyond its time."""
_IN_VAIN_S = 60.0
"""The same for what harms nobody until it has its effect: a server may take long to start."""


_CHANGED = "changed"


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


def _now() -> int:
    return time.time_ns() // 1_000_000


def _struck(fault: str, target: str, pid: int = 0) -> Strike:
    return Strike(fault=fault, at=_now(), target=target, pid=pid)


def _one_of(processes: Sequence[Process], chance: random.Random) -> Process | None:
    there = [each for each in processes if each.running and not each.frozen]
    return chance.choice(there) if there else None


# --- processes of ours ---------------------------------------------------------------------------


class _Signal(Fault):
    number = signal.SIGKILL

    def victims(self, system: System) -> Sequence[Process]:
        """Who may be struck."""
        raise NotImplementedError

    def strike(self, system: System, chance: random.Random) -> Harm | None:
        """See `Fault`."""
        victim = _one_of(self.victims(system), chance)
        if victim is None:
            return None
        struck = _struck(self.name, victim.name, victim.pid)
        victim.send(self.number)
        return Harm(struck)


class KillWorker(_Signal):
    """kill -9."""

    name = "worker-kill"

    def victims(self, system: System) -> Sequence[Process]:
        """See `_Signal`."""
        return system.busy_workers()


class EndWorker(KillWorker):
    """SIGTERM in the midst of work."""

    name = "worker-term"
    number = signal.SIGTERM


class HangUpWorker(EndWorker):
    """SIGHUP, as from a terminal that is closed."""

    name = "worker-hangup"
    number = signal.SIGHUP


class Visit(Fault):
    """A newer version of the schedules runs beside the others for a while, as a canary does, and
    with it somebody whose schedules nobody else has."""

    name = "visit"
    who = "guest"
    lasts = (1.0, 2.0)

    def strike(self, system: System, chance: random.Random) -> Harm | None:
        """See `Fault`."""
        guest = system.guest
        if guest.running:
            return None
        guest.start()
        struck, pid = _struck(self.name, guest.name, guest.pid), guest.pid
        return Harm(
            struck,
            lambda: guest.send(signal.SIGTERM),
            lambda: any(_is_of_a_visit(line, pid) for line in system.journal.lines()),
            harms_by_telling=True,
        )


def _is_of_a_visit(line: Line, pid: int) -> bool:
    return line.what is What.BEGIN and line.pid == pid and line.job_id.startswith(f"cron:{VISIT}:")


class KillServer(_Signal):
    """kill -9."""

    name = "server-kill"

    def victims(self, system: System) -> Sequence[Process]:
        """See `_Signal`."""
        return system.servers


class KillSubmitter(_Signal):
    """kill -9."""

    name = "submitter-kill"

    def victims(self, system: System) -> Sequence[Process]:
        """See `_Signal`."""
        return system.submitters


class KillMember(Fault):
    """kill -9 of one of those that fork, or of one that was forked."""

    name = "member-kill"

    def strike(self, system: System, chance: random.Random) -> Harm | None:
        """See `Fault`."""
        there = system.members
        if not there:
            return None
        pid = chance.choice(there)
        struck = _struck(self.name, "a member of a family", pid)
        for process in system.forkers:
            if process.running and process.pid == pid:
                process.send(signal.SIGKILL)
                return Harm(struck)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        return Harm(struck)


class FreezeWorker(Fault):
    """Stop a worker until others run what it had, which takes longer than its leases last."""

    name = "worker-freeze"
    lasts = (1.2 * LEASE_MS / 1000, 2.0 * LEASE_MS / 1000)

    def strike(self, system: System, chance: random.Random) -> Harm | None:
        """See `Fault`."""
        victim = _one_of(system.busy_workers(), chance)
        if victim is None:
            return None
        pid = victim.pid
        victim.freeze()
        while system.queue.is_held_by(pid):  # in the midst of a commit it would stop all others
            victim.send(signal.SIGCONT)
            until(lambda: not system.queue.is_held_by(pid), f"{victim.name} has committed")
            victim.freeze()
        return Harm(
            _struck(self.name, victim.name, pid),
            lambda: victim.send(signal.SIGCONT),
            lambda: _has_successor(system.journal.lines(), pid),
        )


def _has_successor(lines: Sequence[Line], pid: int) -> bool:
    """Whether a job that a process began has begun elsewhere since."""
    held: dict[str, int] = {}
    for line in lines:
        if line.what is not What.BEGIN:
            continue
        if line.pid == pid:
            held[line.job_id] = line.fence
        elif line.fence > held.get(line.job_id, line.fence):
            return True
    return False


# --- Redis ---------------------------------------------------------------------------------------


class _RedisFault(Fault):
    def fits(self, queue: QueueStore, history: HistoryStore) -> bool:
        """See `Fault`."""
        return isinstance(queue, RedisQueueStore)

    def harm(self, store: RedisQueueStore, chance: random.Random) -> Undo | None:
        """Do it."""
        raise NotImplementedError

    def strike(self, system: System, chance: random.Random) -> Harm | None:
        """See `Fault`."""
        assert isinstance(system.queue, RedisQueueStore)
        with suppress(RedisError):
            struck = _struck(self.name, system.queue.name)
            return Harm(struck, self.harm(system.queue, chance))
        return None


class KillRedis(_RedisFault):
    """kill -9, and start it again with its append-only file."""

    name = "queue-kill"
    lasts = (0.1, 1.0)

    def harm(self, store: RedisQueueStore, chance: random.Random) -> Undo | None:
        """See `_RedisFault`."""
        store.server.kill()
        return store.server.start


class PauseRedis(_RedisFault):
    """CLIENT PAUSE: it takes calls and answers none."""

    name = "queue-pause"

    def harm(self, store: RedisQueueStore, chance: random.Random) -> Undo | None:
        """See `_RedisFault`."""
        kind = chance.choice(("WRITE", "ALL"))
        store.server.execute("CLIENT", "PAUSE", chance.randint(200, 2 * LEASE_MS), kind)
        return None


class DropClients(_RedisFault):
    """CLIENT KILL of every connection."""

    name = "queue-drop-clients"

    def harm(self, store: RedisQueueStore, chance: random.Random) -> Undo | None:
        """See `_RedisFault`."""
        for kind in ("normal", "pubsub"):
            store.server.execute("CLIENT", "KILL", "TYPE", kind)
        return None


class FlushScripts(_RedisFault):
    """SCRIPT FLUSH: the server forgets every script."""

    name = "queue-flush-scripts"

    def harm(self, store: RedisQueueStore, chance: random.Random) -> Undo | None:
        """See `_RedisFault`."""
        store.server.execute("SCRIPT", "FLUSH")
        return None


class DestroyGroup(_RedisFault):
    """XGROUP DESTROY: the server's place in the event stream is forgotten."""

    name = "queue-destroy-group"

    def harm(self, store: RedisQueueStore, chance: random.Random) -> Undo | None:
        """See `_RedisFault`."""
        store.server.execute("XGROUP", "DESTROY", store.keys.name("events"), "server")
        return None


class ChangePassword(_RedisFault):
    """Ask for another password, of those too who are connected, and for none again."""

    name = "queue-password"
    lasts = (0.5, 3.0)

    def harm(self, store: RedisQueueStore, chance: random.Random) -> Undo | None:
        """See `_RedisFault`."""
        store.server.execute("CONFIG", "SET", "requirepass", _CHANGED)
        store.server.password = _CHANGED
        for kind in ("normal", "pubsub"):
            store.server.execute("CLIENT", "KILL", "TYPE", kind)

        def undo() -> None:
            with suppress(RedisError):  # one that was started again meanwhile has none
                store.server.execute("CONFIG", "SET", "requirepass", "")
            store.server.password = None

        return undo


class FlushRedis(_RedisFault):
    """FLUSHALL: all that it had is gone."""

    name = "queue-flush"

    def fits(self, queue: QueueStore, history: HistoryStore) -> bool:
        """See `Fault`."""
        return isinstance(queue, ForgetfulQueueStore)

    def harm(self, store: RedisQueueStore, chance: random.Random) -> Undo | None:
        """See `_RedisFault`."""
        store.server.execute("FLUSHALL")
        return None


# --- the network ---------------------------------------------------------------------------------


class _NetworkFault(Fault):
    def proxy(self, queue: QueueStore, history: HistoryStore) -> Proxy | None:
        """What is between the system and the store that it loses."""
        return queue.proxy

    def fits(self, queue: QueueStore, history: HistoryStore) -> bool:
        """See `Fault`."""
        return self.proxy(queue, history) is not None

    def harm(self, proxy: Proxy, chance: random.Random) -> Undo | None:
        """Do it."""
        raise NotImplementedError

    def strike(self, system: System, chance: random.Random) -> Harm | None:
        """See `Fault`."""
        proxy = self.proxy(system.queue, system.history)
        assert proxy is not None
        return self.strike_at(proxy, chance)

    def strike_at(self, proxy: Proxy, chance: random.Random) -> Harm | None:
        """Do it there. None: nobody was there to be struck."""
        return Harm(_struck(self.name, "the network"), self.harm(proxy, chance))


class CutNetwork(_NetworkFault):
    """Reset every connection."""

    name = "network-cut"

    def harm(self, proxy: Proxy, chance: random.Random) -> Undo | None:
        """See `_NetworkFault`."""
        proxy.cut()
        return None

    def strike_at(self, proxy: Proxy, chance: random.Random) -> Harm | None:
        """See `_NetworkFault`."""
        return super().strike_at(proxy, chance) if proxy.connections else None


class ForgetConnections(_NetworkFault):
    """Lose in silence all that comes over the connections of now, as a firewall does that has
    forgotten them; new ones work."""

    name = "network-forget"

    def harm(self, proxy: Proxy, chance: random.Random) -> Undo | None:
        """See `_NetworkFault`."""
        proxy.forget()
        return None


class SlowNetwork(_NetworkFault):
    """Hold each request back."""

    name = "network-slow"
    lasts = (0.5, 1.5)

    def harm(self, proxy: Proxy, chance: random.Random) -> Undo | None:
        """See `_NetworkFault`."""
        proxy.delay(chance.randint(20, 200))
        return lambda: proxy.delay(0)


class HalfOpenNetwork(_NetworkFault):
    """Keep connections open and forward nothing; what was held back is lost in the end, or not."""

    name = "network-half-open"
    lasts = (0.5, 2.0 * LEASE_MS / 1000)

    def harm(self, proxy: Proxy, chance: random.Random) -> Undo | None:
        """See `_NetworkFault`."""
        proxy.freeze()
        is_lost = chance.random() < 0.5

        def undo() -> None:
            if is_lost:
                proxy.cut()
            proxy.thaw()

        return undo


class LoseReplies(_NetworkFault):
    """Forward requests, swallow their replies, and cut."""

    name = "network-lose-replies"
    lasts = (0.5, 1.5)

    def harm(self, proxy: Proxy, chance: random.Random) -> Undo | None:
        """See `_NetworkFault`."""
        proxy.drop_replies(chance.randint(1, 5))
        return lambda: proxy.drop_replies(0)

    def strike_at(self, proxy: Proxy, chance: random.Random) -> Harm | None:
        """See `_NetworkFault`. It is in vain while there is no reply to be lost."""
        lost = proxy.lost
        struck = _struck(self.name, "the network")
        undo = self.harm(proxy, chance)
        return Harm(struck, undo, lambda: proxy.lost > lost, harms_by_telling=True)


class _BeforeHistory(_NetworkFault):
    def proxy(self, queue: QueueStore, history: HistoryStore) -> Proxy | None:
        """See `_NetworkFault`."""
        return history.proxy


class CutHistory(_BeforeHistory, CutNetwork):
    """Reset every connection of the server to its history."""

    name = "history-cut"


class SlowHistory(_BeforeHistory, SlowNetwork):
    """Hold back what the server sends to its history."""

    name = "history-slow"


class HalfOpenHistory(_BeforeHistory, HalfOpenNetwork):
    """Keep the server's connections to its history open and forward nothing."""

    name = "history-half-open"


class LoseHistoryReplies(_BeforeHistory, LoseReplies):
    """Swallow what the history answers, to a commit as well, and cut."""

    name = "history-lose-replies"


# --- servers that stand in for one another -------------------------------------------------------


class FailOver(Fault):
    """kill -9 of the master; its replica takes its place, and it comes back as a replica."""

    name = "sentinel-failover"
    lasts = (0.0, 0.5)

    def fits(self, queue: QueueStore, history: HistoryStore) -> bool:
        """See `Fault`."""
        return isinstance(queue, SentinelQueueStore)

    def strike(self, system: System, chance: random.Random) -> Harm | None:
        """See `Fault`."""
        assert isinstance(system.queue, SentinelQueueStore)
        trio = system.queue.trio
        struck = _struck(self.name, trio.master.name)
        old = trio.kill_master()

        def undo() -> None:
            trio.wait_for_master_other_than(old)
            trio.heal()

        return Harm(struck, undo)


class KillNode(Fault):
    """kill -9 of the node that holds the namespace, and start it again."""

    name = "cluster-node-kill"
    lasts = (0.5, 3.0)

    def fits(self, queue: QueueStore, history: HistoryStore) -> bool:
        """See `Fault`."""
        return isinstance(queue, ClusterQueueStore)

    def strike(self, system: System, chance: random.Random) -> Harm | None:
        """See `Fault`."""
        assert isinstance(system.queue, ClusterQueueStore)
        cluster, number = system.queue.cluster, system.queue.number
        struck = _struck(self.name, f"node {number}")
        cluster.kill(number)
        return Harm(struck, lambda: cluster.restart(number))


# --- the disk ------------------------------------------------------------------------------------


class FillDisk(Fault):
    """Leave the queue's file no room to grow, until a submit was refused for that."""

    name = "queue-disk-full"
    lasts = (0.5, 2.0)

    def fits(self, queue: QueueStore, history: HistoryStore) -> bool:
        """See `Fault`."""
        return isinstance(queue, SmallDiskQueueStore)

    def strike(self, system: System, chance: random.Random) -> Harm | None:
        """See `Fault`."""
        assert isinstance(system.queue, SmallDiskQueueStore)
        struck = _struck(self.name, system.queue.name)
        system.queue.fill()
        return Harm(
            struck,
            system.queue.make_room,
            lambda: _was_refused(system.journal.lines(), struck.at),
        )


def _was_refused(lines: Sequence[Line], since: int) -> bool:
    return any(line.what is What.REFUSED and line.at >= since for line in lines)


# --- clocks --------------------------------------------------------------------------------------

STEP_MS = 3_600_000


class SetStoreClock(Fault):
    """Set the queue's clock ahead by an hour, or back by one: in turns, and ahead first.

    What was planned while it was ahead waits for that hour to come again: in the end it has to.
    """

    name = "clock-store"

    def fits(self, queue: QueueStore, history: HistoryStore) -> bool:
        """See `Fault`."""
        return isinstance(queue, (SqliteQueueStore, RedisQueueStore))

    def strike(self, system: System, chance: random.Random) -> Harm | None:
        """See `Fault`."""
        with suppress(RedisError):
            struck = _struck(self.name, system.queue.name)
            system.set_clock(0 if system.ahead_ms else STEP_MS)
            return Harm(struck)
        return None


class SetProcessClock(Fault):
    """Set the clock of one process of ours wrong by an hour, or right: the store has its own."""

    name = "clock-process"

    def fits(self, queue: QueueStore, history: HistoryStore) -> bool:
        """See `Fault`."""
        return isinstance(queue, RedisQueueStore)

    def strike(self, system: System, chance: random.Random) -> Harm | None:
        """See `Fault`."""
        process = chance.choice(system.processes)
        assert process.clock is not None
        wrong_by = [-STEP_MS, 0, STEP_MS]
        wrong_by.remove(process.clock.ahead_ms)
        process.clock.ahead_ms = chance.choice(wrong_by)
        return Harm(_struck(self.name, process.name))


# --- the event stream ----------------------------------------------------------------------------


class PlantEvents(Fault):
    """Repeat events out of order, among some that nobody can read."""

    name = "events-plant"

    def fits(self, queue: QueueStore, history: HistoryStore) -> bool:
        """See `Fault`."""
        keeps = queue.forgets_s is None  # else it would be a guess what is left of it
        return keeps and isinstance(queue, (SqliteQueueStore, RedisQueueStore))

    def strike(self, system: System, chance: random.Random) -> Harm | None:
        """See `Fault`."""
        with suppress(RedisError, sqlite3.OperationalError):
            planted = system.queue.plant(chance)
            return Harm(structs.replace(_struck(self.name, system.queue.name), planted=planted))
        return None


# --- the history ---------------------------------------------------------------------------------


class LockHistory(Fault):
    """Hold a lock that keeps the server from writing jobs."""

    name = "history-lock"
    lasts = (0.5, 3.0)

    def strike(self, system: System, chance: random.Random) -> Harm | None:
        """See `Fault`."""
        with suppress(sqlite3.OperationalError, psycopg.Error):
            undo = system.history.lock()
            return Harm(_struck(self.name, system.history.name), undo)
        return None


class _PostgresFault(Fault):
    def fits(self, queue: QueueStore, history: HistoryStore) -> bool:
        """See `Fault`."""
        return isinstance(history, PostgresHistoryStore)

    def harm(self, store: PostgresHistoryStore, chance: random.Random) -> Undo | None:
        """Do it."""
        raise NotImplementedError

    def strike(self, system: System, chance: random.Random) -> Harm | None:
        """See `Fault`."""
        assert isinstance(system.history, PostgresHistoryStore)
        with suppress(psycopg.OperationalError):
            struck = _struck(self.name, system.history.name)
            return Harm(struck, self.harm(system.history, chance))
        return None


class RestartPostgres(_PostgresFault):
    """Stop it without waiting for its clients, or let it crash, and start it again."""

    name = "history-restart"
    lasts = (0.2, 1.0)

    def harm(self, store: PostgresHistoryStore, chance: random.Random) -> Undo | None:
        """See `_PostgresFault`."""
        chance.choice((store.server.stop, store.server.crash))()
        return store.server.start


class TerminateBackends(_PostgresFault):
    """pg_terminate_backend of every connection."""

    name = "history-drop-clients"

    def harm(self, store: PostgresHistoryStore, chance: random.Random) -> Undo | None:
        """See `_PostgresFault`."""
        store.server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )
        return None


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
        self.strikes[place] = structs.replace(lasting.harm.strike, until=_now(), in_vain=in_vain)

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
