"""Faults of the stores: of Redis, of a disk, of clocks, of the event stream and of the history."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Sequence
from contextlib import suppress

import psycopg
from msgspec import structs
from redis.exceptions import RedisError

from tests.faults.lab.faults import Fault, Harm, Undo, struck_now
from tests.faults.lab.journal import Line, What
from tests.faults.lab.service import LEASE_MS
from tests.faults.lab.stores import (
    ClusterQueueStore,
    ForgetfulQueueStore,
    HistoryStore,
    PostgresHistoryStore,
    QueueStore,
    RedisQueueStore,
    SentinelQueueStore,
    SmallDiskQueueStore,
    SqliteQueueStore,
)
from tests.faults.lab.system import System

_CHANGED = "changed"

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
            struck = struck_now(self.name, system.queue.name)
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
        struck = struck_now(self.name, trio.master.name)
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
        struck = struck_now(self.name, f"node {number}")
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
        struck = struck_now(self.name, system.queue.name)
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
            struck = struck_now(self.name, system.queue.name)
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
        return Harm(struck_now(self.name, process.name))


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
            return Harm(structs.replace(struck_now(self.name, system.queue.name), planted=planted))
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
            return Harm(struck_now(self.name, system.history.name), undo)
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
            struck = struck_now(self.name, system.history.name)
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
