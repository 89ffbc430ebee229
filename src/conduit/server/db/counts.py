"""How many jobs there are, without looking at any: triggers of the database keep count.

They count by function and status, and by queue and status: what is asked of either is a sum of a
few rows. A count under any other filter looks at the jobs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import ColumnElement, delete, func, insert, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

from conduit.core.model import JobStatus
from conduit.server.db import tables, triggers

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


async def mend(connection: AsyncConnection) -> None:
    """Count all jobs anew, for what no trigger has seen, and restore triggers that are missing.

    Nobody else may write jobs meanwhile.
    """
    if await triggers.missing(connection):
        await triggers.restore(connection)
    await connection.execute(delete(tables.job_counts))
    jobs, many = tables.jobs.c, func.count()
    for kind, name in (("function", jobs.function), ("queue", jobs.queue)):
        counted = select(literal(kind), name, jobs.status, many).group_by(name, jobs.status)
        columns = [_counts.kind, _counts.name, _counts.status, _counts.many]
        await connection.execute(insert(tables.job_counts).from_select(columns, counted))


async def faults(connection: AsyncConnection) -> list[str]:
    """What is wrong with the counts and with what keeps them, and what helps; none: they are right.

    Looks at every job.
    """
    found: list[str] = []
    if missing := await triggers.missing(connection):
        found.append(
            f"jobs lacks triggers ({', '.join(missing)}), so that counts go wrong: run "
            "`conduit server db rebuild`"
        )
    if wrong := await _wrong(connection):
        found.append(f"{wrong} counts of jobs are wrong: run `conduit server db rebuild`")
    return found


async def _wrong(connection: AsyncConnection) -> int:
    """How many counts aren't what counting the jobs gives."""
    jobs, right = tables.jobs.c, dict[tuple[str, str, str], int]()
    for kind, column in (("function", jobs.function), ("queue", jobs.queue)):
        grouped = select(column, jobs.status, func.count()).group_by(column, jobs.status)
        for name, status, many in await connection.execute(grouped):
            right[kind, name, status] = many
    rows = await connection.execute(select(tables.job_counts))
    kept = {(row.kind, row.name, row.status): row.many for row in rows}
    return sum(kept.get(each, 0) != right.get(each, 0) for each in kept.keys() | right.keys())


def _of(functions: Sequence[str], queues: Sequence[str]) -> list[ColumnElement[bool]]:
    if queues:
        return [_counts.kind == "queue", _counts.name.in_(queues)]
    conditions = [_counts.kind == "function"]
    return [*conditions, _counts.name.in_(functions)] if functions else conditions
