"""The databases that the history can be kept in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from conduit.server.db.database import Database
from conduit.server.db.tables import metadata
from tests.servers.postgres import execute, new_database


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database without tables, once of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'history.db'}"
    return request.getfixturevalue("postgres_url")


@pytest.fixture(scope="session")
def _postgres_history(postgres_server_url: str) -> Iterator[str]:
    """One with tables, for the tests of this process in turn: making one takes a while."""

    async def migrate(url: str) -> None:
        async with Database(url, migrate=True):
            pass

    with new_database(postgres_server_url) as url:
        asyncio.run(migrate(url))
        yield url


@pytest.fixture
def postgres_history_url(_postgres_history: str) -> str:
    """The URL of a PostgreSQL with tables that are empty."""
    execute(_postgres_history, f"TRUNCATE {', '.join(metadata.tables)} RESTART IDENTITY")
    return _postgres_history


@pytest.fixture(params=["sqlite", "postgresql"])
def history_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database that a server finds ready; once of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'history.db'}"
    return request.getfixturevalue("postgres_history_url")


@pytest.fixture
async def database(history_url: str) -> AsyncIterator[Database]:
    """A database with its tables, empty and open; once of each kind."""
    async with Database(history_url) as database:
        yield database
