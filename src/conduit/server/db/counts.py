"""How many jobs there are, without looking at any: triggers of the database keep count.

They count by function and status, and by queue and status: what is asked of either is a sum of a
few rows. A count under any other filter looks at the jobs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from conduit.core.model import JobStatus
from conduit.server.db import tables

_counts = tables.job_counts.c


def are_kept(functions: Sequence[str], queues: Sequence[str]) -> bool:
    """Whether the jobs of these functions in these queues are counted; none means any."""
    return not (functions and queues)


async def by_status(
    connection: AsyncConnection, functions: Sequence[str] = (), queues: Sequence[str] = ()
) -> Mapping[JobStatus, int]:
    """How many jobs there are in each status: all, those of some functions, or of some queues."""
    statement = (
        select(_counts.status, func.sum(_counts.many))
        .where(*_of(functions, queues))
        .group_by(_counts.status)
    )
    found = {row[0]: int(row[1]) for row in await connection.execute(statement)}
    return {status: found.get(status.value, 0) for status in JobStatus}


def _of(functions: Sequence[str], queues: Sequence[str]) -> list[ColumnElement[bool]]:
    if queues:
        return [_counts.kind == "queue", _counts.name.in_(queues)]
    conditions = [_counts.kind == "function"]
    return [*conditions, _counts.name.in_(functions)] if functions else conditions
