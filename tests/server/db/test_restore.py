"""A history in PostgreSQL that was dumped and restored by PostgreSQL's own programs."""

from __future__ import annotations

import asyncio
import subprocess

import pytest
from sqlalchemy import func, select

from conduit.core.model import JobStatus
from conduit.server.db import counts, queries, tables
from conduit.server.db.database import Database
from conduit.server.db.queries import JobQuery
from conduit.server.ingest.apply import take_turn
from tests.server.db.jobs import a_job, insert
from tests.servers.postgres import new_database, programs


def dump_and_restore(source: str, target: str, *options: str) -> None:
    dumped = subprocess.run(
        [programs() / "pg_dump", *options, source], capture_output=True, check=True
    )
    subprocess.run(
        [programs() / "psql", "--quiet", "--no-psqlrc", "--set=ON_ERROR_STOP=1", target],
        input=dumped.stdout,
        capture_output=True,
        check=True,
    )


async def fill(url: str) -> None:
    async with Database(url, migrate=True) as database:
        jobs = [a_job(f"q{n}") for n in range(5)]
        await insert(database, *jobs, a_job("f", status=JobStatus.FAILED, finished_at=1))


async def check(url: str) -> tuple[int, int, list[str]]:
    """How many jobs there are, how many are counted, and what `db check` tells of the counts."""
    async with Database(url) as database, database.read() as connection:
        many = await connection.scalar(select(func.count()).select_from(tables.jobs))
        counted = (await queries.list_jobs(connection, JobQuery())).total
        return many or 0, counted, await counts.faults(connection)


async def test_a_whole_dump_is_the_same_history(
    postgres_url: str, postgres_server_url: str
) -> None:
    await fill(postgres_url)
    with new_database(postgres_server_url) as target:
        await asyncio.to_thread(dump_and_restore, postgres_url, target)
        assert await check(target) == (6, 6, [])
        async with Database(target) as database:
            await insert(database, a_job("new"))
        assert await check(target) == (7, 7, [])


WITHOUT = "--exclude-table=alembic_version"


@pytest.mark.parametrize(
    ("options", "counted"),
    [
        ((WITHOUT, "--exclude-table=job_counts"), 6),
        ((WITHOUT, "--disable-triggers"), 6),
        ((WITHOUT,), 12),
        ((WITHOUT, "--exclude-table=job_counts", "--disable-triggers"), 0),
    ],
    ids=["as documented", "with triggers disabled", "counts twice", "counts not at all"],
)
async def test_data_alone_are_right_or_told_and_mended(
    postgres_url: str, postgres_server_url: str, options: tuple[str, ...], counted: int
) -> None:
    await fill(postgres_url)
    with new_database(postgres_server_url) as target:
        async with Database(target, migrate=True):
            pass
        await asyncio.to_thread(dump_and_restore, postgres_url, target, "--data-only", *options)
        many, found, faults = await check(target)
        assert (many, found) == (6, counted)
        assert bool(faults) == (counted != 6)
        assert all("conduit server db rebuild" in fault for fault in faults)

        async with Database(target) as database, database.begin() as connection:
            await take_turn(connection)
            await counts.mend(connection)
        assert await check(target) == (6, 6, [])
