"""Jobs for the tests to put into a history."""

from __future__ import annotations

from typing import Any

from conduit.core.model import JobStatus
from conduit.server.db import tables
from conduit.server.db.database import Database
from conduit.server.db.rows import JobRow
from conduit.server.ingest import bulk


def a_job(id: str, **fields: Any) -> JobRow:
    """A job submitted at 1000 by whose id nothing else is told."""
    given: dict[str, Any] = {
        "function": "charge",
        "queue": "default",
        "status": JobStatus.QUEUED,
        "args": "{}",
        "submitted_at": 1000,
        "priority": 0,
        "max_deliveries": 3,
        "generation": 1,
        "attempt": 0,
        "failures": 0,
        "rescues": 0,
        "fence": 0,
        "seq": 1,
        "applied_at": 1000,
        **fields,
    }
    return JobRow(id=id, **{"run_at": given["submitted_at"], **given})


async def insert(database: Database, *rows: JobRow) -> None:
    """Put jobs into the history, as they are."""
    async with database.begin() as connection:
        await bulk.put(connection, tables.jobs, rows)
        pairs = [{"job_id": row.id, "after_id": after_id} for row in rows for after_id in row.after]
        if pairs:
            await connection.execute(tables.dependencies.insert(), pairs)
