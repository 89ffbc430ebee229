"""The queues and histories that a run works on, started in its folder and stopped with it."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, closing, suppress
from pathlib import Path
from typing import Any, NamedTuple, Self

import msgspec
import psycopg
from msgspec import Struct
from redis import Redis

from conduit.queue.redis.keys import Keys
from tests.faults.lab import clock
from tests.servers.postgres import PostgresServer
from tests.servers.process import ServerError
from tests.servers.proxy import Proxy
from tests.servers.redis import Cluster, RedisServer, SentinelTrio

NAMESPACE = "lab"
_BETWEEN_FLUSHES_S = 2.0
"""How far `appendfsync everysec` may be behind; see docs/redis.md."""
_MOST_COPIES = 20
_DISK_MB = 48


_BROKEN_ROWS = (
    b"no JSON at all",
    b'{"events": [{"kind": "job.abducted", "job_id": "nobody"}]}',
)
_BROKEN_ENTRIES = (
    b"\xc1",
    msgspec.msgpack.encode([[99, "nobody", 1, 0, "q", 1, 0, 0, 0]]),
)


def _now() -> int:
    """The time of what is planted. What looked old would be trimmed before a server is there."""
    return time.time_ns() // 1_000_000


class Planted(Struct, frozen=True):
    """What was put into the event stream: where, and how much of it nobody can read."""

    positions: tuple[str, ...] = ()
    broken: int = 0


class QueueStore(AbstractContextManager["QueueStore"]):
    """Where the queue is kept. `url` is what the system under test uses, `direct_url` the lab's."""

    name = ""
    url: str
    direct_url: str
    proxy: Proxy | None = None
    """What the system reaches it through."""
    forgets_s: float | None = None
    """Of how many seconds before a kill it may forget what it answered. None: of none."""
    confirms = False
    """Whether a submit is answered once a replica has it: nothing excuses its loss then."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        pass

    def is_held_by(self, pid: int) -> bool:
        """Whether a process keeps all others from writing just now: then it can't be frozen."""
        return False

    def leftovers(self) -> dict[str, int]:
        """How many leases, and places in waiting lists, there are."""
        raise NotImplementedError

    def damage(self) -> str:
        """What is wrong with its files, in words; empty where they are whole or it has none."""
        return ""

    def set_clock(self, ahead_ms: int) -> bool:
        """Set its clock ahead of the machine's; False where it has none of its own."""
        return False

    def plant(self, chance: random.Random) -> Planted:
        """Repeat some of the event stream's entries out of order, among some that are broken."""
        raise NotImplementedError


def _damage_to(path: Path) -> str:
    with closing(sqlite3.connect(path)) as database:
        (found,) = database.execute("PRAGMA integrity_check(1)").fetchone()
    return "" if found == "ok" else f"{path.name}: {found}"


class SqliteQueueStore(QueueStore):
    """A file."""

    name = "sqlite"

    def __init__(self, folder: Path) -> None:
        self._path = folder / "queue.db"
        self.url = self.direct_url = f"sqlite:///{self._path}"

    def is_held_by(self, pid: int) -> bool:
        """See `QueueStore`. A write lock of SQLite's is one on the file beside the write-ahead log.

        To ask for the lock oneself would be no answer: under load it is hard to get.
        """
        inode = self._path.with_name(f"{self._path.name}-shm").stat().st_ino
        locks = (line.split() for line in Path("/proc/locks").read_text().splitlines())
        return any(
            (fields[3], fields[4]) == ("WRITE", str(pid)) and fields[5].endswith(f":{inode}")
            for fields in locks
        )

    def leftovers(self) -> dict[str, int]:
        """See `QueueStore`."""
        with closing(sqlite3.connect(self._path)) as database:
            (leases,) = database.execute("SELECT count(*) FROM leases").fetchone()
        return {"leases": leases}

    def damage(self) -> str:
        """See `QueueStore`."""
        return _damage_to(self._path)

    def plant(self, chance: random.Random) -> Planted:
        """See `QueueStore`."""
        with closing(sqlite3.connect(self._path, timeout=10)) as database, database:
            stored = database.execute(
                "SELECT at, body FROM entries WHERE body NOT IN (?, ?)", _BROKEN_ROWS
            ).fetchall()
            rows = [
                *chance.sample(stored, min(len(stored), _MOST_COPIES)),
                *((_now(), body) for body in _BROKEN_ROWS),
            ]
            chance.shuffle(rows)
            positions = [
                database.execute(
                    "INSERT INTO entries (at, body) VALUES (?, ?) RETURNING position", row
                ).fetchone()[0]
                for row in rows
            ]
        return Planted(tuple(map(str, positions)), broken=len(_BROKEN_ROWS))


