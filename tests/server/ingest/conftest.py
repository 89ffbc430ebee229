"""Queues to take events from, and ways to look at the history that comes of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from sqlalchemy import Table, select

from conduit.core.model import Job
from conduit.queue import open_queue
from conduit.queue.base import Queue
from conduit.server.db import tables
from conduit.server.db.database import Database
from conduit.server.db.rows import JobRow, job_row
from conduit.server.ingest.apply import Change
from conduit.server.ingest.fold import row_of
from tests.conformance.backends import Backend, server_for


@pytest.fixture(params=["sqlite", "redis"])
async def backend(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Backend]:
    """An empty, open queue, once of each kind, with a clock that is moved by hand."""
    backend = Backend(request.param, tmp_path, server_for(request.param, request))
    await backend.open()
    try:
        yield backend
    finally:
        await backend.close()


@pytest.fixture
def queue(backend: Backend) -> Queue:
    return backend.queue


class Heard:
    """What was published; waits for more of it."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self._news = asyncio.Event()

    def __call__(self, changes: Sequence[Change]) -> None:
        self.changes += changes
        self._news.set()

    async def until(self, happened: Callable[[list[Change]], bool]) -> None:
        """Wait until what was published is enough; the test's timeout ends a wait in vain."""
        while not happened(self.changes):
            self._news.clear()
            await self._news.wait()

    async def until_kind(self, job_id: str, kind: str) -> None:
        """Wait for a change of a kind about a job."""
        await self.until(
            lambda changes: any(
                change.subject == job_id and change.kind == kind for change in changes
            )
        )


@pytest.fixture
def heard() -> Heard:
    return Heard()


async def until(happened: Callable[[], bool]) -> None:
    """Wait until it is so. The test's own timeout ends a wait in vain."""
    while not happened():  # noqa: ASYNC110
        await asyncio.sleep(0.01)


async def all_of(database: Database, table: Table) -> list[Any]:
    """Every row of a table, by its key."""
    async with database.read() as connection:
        return list((await connection.execute(select(table).order_by(*table.primary_key))).all())


async def rows(database: Database) -> dict[str, JobRow]:
    """Every job's row, whenever it was applied."""
    found = await all_of(database, tables.jobs)
    return {row.id: structs.replace(job_row(row), applied_at=0) for row in found}


async def awaited(database: Database) -> set[tuple[str, str]]:
    """Who waits for whom, as pairs."""
    return {tuple(row) for row in await all_of(database, tables.dependencies)}


def awaited_of(jobs: Iterable[Job | None]) -> set[tuple[str, str]]:
    """The pairs that there should be."""
    return {(job.id, other) for job in jobs if job is not None for other in job.after}


def rows_of(jobs: Sequence[Job | None]) -> dict[str, JobRow]:
    """The rows that jobs should have."""
    return {job.id: row_of(job, 0) for job in jobs if job is not None}


@pytest.fixture(params=["sqlite", "redis"])
def queue_url(request: pytest.FixtureRequest, tmp_path: Path, namespace: str) -> str:
    """The URL of an empty queue that goes by its own clock, once of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'queue.db'}"
    return f"{request.getfixturevalue('redis_url')}?namespace={namespace}"


@pytest.fixture
async def live_queue(queue_url: str) -> AsyncIterator[Queue]:
    """A queue that goes by its own clock, open."""
    async with open_queue(queue_url) as queue:
        yield queue
