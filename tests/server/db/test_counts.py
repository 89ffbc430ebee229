"""The counts of jobs that the database keeps are what counting the jobs would give."""

from __future__ import annotations

import random
from collections import Counter
from contextlib import suppress

import pytest
from alembic import command
from msgspec import structs
from sqlalchemy import Connection, func, literal, select, text, update

from conduit.core.model import JobStatus
from conduit.queue.base import Acted, Action
from conduit.server.db import counts, queries, schema, tables, triggers
from conduit.server.db.database import Database
from conduit.server.db.queries import JobQuery
from conduit.server.db.retention import Keep, Limit, forget
from conduit.server.db.rows import JobRow
from conduit.server.ingest import bulk, deleting
from conduit.server.ingest.apply import take_turn
from tests.server.db.jobs import a_job, insert

FUNCTIONS, QUEUES, STATUSES = ("charge", "thumbnail", "é" * 500), ("default", "slow"), [*JobStatus]


async def kept(database: Database) -> Counter[tuple[str, str, str]]:
    """The counts as the database has them, save those that are zero."""
    table = tables.job_counts
    async with database.read() as connection:
        rows = (await connection.execute(select(table))).all()
    return +Counter({(row.kind, row.name, row.status): row.many for row in rows})


async def counted(database: Database) -> Counter[tuple[str, str, str]]:
    """The same, counted."""
    found: Counter[tuple[str, str, str]] = Counter()
    jobs = tables.jobs.c
    async with database.read() as connection:
        for kind, column in (("function", jobs.function), ("queue", jobs.queue)):
            grouped = select(column, jobs.status, func.count()).group_by(column, jobs.status)
            for name, status, many in await connection.execute(grouped):
                found[kind, name, status] = many
    return found


def some_jobs(chosen: random.Random, many: int) -> list[JobRow]:
    """Jobs of few ids, so that some of them are there already."""
    ids = chosen.sample(range(60), many)
    return [
        a_job(
            f"j{number}",
            function=chosen.choice(FUNCTIONS),
            queue=chosen.choice(QUEUES),
            status=(status := chosen.choice(STATUSES)),
            finished_at=chosen.randrange(100) if status.finished else None,
        )
        for number in ids
    ]


@pytest.mark.parametrize("seed", range(3))
async def test_counts_stay_exact_whatever_writes_jobs(database: Database, seed: int) -> None:
    chosen = random.Random(seed)
    for _ in range(25):
        rows = some_jobs(chosen, chosen.randrange(20))
        ids = [row.id for row in rows]
        match chosen.randrange(5):
            case 0:
                async with database.begin() as connection:
                    await take_turn(connection)
                    await bulk.remove(connection, tables.jobs, "id", ids)
            case 1:
                unknown = deleting.Answer([Action(Acted.UNKNOWN)] * len(ids), [None] * len(ids))
                await deleting.settle(database, ids, unknown, now=1)
            case 2:
                await forget(database, Keep(jobs=Limit(age_ms=0)), now=chosen.randrange(100))
            case _:
                async with database.begin() as connection:
                    await take_turn(connection)
                    await bulk.put(connection, tables.jobs, rows)
                    await bulk.set_number(connection, tables.jobs.c.applied_at, 5, "id", ids)
        assert await kept(database) == await counted(database)
    assert await kept(database)


async def test_what_is_rolled_back_was_never_counted(database: Database) -> None:
    await insert(database, a_job("a"))
    with suppress(ZeroDivisionError):
        async with database.begin() as connection:
            await bulk.put(connection, tables.jobs, [a_job("b"), a_job("c")])
            raise ZeroDivisionError
    assert await kept(database) == await counted(database)


async def test_emptying_the_table_empties_the_counts(postgres_history_url: str) -> None:
    async with Database(postgres_history_url) as database:
        await insert(database, a_job("a"))
        async with database.begin() as connection:
            await connection.execute(text("TRUNCATE jobs"))
        assert not await kept(database)


async def test_jobs_are_counted_whatever_the_search_path(postgres_history_url: str) -> None:
    async with Database(postgres_history_url) as database:
        await insert(database, a_job("a"), a_job("b"), a_job("c"))
        async with database.begin() as connection:
            await connection.execute(text("SET LOCAL search_path = ''"))
            await connection.execute(text("DELETE FROM public.jobs WHERE id = 'a'"))
            await connection.execute(
                text("UPDATE public.jobs SET status = 'failed' WHERE id = 'b'")
            )
        assert await kept(database) == await counted(database)
        async with database.begin() as connection:
            await connection.execute(text("SET LOCAL search_path = ''"))
            await connection.execute(text("TRUNCATE public.jobs"))
        assert not await kept(database)


