"""Forgets what the history has kept for long enough, a little at a time.

Of jobs only finished ones are ever forgotten. Each step is a small transaction, so that nothing
else waits for it; several servers on one database share the work.
"""

from __future__ import annotations

import asyncio
import logging
import random
import re
from collections.abc import Mapping
from typing import Any

from msgspec import Struct, structs
from sqlalchemy import ColumnElement, Table, delete, select, tuple_
from sqlalchemy.engine import CursorResult
from sqlalchemy.ext.asyncio import AsyncConnection

from conduit.core.errors import ConfigurationError, quoted
from conduit.server.artifacts.store import Store
from conduit.server.db import tables
from conduit.server.db.database import Database, DatabaseUnavailableError
from conduit.server.ingest.apply import take_turn, wall_clock

_HOUR = 3_600_000
_DAY = 24 * _HOUR
BATCH = 500
EVERY_S = 300.0
_LIMIT = re.compile(r"(?P<number>[1-9][0-9]{0,11})(?P<unit>[smhd]?)")
_UNITS = {"s": 1000, "m": 60_000, "h": _HOUR, "d": _DAY}

_finished_at = tables.jobs.c.finished_at
_OF_A_JOB = (
    tables.dependencies,
    tables.attempts,
    tables.logs,
    tables.artifacts,
    tables.parked_events,
)

_log = logging.getLogger(__name__)


class Limit(Struct, frozen=True, kw_only=True):
    """What is kept: nothing older than `age_ms`, and no more than the `count` newest."""

    age_ms: int | None = None
    count: int | None = None


class Keep(Struct, frozen=True, kw_only=True):
    """How much of what is kept, and for how long in milliseconds."""

    jobs: Limit = Limit(age_ms=30 * _DAY)
    """Finished ones, by their end, with all that belongs to them."""
    logs: Limit = Limit()
    """Lines of log, where less of them is kept than of their jobs."""
    artifacts: Limit = Limit()
    changes_ms: int = _HOUR
    """For how long a live stream can be resumed."""
    deleted_ms: int = 7 * _DAY
    """For how long the events of a deleted job are known to be late."""
    replayed_ms: int = 7 * _DAY
    """Dead letters, since they were replayed; others stay until they are."""
    requests_ms: int = 30 * _DAY


def parse_keep(said: Mapping[str, str]) -> Keep:
    """Read what is kept of `jobs`, `logs` and `artifacts`. Raises `ConfigurationError`."""
    limits = {what: _limit(what, text) for what, text in said.items()}
    return structs.replace(Keep(), **limits)


def _limit(what: str, text: str) -> Limit:
    found: dict[str, int] = {}
    for part in text.split(","):
        match = _LIMIT.fullmatch(part.strip())
        field = "age_ms" if match and match["unit"] else "count"
        if match is None or field in found:
            raise ConfigurationError(
                f"what is kept of {what} can't be {quoted(text)}: give an age such as 30d, 12h or "
                "90m, a number of the newest, or both with a comma between: 30d,1000000"
            )
        found[field] = int(match["number"]) * _UNITS.get(match["unit"], 1)
    return Limit(**found)


class Forgotten(Struct, frozen=True, kw_only=True):
    """How many rows went."""

    jobs: int = 0
    others: int = 0


async def forget(
    database: Database, keep: Keep, now: int, artifacts: Store | None = None
) -> Forgotten:
    """Forget all that is old at `now`, in steps, and what lies in the store of artifacts for it.

    Raises `DatabaseUnavailableError`.
    """
    jobs = others = 0
    before = await oldest_kept(database, _finished_at, keep.jobs, now)
    while forgotten := await _forget_jobs(database, before, artifacts):
        jobs += forgotten
    lines_before = await oldest_kept(database, tables.logs.c.at, keep.logs, now)
    files_before = await oldest_kept(database, tables.artifacts.c.at, keep.artifacts, now)
    old: list[tuple[Table, ColumnElement[bool]]] = [
        (tables.logs, tables.logs.c.at < lines_before),
        # What the store has of them goes when it is tidied.
        (tables.artifacts, tables.artifacts.c.at < files_before),
        (tables.changes, tables.changes.c.at < now - keep.changes_ms),
        (tables.deleted_jobs, tables.deleted_jobs.c.deleted_at < now - keep.deleted_ms),
        (tables.dead_letters, tables.dead_letters.c.replayed_at < now - keep.replayed_ms),
        (tables.api_requests, tables.api_requests.c.minute < now - keep.requests_ms),
        (tables.api_reporters, tables.api_reporters.c.at < now - keep.requests_ms),
        (tables.sessions, tables.sessions.c.expires_at < now),
    ]
    for table, condition in old:
        while forgotten := await _forget_rows(database, table, condition):
            others += forgotten
    return Forgotten(jobs=jobs, others=others)


