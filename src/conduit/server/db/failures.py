"""What can go wrong with the history database, and which driver error means what."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from conduit.core.errors import ConduitError

_PRIMARY = 0xFF  # the part of SQLite's result code that says what, without the details
_SQLITE_PASSING = {
    sqlite3.SQLITE_BUSY: "it is locked by another process",
    sqlite3.SQLITE_LOCKED: "it is locked by another connection",
    sqlite3.SQLITE_FULL: "its disk is full",
    sqlite3.SQLITE_IOERR: "its disk gave an error",
    sqlite3.SQLITE_CANTOPEN: "the file can't be opened; check that its folder exists",
    sqlite3.SQLITE_READONLY: "the file can't be written; check its and its folder's permissions",
}
_SQLITE_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

# SQLSTATEs of PostgreSQL, by class and by code, under which the same statement may work later.
_PASSING_CLASSES = frozenset({"08", "53", "57", "58"})
"""Connections, resources (disk, memory, connections), an operator's step, the system."""
_PASSING = frozenset(
    {
        "25006",  # read only: the server has become a replica
        "40001",  # could not serialize
        "40P01",  # deadlock
        "55P03",  # a lock wasn't to be had in time
    }
)
_NEVER_PASSING = frozenset({"57P04"})  # the database was dropped

# While connecting, libpq has words alone.
_ACCESS_WORDS = (
    "authentication failed",
    "no password supplied",
    "no pg_hba.conf entry",
    "does not exist",
    "permission denied for database",
)


class DatabaseUnavailableError(ConduitError):
    """The history database can't answer now; nothing of the transaction was kept."""

    exit_code = 4


class DatabaseAccessError(ConduitError):
    """The database's server refuses this user, or has no such database."""

    exit_code = 3


class SchemaError(ConduitError):
    """The database's tables aren't those that this version of Conduit works with."""

    exit_code = 3


@contextmanager
def translated(shown: str) -> Generator[None]:
    """Raise the driver's errors as Conduit's, where it has one; `shown` names the database."""
    try:
        yield
    except (DBAPIError, sqlite3.Error) as error:
        ours = _ours(error, shown)
        if ours is None:
            raise
        raise ours from error
    except PoolTimeoutError as error:
        raise DatabaseUnavailableError(
            f"{shown}: every connection has been in use for too long"
        ) from error
    except ConnectionError as error:
        raise DatabaseUnavailableError(f"{shown} can't be reached: {error}") from error


def _ours(error: DBAPIError | sqlite3.Error, shown: str) -> ConduitError | None:
    if isinstance(error, sqlite3.Error):
        return _of_sqlite(error, shown)
    if isinstance(error.orig, sqlite3.Error):
        return _of_sqlite(error.orig, shown)
    state = getattr(error.orig, "sqlstate", None)
    words = str(error.orig).strip().partition("\n")[0]
    if state is None:
        return _without_state(error, words, shown)
    passes = state[:2] in _PASSING_CLASSES or state in _PASSING
    if (passes or error.connection_invalidated) and state not in _NEVER_PASSING:
        return DatabaseUnavailableError(f"{shown} can't answer now: {words}")
    return None


def _without_state(error: DBAPIError, words: str, shown: str) -> ConduitError | None:
    """An error that the server didn't send: the way to it failed, or it refused to let us in."""
    if not isinstance(error, (OperationalError, InterfaceError)) and (
        not error.connection_invalidated
    ):
        return None
    if any(known in words for known in _ACCESS_WORDS):
        return DatabaseAccessError(
            f"{shown} refuses the connection: {words}; check the URL's user, password and database"
        )
    return DatabaseUnavailableError(f"{shown} can't be reached: {words}")


def _of_sqlite(error: sqlite3.Error, shown: str) -> ConduitError | None:
    # The modules' own errors, such as for too large a number, have no code.
    code = (getattr(error, "sqlite_errorcode", None) or 0) & _PRIMARY
    if code in _SQLITE_DAMAGED:
        return SchemaError(
            f"{shown} is damaged or isn't a SQLite file ({error}): restore it from a backup, or "
            "move it away and let `conduit server db rebuild` fill a new one from the queue"
        )
    if code in _SQLITE_PASSING:
        return DatabaseUnavailableError(f"{shown} can't answer now: {_SQLITE_PASSING[code]}")
    return None