class SmallDiskQueueStore(SqliteQueueStore):
    """A file on a disk of its own, which can be full. Only root can have one."""

    def __init__(self, folder: Path) -> None:
        self._disk = folder / "disk"
        super().__init__(self._disk)

    def __enter__(self) -> Self:
        self._disk.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={_DISK_MB}m", "tmpfs", self._disk]
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ServerError(f"a small disk can't be had: {done.stderr}")
        return self

    def __exit__(self, *exc: object) -> None:
        subprocess.run(["umount", "--lazy", self._disk], check=True)

    def fill(self) -> None:
        """Leave no room: in the write-ahead log neither, which is used again once it was copied."""
        with (
            suppress(sqlite3.OperationalError),
            closing(sqlite3.connect(self._path, timeout=2)) as database,
        ):
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with (self._disk / "filler").open("wb", buffering=0) as filler, suppress(OSError):
            while True:
                filler.write(bytes(1 << 12))

    def make_room(self) -> None:
        """Let there be room again."""
        (self._disk / "filler").unlink()


class RedisQueueStore(QueueStore):
    """A Valkey of its own, which the system reaches through a proxy unless told not to."""

    name = "valkey"

    def __init__(
        self,
        folder: Path,
        *,
        appendfsync: str = "everysec",
        appendonly: str = "yes",
        proxied: bool = True,
    ) -> None:
        config = {"appendfsync": appendfsync, "appendonly": appendonly}
        self.server = RedisServer(folder, name="queue", config=config)
        self.proxy = Proxy(self.server.port) if proxied else None
        port = self.proxy.port if self.proxy else None
        self.url = f"{self.server.url_for(port=port)}?namespace={NAMESPACE}"
        self.direct_url = f"{self.server.url}?namespace={NAMESPACE}"
        self.keys = Keys(NAMESPACE)
        self.forgets_s = None if appendfsync == "always" else _BETWEEN_FLUSHES_S
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._stack.callback(self.server.stop)
        self.server.start()
        if self.proxy is not None:
            self._stack.enter_context(self.proxy)
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def leftovers(self) -> dict[str, int]:
        """See `QueueStore`."""
        return _leases(self.server, self.keys)

    def set_clock(self, ahead_ms: int) -> bool:
        """See `QueueStore`."""
        self.server.execute("SET", clock.KEY, ahead_ms // 1000)
        return True

    def plant(self, chance: random.Random) -> Planted:
        """See `QueueStore`."""
        events = self.keys.name("events")
        with Redis(port=self.server.port, socket_timeout=10) as client:
            answer: Any = client.xrevrange(events, count=10 * _MOST_COPIES)
            # Those of reports alone have no events to repeat.
            stored = [
                fields
                for _, fields in answer
                if fields.get(b"b", b"") not in (b"", *_BROKEN_ENTRIES)
            ]
            fields: list[dict[bytes, bytes]] = [
                *chance.sample(stored, min(len(stored), _MOST_COPIES)),
                *({b"a": b"%d" % _now(), b"b": body} for body in _BROKEN_ENTRIES),
            ]
            chance.shuffle(fields)
            positions: list[Any] = [client.xadd(events, each) for each in fields]  # type: ignore[arg-type]
        return Planted(tuple(each.decode() for each in positions), broken=len(_BROKEN_ENTRIES))


def _leases(server: RedisServer, keys: Keys) -> dict[str, int]:
    with server.client() as client:
        return {"leases": int(client.zcard(keys.name("leases")))}  # type: ignore[arg-type]


class ForgetfulQueueStore(RedisQueueStore):
    """A Valkey that writes nothing to its disk: what it had is gone when it dies."""

    name = "valkey-forgets"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, appendonly="no")
        self.url += "&durability=none"
        self.direct_url += "&durability=none"


class SentinelQueueStore(QueueStore):
    """A master, a replica and three sentinels; a submit counts once the replica has it."""

    name = "sentinel"
    forgets_s = 1.0
    confirms = True

    def __init__(self, folder: Path) -> None:
        self.trio = SentinelTrio(folder)
        self.url = self.direct_url = f"{self.trio.url}?namespace={NAMESPACE}&durability=replica"

    def __enter__(self) -> Self:
        self.trio.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.trio.stop()

    def leftovers(self) -> dict[str, int]:
        """See `QueueStore`."""
        return _leases(self.trio.master, Keys(NAMESPACE))


