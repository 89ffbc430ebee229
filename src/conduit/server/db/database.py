"""The way to the history: transactions on SQLite or PostgreSQL, and errors that mean something."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Self

from sqlalchemy import Connection, event
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from conduit.core.errors import ConduitError, ConfigurationError
from conduit.server.db import address, schema
from conduit.server.db.failures import (
    DatabaseAccessError,
    DatabaseUnavailableError,
    SchemaError,
    translated,
)

__all__ = ["Database", "DatabaseAccessError", "DatabaseUnavailableError", "SchemaError"]

_BUSY_TIMEOUT_S = 5.0
_POOL_TIMEOUT_S = 10.0
_CONNECTIONS = 10
_BEGIN = "conduit_begin"


class Database:
    """The history database at a URL, for one event loop: `async with Database(url) as database`.

    An embedded SQLite file is made and migrated when it is opened; a PostgreSQL is checked, and
    migrated only where `migrate` says so.
    """

    def __init__(
        self, url: str, *, migrate: bool = False, answer_timeout_s: float | None = 60.0
    ) -> None:
        place = address.parse(url)
        self.url = url
        self.shown = place.shown
        self.is_postgresql = place.path is None
        self._place = place
        self.identity = str(place.path.absolute()) if place.path else place.shown
        """Tells databases apart, and holds no password."""
        self._migrate = migrate or not self.is_postgresql
        self._answer_timeout_s = answer_timeout_s
        self._engine: AsyncEngine | None = None
        self._opened: Sequence[Any] = ()
        self._reading: AsyncEngine | None = None
        # SQLite has one writer at a time: in turn here is fairer than its own waiting.
        self._turn = asyncio.Lock()

    # --- life ---------------------------------------------------------------------------------

    async def open(self) -> None:
        """Connect and see that the tables are those that this version works with.

        Raises `DatabaseUnavailableError`, `DatabaseAccessError` or `SchemaError`.
        """
        await self.connect()
        try:
            state = await self.state()
            if self._migrate:
                await self._upgrade_from(state)
            else:
                schema.require_current(state, self.shown)
        except BaseException:
            await self.close()
            raise

    async def connect(self) -> None:
        """Connect and leave the tables as they are; `open` is what a server needs."""
        if self._engine is not None:
            raise ConduitError(f"{self.shown} is open already")
        if self._place.path is None:
            self._engine, self._opened = _postgresql_engine(
                self._place.conninfo, self._answer_timeout_s
            )
            self._reading = self._engine.execution_options(
                # Pages, counts and sums of one answer are of one moment.
                isolation_level="REPEATABLE READ",
                postgresql_readonly=True,
            )
        else:
            self._engine = await _sqlite_engine(self._place.path, self.shown)
            self._reading = self._engine.execution_options(**{_BEGIN: "BEGIN"})

    async def close(self) -> None:
        """Let go of every connection. Twice is fine."""
        engine, self._engine, self._reading = self._engine, None, None
        if engine is not None:
            await _dispose(engine, self._opened)

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    # --- transactions -------------------------------------------------------------------------

    @asynccontextmanager
    async def begin(self) -> AsyncGenerator[AsyncConnection]:
        """A transaction: committed at the end, undone by any error.

        Raises `DatabaseUnavailableError` where trying again may help: nothing was kept then,
        except when the connection was lost during the commit itself, which nobody can tell.
        """
        async with AsyncExitStack() as stack:
            if not self.is_postgresql:
                await stack.enter_async_context(self._turn)
            yield await stack.enter_async_context(self._transaction(self._engine))

    @asynccontextmanager
    async def read(self) -> AsyncGenerator[AsyncConnection]:
        """A view of one moment, for reading alone."""
        async with self._transaction(self._reading) as connection:
            yield connection

    @asynccontextmanager
    async def _transaction(self, engine: AsyncEngine | None) -> AsyncGenerator[AsyncConnection]:
        if engine is None:
            raise ConduitError(f"{self.shown} isn't open")
        with translated(self.shown):
            async with engine.connect() as connection, connection.begin():
                yield connection

    async def take_stock(self) -> None:
        """Let SQLite count what its plans go by; PostgreSQL does so by itself."""
        if not self.is_postgresql:
            async with self.begin() as connection:
                await connection.exec_driver_sql("PRAGMA analysis_limit = 1000")
                await connection.exec_driver_sql("PRAGMA optimize = 0x10002")

    # --- the schema ---------------------------------------------------------------------------

    async def state(self) -> schema.State:
        """What the database holds now."""
        async with self.read() as connection:
            await connection.run_sync(schema.require_utf8, self.shown)
            return await connection.run_sync(schema.look)

    async def upgrade(self) -> schema.State:
        """Bring the tables to what this version works with; what they were before.

        Of several that do this at once, one works and the others wait and find it done.
        """
        state = await self.state()
        await self._upgrade_from(state)
        return state

    async def _upgrade_from(self, state: schema.State) -> None:
        if not schema.is_current(state):
            async with self._without_limit() as connection:
                await connection.run_sync(schema.upgrade, self.shown)

    @asynccontextmanager
    async def _without_limit(self) -> AsyncGenerator[AsyncConnection]:
        """A transaction on a connection of its own that may take as long as it takes."""
        if self._place.path is not None:
            async with self.begin() as connection:
                yield connection
            return
        engine, opened = _postgresql_engine(self._place.conninfo, None)
        try:
            async with self._transaction(engine) as connection:
                yield connection
        finally:
            await _dispose(engine, opened)


def _postgresql_engine(
    conninfo: str, answer_timeout_s: float | None
) -> tuple[AsyncEngine, list[Any]]:
    """An engine, and the connections that it has opened."""
    try:
        from conduit.server.db import postgres
    except ImportError as error:
        raise ConfigurationError(
            "a history in PostgreSQL needs the driver psycopg: pip install 'conduit[postgres]'"
        ) from error

    opened: list[Any] = []

    async def connect() -> Any:
        opened[:] = [each for each in opened if not each.closed]
        opened.append(await postgres.connect(conninfo, answer_timeout_s))
        return opened[-1]

    engine = create_async_engine(
        "postgresql+psycopg://",
        async_creator=connect,
        pool_size=_CONNECTIONS,
        max_overflow=_CONNECTIONS,
        pool_timeout=_POOL_TIMEOUT_S,
        # A server that was restarted is noticed here, not by whoever asks next.
        pool_pre_ping=True,
    )
    return engine, opened


async def _dispose(engine: AsyncEngine, opened: Sequence[Any]) -> None:
    """Close the engine, and what its pool has lost: of a connection whose user was cancelled in the
    midst of a statement it sometimes lets go without closing it."""
    await engine.dispose()
    for connection in opened:
        await connection.close()


async def _sqlite_engine(path: Path, shown: str) -> AsyncEngine:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DatabaseUnavailableError(
            f"the folder {path.parent} can't be made: {error.strerror}; choose another with "
            "CONDUIT_DATA_DIR or CONDUIT_DATABASE_URL"
        ) from error
    engine = create_async_engine(
        f"sqlite+aiosqlite:///{path}",
        connect_args={"timeout": _BUSY_TIMEOUT_S},
        pool_size=_CONNECTIONS,
        max_overflow=_CONNECTIONS,
        pool_timeout=_POOL_TIMEOUT_S,
    )
    event.listen(engine.sync_engine, "connect", _prepare)
    event.listen(engine.sync_engine, "begin", _begin)
    try:
        with translated(shown):
            await _use_wal(engine)
    except BaseException:
        await engine.dispose()
        raise
    return engine


async def _use_wal(engine: AsyncEngine) -> None:
    """Readers beside the writer. Several processes may make the file at once: changing to WAL then
    fails without waiting, as SQLite doesn't wait where two hold a shared lock and want the other.
    """
    deadline = time.monotonic() + _BUSY_TIMEOUT_S
    while True:
        try:
            async with engine.connect() as connection:
                driver = (await connection.get_raw_connection()).driver_connection
                assert driver is not None
                await driver.execute("PRAGMA journal_mode = WAL")
            return
        except (OperationalError, sqlite3.OperationalError):  # the driver's own, below SQLAlchemy
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.02)


def _prepare(connection: Any, _record: object) -> None:
    """Settings of each new SQLite connection; `_begin` starts the transactions itself."""
    connection.isolation_level = None
    cursor = connection.cursor()
    # FULL: a commit is on the disk before an event is acknowledged, also over a power cut.
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA cache_size = -32000")
    cursor.execute("PRAGMA journal_size_limit = 67108864")
    cursor.close()


def _begin(connection: Connection) -> None:
    # IMMEDIATE: who means to write takes the lock first; changing over later can't wait.
    how = connection.get_execution_options().get(_BEGIN, "BEGIN IMMEDIATE")
    connection.exec_driver_sql(how)