async def test_what_is_wrong_with_the_counts_is_told(database_url: str) -> None:
    # A database of its own: others go on with their triggers.
    async with Database(database_url, migrate=True) as database:
        await insert(database, a_job("a"))
        async with database.read() as connection:
            assert await counts.faults(connection) == []
        on = " ON jobs" if database.is_postgresql else ""
        async with database.begin() as connection:
            await connection.execute(text(f"DROP TRIGGER conduit_count_jobs_insert{on}"))
        await insert(database, a_job("b"))
        async with database.read() as connection:
            trigger, wrong = await counts.faults(connection)
        assert trigger == (
            "jobs lacks triggers (conduit_count_jobs_insert), so that counts go wrong: "
            "run `conduit server db rebuild`"
        )
        assert wrong == "2 counts of jobs are wrong: run `conduit server db rebuild`"

        await mend(database)
        await insert(database, a_job("c"))
        assert await kept(database) == await counted(database)
        async with database.read() as connection:
            assert await counts.faults(connection) == []


async def mend(database: Database) -> None:
    async with database.begin() as connection:
        await take_turn(connection)
        await counts.mend(connection)


async def definitions(database: Database) -> list[str]:
    """All that the database says of its triggers."""
    if database.is_postgresql:
        statement = (
            "SELECT pg_get_triggerdef(oid) || pg_get_functiondef(tgfoid) FROM pg_trigger "
            "WHERE NOT tgisinternal ORDER BY tgname"
        )
    else:
        statement = "SELECT sql FROM sqlite_master WHERE type = 'trigger' ORDER BY name"
    async with database.read() as connection:
        found = (await connection.scalars(text(statement))).all()
    return [" ".join(each.split()) for each in found]


async def test_triggers_are_restored_as_the_migrations_made_them(database_url: str) -> None:
    async with Database(database_url, migrate=True) as database:
        made = await definitions(database)
        async with database.begin() as connection:
            if database.is_postgresql:
                await connection.execute(text("ALTER TABLE jobs DISABLE TRIGGER USER"))
                await connection.execute(
                    text("DROP FUNCTION conduit_count_jobs_truncate() CASCADE")
                )
            else:
                await connection.execute(text("DROP TRIGGER conduit_count_jobs_update"))
        await mend(database)
        assert await definitions(database) == made
        async with database.read() as connection:
            assert await triggers.missing(connection) == []


async def test_jobs_are_counted_by_status_of_functions_or_of_queues(database: Database) -> None:
    await insert(
        database,
        a_job("a", function="charge", queue="slow"),
        a_job("b", function="mail", queue="slow", status=JobStatus.FAILED),
        a_job("c", function="mail", queue="default", status=JobStatus.FAILED),
    )

    async def found(**of: tuple[str, ...]) -> tuple[int, int]:
        async with database.read() as connection:
            by_status = await counts.by_status(connection, **of)
        assert by_status.keys() == set(JobStatus)
        return by_status[JobStatus.QUEUED], by_status[JobStatus.FAILED]

    assert await found() == (1, 2)
    assert await found(functions=("mail",)) == (0, 2)
    assert await found(functions=("mail", "charge", "none")) == (1, 2)
    assert await found(queues=("slow",)) == (1, 1)


async def test_counts_that_are_wrong_can_be_counted_anew(database: Database) -> None:
    await insert(database, *some_jobs(random.Random(1), 20))
    right = await kept(database)
    async with database.begin() as connection:
        await connection.execute(
            update(tables.job_counts).values(many=99, name=literal("x") + tables.job_counts.c.name)
        )
        await take_turn(connection)
        await counts.mend(connection)
    assert await kept(database) == right == await counted(database)


async def test_lists_take_their_counts_from_there_where_they_are_kept(database: Database) -> None:
    await insert(database, a_job("a", key="k"), a_job("b"))
    async with database.begin() as connection:
        await connection.execute(update(tables.job_counts).values(many=7))
    async with database.read() as connection:
        wide = JobQuery(functions=("charge",), statuses=(JobStatus.QUEUED,))
        page = await queries.list_jobs(connection, wide, by_status=True)
        narrow = await queries.list_jobs(connection, JobQuery(key="k"), by_status=True)
    assert (page.total, page.statuses) == (7, {JobStatus.QUEUED: 7})
    assert (narrow.total, narrow.statuses) == (1, {JobStatus.QUEUED: 1})


async def test_jobs_that_were_there_before_the_counts_are_counted(database_url: str) -> None:
    database = Database(database_url)
    await database.connect()
    async with database.begin() as connection:
        await connection.run_sync(only_the_first_tables)
        jobs = [a_job("a"), a_job("b", status=JobStatus.FAILED), a_job("c", queue="slow")]
        rows = [structs.asdict(job) for job in jobs]
        for row in rows:
            for name in ("after", "claimed_at", "headers"):  # these columns came later
                row.pop(name, None)
        await connection.execute(tables.jobs.insert(), rows)
    await database.upgrade()
    assert (await kept(database)).total() == 6
    assert await kept(database) == await counted(database)
    await database.close()


def only_the_first_tables(connection: Connection) -> None:
    """What a database was like before the counts."""
    configuration = schema._configuration()
    configuration.attributes["connection"] = connection
    command.upgrade(configuration, "conduit_0001")
