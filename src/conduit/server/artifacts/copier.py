"""Copies what jobs keep out of the queue, which forgets it, into a store of the server's own.

An artifact's row says where its bytes are: none means that they are still in the queue alone. The
bytes are safe in the store before the row says so; whatever ends in between leaves a file that no
row names, which `tidying` finds later.
"""

from __future__ import annotations

import hashlib
import logging
import random
from collections.abc import Sequence
from typing import Any

from msgspec import Struct
from sqlalchemy import select, tuple_, update
from sqlalchemy.engine import CursorResult
from sqlalchemy.exc import SQLAlchemyError

from conduit.core.errors import ConduitError
from conduit.queue.base import Queue
from conduit.server.artifacts.store import Store
from conduit.server.db import tables
from conduit.server.db.database import Database
from conduit.server.duty import Duty

GONE = ""
"""The location of what the queue had forgotten before it could be copied."""
BATCH = 100
_EVERY_S = 2.0
_LONGEST_PAUSE_S = 60.0

_log = logging.getLogger(__name__)


class _Wanted(Struct, frozen=True):
    job_id: str
    name: str
    sha256: str
    at: int


class Copier(Duty):
    """Copies artifacts from a queue to a store.

    Several servers may do so side by side. Counts since the start are in `copied` and `gone`.
    """

    name = "artifacts"

    def __init__(self, queue: Queue, database: Database, store: Store) -> None:
        super().__init__()
        self.copied = 0
        self.gone = 0
        self._queue = queue
        self._database = database
        self._store = store

    async def _run(self) -> None:
        trouble = 0
        while not self._stopping.is_set():
            try:
                await self.copy_all()
                trouble = 0
            except (ConduitError, SQLAlchemyError, OSError) as error:
                if not trouble:
                    _log.warning("artifacts aren't copied out of the queue: %s", error)
                trouble = min(trouble + 1, 16)
            pause = min(_EVERY_S * 2**trouble, _LONGEST_PAUSE_S)
            await self._pause(pause * random.uniform(0.8, 1.0))

    async def copy_all(self) -> None:
        """Copy everything that is in the queue alone."""
        after = ("", "")
        while rows := await self._wanted(after):
            for row in rows:
                if self._stopping.is_set():
                    return
                await self._copy(row)
            after = (rows[-1].job_id, rows[-1].name)

    async def _wanted(self, after: tuple[str, str]) -> Sequence[_Wanted]:
        kept = tables.artifacts.c
        key = tuple_(kept.job_id, kept.name)
        query = (
            select(kept.job_id, kept.name, kept.sha256, kept.at)
            .where(kept.location.is_(None), key > after)
            .order_by(kept.job_id, kept.name)
            .limit(BATCH)
        )
        async with self._database.read() as connection:
            return [_Wanted(*row) for row in (await connection.execute(query)).all()]

    async def _copy(self, row: _Wanted) -> None:
        data = await self._queue.artifact(row.job_id, row.name)
        if data is None:
            self.gone += await self._note(row, GONE)
        elif hashlib.sha256(data).hexdigest() == row.sha256:
            location = await self._store.keep(data)
            if await self._note(row, location):
                self.copied += 1
            else:
                await self._store.remove([location])
        # Else the job has replaced it, and the event that says so is on its way.

    async def _note(self, row: _Wanted, location: str) -> bool:
        """Write where the bytes are, unless the row is another's by now."""
        kept = tables.artifacts.c
        statement = (
            update(tables.artifacts)
            .where(kept.job_id == row.job_id, kept.name == row.name, kept.location.is_(None))
            .where(kept.sha256 == row.sha256, kept.at == row.at)
            .values(location=location)
        )
        async with self._database.begin() as connection:
            result: CursorResult[Any] = await connection.execute(statement)
        return result.rowcount == 1