class ClusterQueueStore(QueueStore):
    """A cluster of three nodes; one of them holds the namespace."""

    name = "cluster"

    def __init__(self, folder: Path) -> None:
        self.cluster = Cluster(folder, config={"appendfsync": "always"})
        self.url = self.direct_url = f"{self.cluster.url}?namespace={NAMESPACE}"
        self._keys = Keys(NAMESPACE)

    def __enter__(self) -> Self:
        self.cluster.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.cluster.stop()

    @property
    def number(self) -> int:
        """The number of the node that holds the namespace."""
        return self.cluster.node_of(self._keys.name("leases"))

    def leftovers(self) -> dict[str, int]:
        """See `QueueStore`."""
        return _leases(self.cluster.nodes[self.number], self._keys)


class HistoryStore(AbstractContextManager["HistoryStore"]):
    """Where the server keeps the history. `url` and `direct_url` are as those of a `QueueStore`."""

    name = ""
    url: str
    direct_url: str
    proxy: Proxy | None = None
    """What the system reaches it through."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        pass

    def damage(self) -> str:
        """What is wrong with its files, in words; empty where they are whole or it has none."""
        return ""

    def lock(self) -> Callable[[], None]:
        """Let nobody else write jobs, until what this returns is called."""
        raise NotImplementedError


class SqliteHistoryStore(HistoryStore):
    """A file."""

    name = "sqlite"

    def __init__(self, folder: Path) -> None:
        self._path = folder / "history.db"
        self.url = self.direct_url = f"sqlite:///{self._path}"

    def damage(self) -> str:
        """See `HistoryStore`."""
        return _damage_to(self._path)

    def lock(self) -> Callable[[], None]:
        """See `HistoryStore`. Raises `sqlite3.OperationalError`."""
        with ExitStack() as stack:
            holder = sqlite3.connect(
                self._path, timeout=10, isolation_level=None, check_same_thread=False
            )
            stack.callback(holder.close)
            holder.execute("BEGIN IMMEDIATE")
            return stack.pop_all().close


class PostgresHistoryStore(HistoryStore):
    """A PostgreSQL of its own, which the server reaches through a proxy unless told not to."""

    name = "postgres"

    def __init__(self, folder: Path, *, proxied: bool = True) -> None:
        self.server = PostgresServer(folder, name="history")
        self.proxy = Proxy(self.server.port) if proxied else None
        self.direct_url = self.server.url
        self.url = self.server.url_for(port=self.proxy.port if self.proxy else None)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._stack.callback(self.server.remove)
        self.server.start()
        if self.proxy is not None:
            self._stack.enter_context(self.proxy)
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def lock(self) -> Callable[[], None]:
        """See `HistoryStore`. Raises `psycopg.Error`."""
        with ExitStack() as stack:
            holder = psycopg.connect(self.direct_url, connect_timeout=5)
            stack.callback(holder.close)
            holder.execute("SET lock_timeout = '5s'")
            holder.execute("LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE")
            return stack.pop_all().close


QUEUES: dict[str, Callable[[Path], QueueStore]] = {
    "sqlite": SqliteQueueStore,
    "sqlite-small-disk": SmallDiskQueueStore,
    "valkey": RedisQueueStore,
    "valkey-always": lambda folder: RedisQueueStore(folder, appendfsync="always"),
    "valkey-forgets": ForgetfulQueueStore,
    "valkey-direct": lambda folder: RedisQueueStore(folder, proxied=False),
    "sentinel": SentinelQueueStore,
    "cluster": ClusterQueueStore,
}

HISTORIES: dict[str, Callable[[Path], HistoryStore]] = {
    "sqlite": SqliteHistoryStore,
    "postgres": PostgresHistoryStore,
    "postgres-direct": lambda folder: PostgresHistoryStore(folder, proxied=False),
}


class Pair(NamedTuple):
    """Where the jobs wait, and where they are remembered: names of `QUEUES` and `HISTORIES`."""

    queue: str
    history: str


PAIRS: dict[str, Pair] = {
    "sqlite": Pair("sqlite", "sqlite"),
    "always-postgres": Pair("valkey-always", "postgres"),
    "everysec-sqlite": Pair("valkey", "sqlite"),
    "direct-postgres": Pair("valkey-direct", "postgres-direct"),
    "forgets-sqlite": Pair("valkey-forgets", "sqlite"),
    "small-disk": Pair("sqlite-small-disk", "sqlite"),
    "sentinel-sqlite": Pair("sentinel", "sqlite"),
    "cluster-sqlite": Pair("cluster", "sqlite"),
}
"""Every pair that runs are made on, by the name that people type."""
