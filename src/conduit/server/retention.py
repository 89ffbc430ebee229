"""Forgets what the history has kept for long enough, a little at a time.

Only finished jobs are ever forgotten. Each step is a small transaction, so that nothing else waits
for it; several servers on one database share the work.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from typing import Any

from msgspec import Struct
from sqlalchemy import ColumnElement, Table, delete, select, tuple_
from sqlalchemy.engine import CursorResult
from sqlalchemy.ext.asyncio import AsyncConnection

from conduit.server.artifacts.store import Store
from conduit.server.db import tables
from conduit.server.db.database import Database, DatabaseUnavailableError
from conduit.server.ingest.apply import take_turn

_HOUR = 3_600_000
_DAY = 24 * _HOUR
BATCH = 500
EVERY_S = 300.0

_OF_A_JOB = (tables.attempts, tables.logs, tables.artifacts, tables.parked_events)

_log = logging.getLogger(__name__)


class Keep(Struct, frozen=True, kw_only=True):
    """How long what is kept, in milliseconds."""

    jobs_ms: int = 30 * _DAY
    """Since they finished."""
    changes_ms: int = _HOUR
    """For how long a live stream can be resumed."""
    deleted_ms: int = 7 * _DAY
    """For how long the events of a deleted job are known to be late."""
    replayed_ms: int = 7 * _DAY
    """Dead letters, since they were replayed; others stay until they are."""
    requests_ms: int = 30 * _DAY


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
    while forgotten := await _forget_jobs(database, now - keep.jobs_ms, artifacts):
        jobs += forgotten
    old: list[tuple[Table, ColumnElement[bool]]] = [
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


async def forget_forever(database: Database, artifacts: Store, keep: Keep | None = None) -> None:
    """Forget what is old, again and again, until cancelled. A database that is away is awaited."""
    while True:
        try:
            now = int(time.time() * 1000)
            forgotten = await forget(database, keep or Keep(), now, artifacts)
        except DatabaseUnavailableError as error:
            _log.debug("nothing was forgotten: %s", error)
        else:
            if forgotten.jobs:
                _log.info("%d old jobs were removed from the history", forgotten.jobs)
        # Not all servers at once.
        await asyncio.sleep(EVERY_S * random.uniform(0.8, 1.2))
