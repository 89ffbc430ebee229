"""A database that is away, comes back, refuses or hangs: what is raised, and that it passes."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import select, text

from conduit.core.errors import ConfigurationError
from conduit.server.db import postgres
from conduit.server.db.database import Database, DatabaseAccessError, DatabaseUnavailableError
from conduit.server.db.tables import listings
from tests.servers.fixtures import StartPostgres
from tests.servers.postgres import PASSWORD, PostgresServer, at_database, execute, new_database
from tests.servers.process import free_port, until
from tests.servers.proxy import Proxy

ROW = {"name": "queues", "body": "[]", "at": 1}


async def insert(database: Database) -> None:
    async with database.begin() as connection:
        await connection.execute(listings.insert().values(ROW))


async def count(database: Database) -> int:
    async with database.read() as connection:
        return len((await connection.execute(select(listings))).all())


# --- PostgreSQL ------------------------------------------------------------------------------


async def test_a_server_that_was_restarted_is_found_again_by_itself(
    start_postgres: StartPostgres,
) -> None:
    server = start_postgres()
    async with Database(server.url, migrate=True) as database:
        await insert(database)
        await asyncio.to_thread(server.kill)
        with pytest.raises(DatabaseUnavailableError, match="can't"):
            await count(database)
        await asyncio.to_thread(server.start)
        assert await count(database) == 1


async def test_a_connection_lost_within_a_transaction_undoes_it(
    postgres_history_url: str,
) -> None:
    async def insert_while_cut() -> None:
        async with database.begin() as connection:
            await connection.execute(listings.insert().values(ROW))
            await asyncio.to_thread(
                execute,
                postgres_history_url,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE application_name = 'conduit-server' AND datname = current_database()",
            )
            await connection.execute(text("SELECT 1"))

    async with Database(postgres_history_url) as database:
        with pytest.raises(DatabaseUnavailableError):
            await insert_while_cut()
        assert await count(database) == 0


async def test_a_server_that_is_silent_is_given_up(postgres_server: PostgresServer) -> None:
    with (
        new_database(postgres_server.url) as url,
        Proxy(postgres_server.port) as proxy,
    ):
        through = url.replace(f":{postgres_server.port}/", f":{proxy.port}/") + "?connect_timeout=2"
        async with Database(url, migrate=True) as patient:
            await insert(patient)
        async with Database(through, answer_timeout_s=1) as database:
            assert await count(database) == 1
            proxy.freeze()
            with pytest.raises(DatabaseUnavailableError, match="be reached"):
                await count(database)
            proxy.thaw()
            assert await count(database) == 1


async def test_an_idle_connection_that_the_network_has_forgotten_is_replaced(
    postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "IDLE_S", 0.0)
    with new_database(postgres_server.url) as url, Proxy(postgres_server.port) as proxy:
        through = url.replace(f":{postgres_server.port}/", f":{proxy.port}/")
        async with Database(through, migrate=True, answer_timeout_s=1000) as database:
            await insert(database)
            await asyncio.to_thread(proxy.forget)
            assert await count(database) == 1


async def test_a_lock_that_is_held_too_long_is_a_passing_failure(
    postgres_history_url: str,
) -> None:
    async with (
        Database(postgres_history_url, answer_timeout_s=1) as database,
        Database(postgres_history_url) as other,
    ):
        async with other.begin() as connection:
            await connection.execute(text("LOCK TABLE listings"))
            with pytest.raises(DatabaseUnavailableError):
                await insert(database)
        await insert(database)
        assert await count(database) == 1


async def test_no_server_at_all_is_told_with_its_address(tmp_path: Path) -> None:
    url = f"postgresql://me:{PASSWORD}@127.0.0.1:{free_port()}/x"
    with pytest.raises(DatabaseUnavailableError) as caught:
        await Database(url).open()
    assert "postgresql://me:***@127.0.0.1" in str(caught.value)
    assert PASSWORD not in str(caught.value)


async def test_a_wrong_password_or_database_is_not_worth_trying_again(
    postgres_server_url: str,
) -> None:
    wrong = postgres_server_url.replace(f":{PASSWORD}@", ":wrong@")
    missing = at_database(postgres_server_url, "no_such_database")
    for url in (wrong, missing):
        with pytest.raises(DatabaseAccessError, match="check the URL's user, password and data"):
            await Database(url).open()


async def test_a_cancelled_reader_frees_its_connection_and_its_query(
    postgres_history_url: str,
) -> None:
    async def sleep() -> None:
        async with database.read() as connection:
            await connection.execute(text("SELECT pg_sleep(600)"))

    sleeping = (
        "SELECT 1 FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(600)' AND state = 'active'"
    )
    async with Database(postgres_history_url) as database:
        task = asyncio.create_task(sleep())
        await asyncio.to_thread(
            until, lambda: bool(execute(postgres_history_url, sleeping)), "the query runs"
        )
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert execute(postgres_history_url, sleeping) == []
        assert await count(database) == 0


# --- SQLite ----------------------------------------------------------------------------------


async def test_many_writers_take_turns(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/history.db"
    statement = text("INSERT INTO changes (topic, subject, kind, data, at) VALUES ('','','','',0)")

    async def write(database: Database) -> None:
        async with database.begin() as connection:
            await connection.execute(text("SELECT count(*) FROM changes"))
            await connection.execute(statement)

    async with Database(url) as one, Database(url) as two:
        await asyncio.gather(*(write(database) for database in (one, two) * 20))
        async with one.read() as connection:
            found = await connection.execute(text("SELECT count(*), max(id) FROM changes"))
            assert tuple(found.one()) == (40, 40)


async def test_a_reader_sees_one_moment_beside_a_writer(database: Database) -> None:
    async with database.read() as connection:
        assert (await connection.execute(select(listings))).first() is None
        await insert(database)
        assert (await connection.execute(select(listings))).first() is None
    assert await count(database) == 1


async def test_a_file_locked_by_another_process_is_a_passing_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("conduit.server.db.database._BUSY_TIMEOUT_S", 0.1)
    async with Database(f"sqlite:///{tmp_path}/history.db") as database:
        other = sqlite3.connect(tmp_path / "history.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseUnavailableError, match="locked by another process"):
            await insert(database)
        other.execute("ROLLBACK")
        other.close()
        await insert(database)
        assert await count(database) == 1


async def test_a_new_file_that_somebody_holds_is_waited_for(tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "history.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    database = Database(f"sqlite:///{tmp_path}/history.db")
    opening = asyncio.create_task(database.open())
    done, _ = await asyncio.wait([opening], timeout=0.5)
    assert not done
    other.execute("ROLLBACK")
    other.close()
    await opening
    await database.close()


async def test_a_new_file_that_is_held_for_good_is_a_passing_failure(tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "history.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(DatabaseUnavailableError, match="locked by another process"):
        await Database(f"sqlite:///{tmp_path}/history.db").open()
    other.close()


async def test_a_full_disk_is_a_passing_failure(tmp_path: Path) -> None:
    async with Database(f"sqlite:///{tmp_path}/history.db") as database:

        async def fill() -> None:
            async with database.begin() as connection:
                await connection.execute(text("PRAGMA max_page_count = 1"))
                big = {**ROW, "body": "x" * 10_000_000}
                await connection.execute(listings.insert().values(big))

        with pytest.raises(DatabaseUnavailableError, match="disk is full"):
            await fill()
        assert await count(database) == 0


async def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DatabaseUnavailableError, match="CONDUIT_DATABASE_URL"):
        await Database(f"sqlite:///{tmp_path}/file/history.db").open()


# --- addresses -------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["mysql://x/y", "history.db", "sqlite://", "sqlite://host/x"])
def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="sqlite:///"):
        Database(url)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:secret@h1:1,h2:2/db?target_session_attrs=read-write",
        "postgres://me:secret@h/db",
        "postgresql://h/db?user=me&password=secret",
    ],
)
def test_passwords_are_never_shown(url: str) -> None:
    shown = Database(url).shown
    assert "secret" not in shown
    assert "***" in shown
