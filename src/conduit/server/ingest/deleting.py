"""Deleting jobs that only the history has, because the queue has forgotten them."""

from __future__ import annotations

from collections.abc import Collection

from msgspec import Struct

from conduit.core.events import EventKind
from conduit.server.db.database import Database
from conduit.server.db.rows import JobRow
from conduit.server.ingest import soundness
from conduit.server.ingest.apply import Change, load, save, take_turn


class Deleted(Struct, frozen=True, kw_only=True):
    """The jobs that are gone, as they were, the unfinished ones that stay, and what changed."""

    gone: dict[str, JobRow]
    unfinished: dict[str, JobRow]
    changes: list[Change]


async def delete(database: Database, job_ids: Collection[str], now: int) -> Deleted:
    """Delete those of some jobs that are finished, and all that belongs to them.

    Raises `DatabaseUnavailableError`.
    """
    job_ids = [job_id for job_id in job_ids if soundness.fault_of_id(job_id) is None]
    async with database.begin() as connection:
        await take_turn(connection)
        histories = await load(connection, job_ids, now)
        forgotten = [history for history in histories.values() if history.forget()]
        changes = await save(connection, forgotten, now, kind=EventKind.DELETED)
    gone = {each.job_id: each.stored_row for each in forgotten if each.stored_row is not None}
    left = {job_id: each.row for job_id, each in histories.items() if each.row is not None}
    return Deleted(gone=gone, unfinished=left, changes=changes)
