"""Removes from the store of artifacts what no row of the history leads to any more.

That is what was kept by a server that was killed before it wrote the row, and what belonged to rows
that were deleted or replaced. The queue has no part in it, so it goes on while that is away.
"""

from __future__ import annotations

import asyncio
import logging
import random

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from conduit.core.errors import ConduitError
from conduit.server.artifacts.store import Store
from conduit.server.db import tables
from conduit.server.db.database import Database

_EVERY_S = 600.0
_UNNAMED_S = 600.0
"""How old a file is that no row names and none will: its row is written within seconds."""

_log = logging.getLogger(__name__)


async def tidy(database: Database, store: Store) -> int:
    """Remove files that no row names; how many.

    Raises `DatabaseUnavailableError`, and `OSError` where the store is in trouble.
    """
    removed = 0
    location = tables.artifacts.c.location
    async for found in store.older_than(_UNNAMED_S):
        query = select(location).where(location.in_(found))
        async with database.read() as connection:
            named = set((await connection.scalars(query)).all())
        unnamed = [each for each in found if each not in named]
        await store.remove(unnamed)
        removed += len(unnamed)
    return removed


async def tidy_forever(database: Database, store: Store) -> None:
    """Do so again and again, for one server; until cancelled. What is away is waited for.

    It waits before the first time: whoever started a server on the wrong, empty history sees that
    on the dashboard, and still has the files.
    """
    trouble = False
    while True:
        # Not all servers at once.
        await asyncio.sleep(_EVERY_S * random.uniform(0.8, 1.2))
        try:
            removed = await tidy(database, store)
        except (ConduitError, SQLAlchemyError, OSError) as error:
            if not trouble:
                _log.warning("what no job leads to stays in the store of artifacts: %s", error)
            trouble = True
        else:
            trouble = False
            if removed:
                _log.info("%d artifacts that no job leads to were removed", removed)
