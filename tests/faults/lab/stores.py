"""The queues and histories that a run works on, started in its folder and stopped with it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, closing
from pathlib import Path
from typing import Self

from conduit.queue.redis.keys import Keys
from tests.servers.postgres import PostgresServer
from tests.servers.proxy import Proxy
from tests.servers.redis import RedisServer

NAMESPACE = "lab"
_BETWEEN_FLUSHES_S = 2.0
"""How far `appendfsync everysec` may be behind; see docs/redis.md."""


class QueueStore(AbstractContextManager["QueueStore"]):
    """Where the queue is kept. `url` is what the system under test uses, `direct_url` the lab's."""

    name = ""
    url: str
    direct_url: str
    forgets_s: float | None = None
    """Of how many seconds before a kill it may forget what it answered. None: of none."""

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


class RedisQueueStore(QueueStore):
    """A Valkey of its own, which the system reaches through a proxy unless told not to."""

    name = "valkey"

    def __init__(
        self, folder: Path, *, appendfsync: str = "everysec", proxied: bool = True
    ) -> None:
        self.server = RedisServer(folder, name="queue", config={"appendfsync": appendfsync})
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
        with self.server.client() as client:
            return {"leases": int(client.zcard(self.keys.name("leases")))}  # type: ignore[arg-type]


class HistoryStore(AbstractContextManager["HistoryStore"]):
    """Where the server keeps the history."""

    name = ""
    url: str

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        pass


class SqliteHistoryStore(HistoryStore):
    """A file."""

    name = "sqlite"

    def __init__(self, folder: Path) -> None:
        self.url = f"sqlite:///{folder / 'history.db'}"


class PostgresHistoryStore(HistoryStore):
    """A PostgreSQL of its own."""

    name = "postgres"

    def __init__(self, folder: Path) -> None:
        self.server = PostgresServer(folder, name="history")
        self.url = self.server.url

    def __enter__(self) -> Self:
        self.server.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.server.remove()


QUEUES: dict[str, Callable[[Path], QueueStore]] = {
    "sqlite": SqliteQueueStore,
    "valkey": RedisQueueStore,
    "valkey-always": lambda folder: RedisQueueStore(folder, appendfsync="always"),
    "valkey-direct": lambda folder: RedisQueueStore(folder, proxied=False),
}

HISTORIES: dict[str, Callable[[Path], HistoryStore]] = {
    "sqlite": SqliteHistoryStore,
    "postgres": PostgresHistoryStore,
}
