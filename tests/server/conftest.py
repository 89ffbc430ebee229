"""The databases that the history can be kept in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from conduit.server.db.database import Database


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database without tables, once of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'history.db'}"
    return request.getfixturevalue("postgres_url")


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A database with its tables, open; once of each kind."""
    async with Database(database_url, migrate=True) as database:
        yield database
