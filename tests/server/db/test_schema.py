"""The schema guard: what a server says to a database that isn't right, and how it becomes right."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from conduit.server.db import queries, schema
from conduit.server.db.database import Database, SchemaError
from conduit.server.db.queries import JobQuery
from conduit.server.db.schema import Standing
from conduit.server.db.tables import metadata
from tests.server.db.jobs import a_job, insert
from tests.servers.postgres import execute, new_database
from tests.servers.process import until


async def run(url: str, *statements: str) -> None:
    """Change a database behind the guard's back."""
    database = Database(url)
    await database.connect()
    try:
        async with database.begin() as connection:
            for statement in statements:
                await connection.execute(text(statement))
    finally:
        await database.close()


async def standing(url: str) -> Standing:
    database = Database(url)
    await database.connect()
    try:
        return (await database.state()).standing
    finally:
        await database.close()


async def migrate(url: str) -> None:
    async with Database(url, migrate=True):
        pass


def set_revision(revision: str) -> str:
    return f"UPDATE alembic_version SET version_num = '{revision}'"


# --- what a server says ----------------------------------------------------------------------


async def test_a_server_refuses_a_postgresql_without_tables(postgres_url: str) -> None:
    with pytest.raises(SchemaError, match="no tables of Conduit yet: run `conduit server db upg"):
        await Database(postgres_url).open()


async def test_a_server_takes_a_postgresql_that_was_upgraded(postgres_url: str) -> None:
    await migrate(postgres_url)
    async with Database(postgres_url) as database:
        assert schema.is_current(await database.state())


async def test_an_embedded_database_is_made_by_itself(tmp_path: Path) -> None:
    async with Database(f"sqlite:///{tmp_path}/new/folder/history.db") as database:
        assert schema.is_current(await database.state())


@pytest.mark.parametrize(
    ("changes", "found", "words"),
    [
        (["DELETE FROM alembic_version"], Standing.FOREIGN, "of another program"),
        ([set_revision("conduit_9999")], Standing.AHEAD, "a newer Conduit"),
        ([set_revision("2f3a9c")], Standing.FOREIGN, "of another program"),
        (
            ["DROP TABLE alembic_version", "CREATE TABLE alembic_version (theirs integer)"],
            Standing.FOREIGN,
            "of another program (alembic_version)",
        ),
        (["ALTER TABLE logs DROP COLUMN logger"], Standing.INCOMPLETE, "parts of it (logs.logger)"),
        (["DROP TABLE logs"], Standing.INCOMPLETE, "lacks parts of it (logs)"),
    ],
)
async def test_a_server_refuses_what_an_upgrade_cannot_help(
    database_url: str, changes: Sequence[str], found: Standing, words: str
) -> None:
    await migrate(database_url)
    await run(database_url, *changes)
    assert await standing(database_url) is found
    for migrate_too in (False, True):
        with pytest.raises(SchemaError) as caught:
            await Database(database_url, migrate=migrate_too).open()
        assert words in str(caught.value)
        assert "conduit server db upgrade" in str(caught.value)
        assert "secret" not in str(caught.value)
    assert await standing(database_url) is found


async def test_a_server_refuses_tables_of_another_program(database_url: str) -> None:
    await run(database_url, "CREATE TABLE jobs (x integer)", "INSERT INTO jobs VALUES (1)")
    with pytest.raises(SchemaError, match=r"another program \(jobs\)"):
        await Database(database_url, migrate=True).open()


async def test_a_postgresql_may_hold_tables_of_other_names(postgres_url: str) -> None:
    await run(postgres_url, "CREATE TABLE orders (x integer)")
    await migrate(postgres_url)
    assert await standing(postgres_url) is Standing.CURRENT
    async with Database(postgres_url) as database, database.read() as connection:
        assert await connection.run_sync(schema.differences) == []


async def test_a_postgresql_that_cannot_hold_every_text_is_refused(
    postgres_server_url: str,
) -> None:
    with (
        new_database(postgres_server_url, "template0 ENCODING 'LATIN1'") as url,
        pytest.raises(SchemaError, match="encoding LATIN1"),
    ):
        await Database(url, migrate=True).open()


async def test_a_sqlite_file_of_another_program_is_left_alone(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/other.db"
    await run(url, "CREATE TABLE orders (x integer)")
    with pytest.raises(SchemaError, match=r"another program \(orders\)"):
        await Database(url).open()


async def test_a_file_that_is_no_database_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database " * 100)
    with pytest.raises(SchemaError, match="isn't a SQLite file"):
        await Database(f"sqlite:///{path}").open()
    assert path.read_text() == "not a database " * 100


_NEXT = """
import sqlalchemy as sa
from alembic import op
revision = "conduit_0008"
down_revision = "conduit_0007"
def upgrade():
    op.create_table("more", sa.Column("id", sa.Integer(), primary_key=True))
"""


@pytest.fixture
def newer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[[bool], None]]:
    """Makes this a newer Conduit, with one more migration, and back."""
    ours = schema._MIGRATIONS
    folder = tmp_path / "migrations"
    shutil.copytree(Path(schema.__file__).parent / "migrations", folder)
    (folder / "versions" / "0007_more.py").write_text(_NEXT)

    def switch(is_newer: bool) -> None:
        monkeypatch.setattr(schema, "_MIGRATIONS", str(folder) if is_newer else ours)
        schema._scripts.cache_clear()

    yield switch
    switch(False)


