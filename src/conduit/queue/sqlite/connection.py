"""A thread's connection to the file: opened at its use, closed before forks, patient with locks."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from conduit.core.errors import (
    QueueCorruptError,
    QueueError,
    QueueSchemaError,
    QueueUnavailableError,
)
from conduit.queue.forks import Holder, gate

T = TypeVar("T")

OLDEST_SQLITE = (3, 38, 0)  # JSON functions built in; also RETURNING, STRICT, UPDATE FROM
BUSY_TIMEOUT_S = 5.0
BUSY_STEP_S = 0.1
"""How long SQLite itself waits for a lock, which nothing interrupts: a fork may have to wait so."""
RETRY_S = 0.02
PRIMARY = 0xFF  # the part of a result code that says what, without the details


class ThreadConnection:
    """The connection of the thread that makes this object, and of no other.

    `connect` opens it, again and again. `wake` has that thread call `give_way` soon, from another.
    """

    def __init__(
        self, path: Path, connect: Callable[[], sqlite3.Connection], wake: Callable[[], None]
    ) -> None:
        self._connect = connect
        self._holder = Holder(path, wake)
        self._connection: sqlite3.Connection | None = None
        self._earlier_changes = 0
        self.opened = 0
        """How many times it was opened."""

    @property
    def changes(self) -> int:
        """How many rows were changed through it, in all."""
        now = 0 if self._connection is None else self._connection.total_changes
        return self._earlier_changes + now

    def get(self) -> sqlite3.Connection:
        """The connection, opened if it isn't, once no fork is under way."""
        if self._connection is None:
            gate.enter(self._holder)
            try:
                self._connection = self._connect()
            except BaseException:
                gate.leave(self._holder)
                raise
            self.opened += 1
        return self._connection

    def patiently(self, act: Callable[[sqlite3.Connection], T]) -> T:
        """What `act` gives, tried again while the file is locked, for `BUSY_TIMEOUT_S` at most.

        SQLite by itself neither waits where two that hold a shared lock want the exclusive one, as
        when several processes make the file at once, nor lets a fork go first.
        """
        deadline = time.monotonic() + BUSY_TIMEOUT_S
        while True:
            try:
                return act(self.get())
            except sqlite3.OperationalError as error:
                if not is_busy(error) or time.monotonic() > deadline:
                    raise
            self.give_way()
            time.sleep(RETRY_S)

    def give_way(self) -> None:
        """Close the connection if a fork waits for it. Call this between two transactions."""
        if gate.closing:
            self.close()

    def close(self) -> None:
        """Close the connection. The next use opens it again."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        self._earlier_changes += connection.total_changes
        try:
            connection.close()
        finally:
            gate.leave(self._holder)


def connect(path: Path) -> sqlite3.Connection:
    """A connection to the file with the settings that every part of Conduit relies on.

    Raises `sqlite3.Error`, and `QueueSchemaError` where SQLite is too old.
    """
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise QueueSchemaError(
            f"this Python comes with SQLite {sqlite3.sqlite_version}; the embedded queue needs "
            f"{'.'.join(map(str, OLDEST_SQLITE))} or newer: use a newer Python build"
        )
    connection = sqlite3.connect(
        path, timeout=BUSY_STEP_S, isolation_level=None, check_same_thread=False
    )
    try:
        # FULL: a commit is on the disk before it is answered, also over a power cut.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA cache_size = -16000")
        connection.execute("PRAGMA journal_size_limit = 67108864")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def is_busy(error: BaseException) -> bool:
    """Whether the file was locked by somebody else."""
    return _code(error) & PRIMARY == sqlite3.SQLITE_BUSY


def _code(error: BaseException) -> int:
    """SQLite's extended result code; 0 for errors that have none."""
    return getattr(error, "sqlite_errorcode", None) or 0


def translate(error: BaseException, path: Path) -> BaseException:
    """What a caller should hear of an error out of SQLite; others pass through."""
    if not isinstance(error, sqlite3.Error):
        return error
    code = _code(error)
    primary = code & PRIMARY
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        words = (
            f"{path} has been locked by another process for {BUSY_TIMEOUT_S:.0f} s; "
            "look for a stopped process or an open transaction on that file"
        )
    elif primary == sqlite3.SQLITE_FULL or code == sqlite3.SQLITE_IOERR_SHMSIZE:
        words = f"the disk of {path} is full; nothing was written: make room and try again"
    elif primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return QueueCorruptError(
            f"{path} is damaged or isn't a SQLite file ({error}); restore it from a backup, or "
            "move it away to start with an empty queue"
        )
    elif primary == sqlite3.SQLITE_READONLY:
        words = f"{path} can't be written: check the file's and the folder's permissions"
    elif primary == sqlite3.SQLITE_CANTOPEN:
        words = f"{path} can't be opened: check that the folder exists and may be written"
    elif primary == sqlite3.SQLITE_IOERR:
        words = f"the disk of {path} gave an error ({error}); nothing was written"
    else:
        return QueueError(f"{path}: {error}")
    return QueueUnavailableError(words)