async def oldest_kept(
    database: Database, column: ColumnElement[int], limit: Limit, now: int
) -> int:
    """The time in `column` before which nothing is kept; 0: all is.

    Several servers that take this turn by turn come to the same rows: what was beyond a limit stays
    so.
    """
    before = 0 if limit.age_ms is None else max(0, now - limit.age_ms)
    if limit.count is None:
        return before
    newest = select(column).where(column.is_not(None)).order_by(column.desc())
    async with database.read() as connection:
        last = await connection.scalar(newest.offset(limit.count - 1).limit(1))
    return max(before, last or 0)


async def _forget_jobs(database: Database, before: int, artifacts: Store | None) -> int:
    job = tables.jobs.c
    ids = select(job.id).where(job.finished_at < before).order_by(job.finished_at).limit(BATCH)
    locations: list[str] = []
    async with database.begin() as connection:
        await take_turn(connection)
        chosen = list((await connection.execute(ids)).scalars())
        if chosen:
            locations = await _locations(connection, chosen)
            for table in _OF_A_JOB:
                await connection.execute(delete(table).where(table.c.job_id.in_(chosen)))
            await connection.execute(delete(tables.jobs).where(job.id.in_(chosen)))
    if artifacts is not None:
        # After the commit: a row never leads to a file that is gone. A file that stays because of
        # a crash right here, or of trouble, is found when the store is tidied.
        try:
            await artifacts.remove(locations)
        except OSError as error:
            _log.debug("what lies in the store of artifacts stays until it is tidied: %s", error)
    return len(chosen)


async def _locations(connection: AsyncConnection, job_ids: list[str]) -> list[str]:
    kept = tables.artifacts.c
    query = select(kept.location).where(kept.job_id.in_(job_ids), kept.location != "")
    return [location for location in (await connection.scalars(query)) if location is not None]


async def _forget_rows(database: Database, table: Table, condition: ColumnElement[bool]) -> int:
    key = tuple_(*table.primary_key.columns)
    chosen = select(*table.primary_key.columns).where(condition).limit(BATCH)
    async with database.begin() as connection:
        return await _count(connection, delete(table).where(key.in_(chosen)))


async def _count(connection: AsyncConnection, statement: Any) -> int:
    result: CursorResult[Any] = await connection.execute(statement)
    return result.rowcount


class Forgetting:
    """Forgets what is old, again and again, for one server."""

    def __init__(self, database: Database, artifacts: Store, keep: Keep) -> None:
        self._database = database
        self._artifacts = artifacts
        self._keep = keep

    async def kept_since(self) -> int:
        """The end before which finished jobs are rightly missing, whichever server forgot them."""
        now = wall_clock()
        return await oldest_kept(self._database, _finished_at, self._keep.jobs, now)

    async def run(self) -> None:
        """Until cancelled. A database that is away is awaited."""
        while True:
            try:
                await self._forget()
            except DatabaseUnavailableError as error:
                _log.debug("nothing was forgotten: %s", error)
            # Not all servers at once.
            await asyncio.sleep(EVERY_S * random.uniform(0.8, 1.2))

    async def _forget(self) -> None:
        forgotten = await forget(self._database, self._keep, wall_clock(), self._artifacts)
        if forgotten.jobs:
            _log.info("%d old jobs were removed from the history", forgotten.jobs)