async def test_a_newer_server_refuses_a_postgresql_that_is_behind(
    postgres_url: str, newer: Callable[[bool], None]
) -> None:
    await migrate(postgres_url)
    newer(True)
    with pytest.raises(SchemaError) as caught:
        await Database(postgres_url).open()
    assert str(caught.value).endswith(
        "is at schema conduit_0007 and this Conduit works with conduit_0008: "
        "run `conduit server db upgrade`"
    )
    await migrate(postgres_url)
    assert await standing(postgres_url) is Standing.CURRENT


async def test_an_older_server_refuses_what_a_newer_one_has_upgraded(
    database_url: str, newer: Callable[[bool], None]
) -> None:
    newer(True)
    await migrate(database_url)
    newer(False)
    with pytest.raises(SchemaError, match="conduit_0008 by a newer Conduit"):
        await Database(database_url, migrate=True).open()


async def test_an_upgrade_keeps_what_was_there(
    database_url: str, newer: Callable[[bool], None]
) -> None:
    async with Database(database_url, migrate=True) as database:
        await insert(database, a_job("kept"))
    newer(True)
    async with Database(database_url, migrate=True) as database, database.read() as connection:
        assert (await queries.list_jobs(connection, JobQuery())).total == 1


# --- migrations ------------------------------------------------------------------------------


async def structure(connection: AsyncConnection) -> list[Any]:
    """All that a database says of its tables and indexes."""
    if connection.dialect.name == "sqlite":
        columns = (
            'SELECT tables.name, columns.name, columns.type, "notnull", dflt_value, columns.pk '
            "FROM sqlite_master AS tables JOIN pragma_table_info(tables.name) AS columns "
            "WHERE tables.type = 'table' AND tables.name NOT LIKE '%alembic%' ORDER BY 1, 2"
        )
        indexes = (
            "SELECT name, sql FROM sqlite_master "
            "WHERE type = 'index' AND name NOT LIKE '%alembic%' ORDER BY 1"
        )
        return [
            tuple(" ".join(str(value).split()) for value in row)
            for query in (columns, indexes)
            for row in await connection.execute(text(query))
        ]
    queries = (
        "SELECT table_name, column_name, data_type, character_maximum_length, is_nullable, "
        "collation_name, column_default FROM information_schema.columns "
        "WHERE table_schema = 'public' AND table_name <> 'alembic_version' ORDER BY 1, 2",
        "SELECT indexdef FROM pg_indexes "
        "WHERE schemaname = 'public' AND tablename <> 'alembic_version' ORDER BY 1",
        "SELECT relname, unnest(reloptions) FROM pg_class "
        "WHERE relnamespace = 'public'::regnamespace ORDER BY 1, 2",
    )
    return [tuple(row) for query in queries for row in await connection.execute(text(query))]


async def test_migrations_lead_exactly_to_the_tables_of_today(database_url: str) -> None:
    database = Database(database_url)
    await database.connect()
    async with database.begin() as connection:
        await connection.run_sync(metadata.create_all)
        expected = await structure(connection)
        await connection.run_sync(metadata.drop_all)
    await database.upgrade()
    async with database.read() as connection:
        assert await structure(connection) == expected
        assert await connection.run_sync(schema.differences) == []
    await database.close()


async def test_differences_name_what_was_changed_by_hand(database_url: str) -> None:
    await migrate(database_url)
    await run(database_url, "DROP INDEX ix_jobs_submitted", "ALTER TABLE logs ADD COLUMN x integer")
    async with Database(database_url) as database, database.read() as connection:
        found = " ".join(await connection.run_sync(schema.differences))
    assert "ix_jobs_submitted" in found
    assert "logs" in found


async def test_a_migration_that_fails_leaves_nothing_behind(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(connection: Any, shown: str) -> None:
        upgrade(connection, shown)
        raise RuntimeError("killed")

    upgrade = schema.upgrade
    monkeypatch.setattr(schema, "upgrade", failing)
    with pytest.raises(RuntimeError):
        await Database(database_url, migrate=True).open()
    monkeypatch.undo()
    assert await standing(database_url) is Standing.MISSING
    await migrate(database_url)


async def test_servers_that_start_at_once_migrate_once(database_url: str) -> None:
    servers = [Database(database_url, migrate=True) for _ in range(5)]
    await asyncio.gather(*(server.open() for server in servers))
    for server in servers:
        await server.close()
    assert await standing(database_url) is Standing.CURRENT


def waits_for_lock(url: str) -> bool:
    query = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    return bool(execute(url, query))


async def test_an_upgrade_waits_for_one_that_is_under_way(postgres_url: str) -> None:
    first, second = Database(postgres_url), Database(postgres_url)
    for database in (first, second):
        await database.connect()
    waiting = None
    async with first.begin() as connection:
        await connection.run_sync(schema.upgrade, first.shown)
        waiting = asyncio.create_task(second.upgrade())
        await asyncio.to_thread(until, lambda: waits_for_lock(postgres_url), "a wait for the lock")
        assert not waiting.done()
    assert (await waiting).standing is Standing.MISSING
    assert await standing(postgres_url) is Standing.CURRENT
    for database in (first, second):
        await database.close()
