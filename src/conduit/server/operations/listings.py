"""What the queue says of its functions, queues, schedules and workers; remembered for later.

While the queue is away, listings are answered as they were last known and marked as stale. They
are kept in the history database too, for a server that is started meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, TypeVar, cast

import msgspec
from msgspec import Struct
from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError

from conduit.core.errors import ConduitError, QueueError
from conduit.core.model import CronInfo, FunctionInfo, QueueInfo, WorkerInfo
from conduit.queue.base import Queue, listed_functions
from conduit.server.db import tables
from conduit.server.db.database import Database
from conduit.server.db.failures import DatabaseUnavailableError
from conduit.server.operations.queue_connection import QueueLink

T = TypeVar("T", bound=Struct)

REFRESH_S = 15.0
GONE_MS = 3_600_000
"""How long workers that have gone are remembered, by each server for itself."""

_log = logging.getLogger(__name__)


class Listing(Struct, Generic[T], frozen=True):
    """Items as of `at`, in milliseconds. `stale`: the queue can't be asked for newer ones."""

    items: Sequence[T]
    at: int
    stale: bool


class Gone(Struct, frozen=True):
    """A worker that was there and isn't any more; `at` is when that was noticed."""

    worker: WorkerInfo
    at: int


class _Kind(Struct, Generic[T], frozen=True):
    name: str
    type: type[T]
    ask: Callable[[Queue], Awaitable[Sequence[T]]]


FUNCTIONS = _Kind("functions", FunctionInfo, listed_functions)
QUEUES = _Kind("queues", QueueInfo, lambda queue: queue.queues())
CRONS = _Kind("crons", CronInfo, lambda queue: queue.crons())
WORKERS = _Kind("workers", WorkerInfo, lambda queue: queue.workers())
_ALL: tuple[_Kind[Any], ...] = (FUNCTIONS, QUEUES, CRONS, WORKERS)


class Listings:
    """The four listings, from the queue where it answers."""

    def __init__(self, link: QueueLink, database: Database) -> None:
        self._link = link
        self._database = database
        self._known: dict[str, Listing[Any]] = {}
        self._kept: dict[str, bytes] = {}
        self._gone: dict[str, Gone] = {}

    async def get(self, kind: _Kind[T]) -> Listing[T]:
        """The listing now, or as it was known last. Raises the queue's error if it never was."""
        try:
            return await self._ask(kind)
        except QueueError:
            known = self._known.get(kind.name) or await self._remembered(kind)
            if known is None:
                raise
            return Listing(known.items, known.at, stale=True)

    def known(self, kind: _Kind[T]) -> Sequence[T]:
        """The items as they were known last; none while they never were."""
        listing = self._known.get(kind.name)
        return () if listing is None else listing.items

    def gone(self) -> list[Gone]:
        """Workers that went within the last hour, as far as this server was there; latest first."""
        return sorted(self._gone.values(), key=lambda gone: gone.at, reverse=True)

    async def _ask(self, kind: _Kind[T]) -> Listing[T]:
        items = await self._link.ask(kind.ask)
        listing = Listing(items, time.time_ns() // 1_000_000, stale=False)
        if kind.type is WorkerInfo:
            self._note_gone(cast("Listing[WorkerInfo]", listing))
        self._known[kind.name] = listing
        return listing

    def _note_gone(self, listing: Listing[WorkerInfo]) -> None:
        present = {worker.id for worker in listing.items}
        for worker in self.known(WORKERS):
            if worker.id not in present:
                self._gone.setdefault(worker.id, Gone(worker, listing.at))
        self._gone = {
            name: gone
            for name, gone in self._gone.items()
            if name not in present and listing.at - gone.at < GONE_MS
        }

    async def _remembered(self, kind: _Kind[T]) -> Listing[T] | None:
        query = select(tables.listings.c.body, tables.listings.c.at).where(
            tables.listings.c.name == kind.name
        )
        try:
            async with self._database.read() as connection:
                row = (await connection.execute(query)).one_or_none()
            if row is None:
                return None
            items = msgspec.json.decode(row.body, type=list[kind.type])
        except (DatabaseUnavailableError, msgspec.MsgspecError):
            return None  # the queue's own error is the one to tell
        return Listing(items, row.at, stale=True)

    # --- keeping ------------------------------------------------------------------------------

    async def keep_forever(self) -> None:
        """Ask for all of them now and then, and keep them; until cancelled."""
        while True:
            await self.keep()
            await asyncio.sleep(REFRESH_S)

    async def keep(self) -> None:
        """Ask for all of them, and keep what has changed in the history."""
        for kind in _ALL:
            try:
                listing = await self._ask(kind)
                await self._write(kind.name, listing)
            except (QueueError, DatabaseUnavailableError) as error:
                _log.debug("%s aren't kept: %s", kind.name, error)
            except (ConduitError, SQLAlchemyError):
                _log.exception("%s aren't kept", kind.name)

    async def _write(self, name: str, listing: Listing[Any]) -> None:
        body = msgspec.json.encode(listing.items)
        if self._kept.get(name) == body:
            return
        insert = postgresql.insert if self._database.is_postgresql else sqlite.insert
        values = {"body": body.decode(), "at": listing.at}
        statement = insert(tables.listings).values(name=name, **values)
        async with self._database.begin() as connection:
            await connection.execute(
                statement.on_conflict_do_update(index_elements=["name"], set_=values)
            )
        self._kept[name] = body
