"""What a transaction keeps, and what its errors say, on each kind of database."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from conduit.server.db.database import Database
from conduit.server.db.tables import listings

ROW = {"name": "queues", "body": "[]", "at": 1}


async def test_what_is_committed_is_read_by_a_new_connection(database: Database) -> None:
    async with database.begin() as connection:
        await connection.execute(listings.insert().values(ROW))
    async with Database(database.url) as other, other.read() as connection:
        assert (await connection.execute(select(listings))).mappings().one() == ROW


async def test_an_error_undoes_the_transaction(database: Database) -> None:
    async def insert_and_fail() -> None:
        async with database.begin() as connection:
            await connection.execute(listings.insert().values(ROW))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await insert_and_fail()
    async with database.read() as connection:
        assert (await connection.execute(select(listings))).first() is None
