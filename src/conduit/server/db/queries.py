"""What the history is asked: jobs by filter, one job, and what belongs to it.

Lists are paged by cursor: the place after the last row shown, so that rows that come or go
meanwhile are neither shown twice nor left out. `total` is counted under the same filters in the
same transaction; within `Database.read` it is of the same moment as the page.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from enum import StrEnum
from typing import Any, get_origin

import msgspec
from msgspec import Struct, structs
from sqlalchemy import (
    ColumnElement,
    Executable,
    Label,
    Select,
    and_,
    false,
    func,
    literal,
    null,
    or_,
    select,
    tuple_,
    union_all,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from conduit.core.layout import fields_of
from conduit.core.model import JobStatus
from conduit.server.db import counts, tables
from conduit.server.db.rows import ArtifactRow, AttemptRow, JobRow, LogRow, job_row

MAX_TREE = 1000
ARGS_SHOWN = 200
"""How many characters of a job's arguments a list shows."""

_jobs = tables.jobs.c
_BIGGEST = 2**63 - 1
_FEW = 500


class JobQuery(Struct, frozen=True, kw_only=True):
    """Which jobs. Several values of one field are alternatives; fields combine by *and*.

    Times are milliseconds; after is inclusive, before is not. `q` is looked for in ids, function
    names, keys, worker ids, arguments, reasons and errors; A to Z count as a to z.
    """

    statuses: tuple[JobStatus, ...] = ()
    functions: tuple[str, ...] = ()
    queues: tuple[str, ...] = ()
    worker_ids: tuple[str, ...] = ()
    key: str | None = None
    parent_id: str | None = None
    root_id: str | None = None
    q: str | None = None
    submitted_after: int | None = None
    submitted_before: int | None = None


class Sort(StrEnum):
    """By what a list is sorted; a minus is for the largest or latest first.

    Jobs that have no such time yet come last either way. Those by submission and by end are read
    from an index, the others look at all jobs that match.
    """

    NEWEST = "-submitted_at"
    OLDEST = "submitted_at"
    LAST_DUE = "-run_at"
    FIRST_DUE = "run_at"
    LAST_STARTED = "-started_at"
    FIRST_STARTED = "started_at"
    LAST_FINISHED = "-finished_at"
    FIRST_FINISHED = "finished_at"
    LONGEST = "-duration"
    SHORTEST = "duration"

    @property
    def descending(self) -> bool:
        """Whether the largest or latest comes first."""
        return self.value.startswith("-")

    @property
    def value_of(self) -> ColumnElement[Any]:
        """What is compared."""
        name = self.value.removeprefix("-")
        return _jobs.finished_at - _jobs.started_at if name == "duration" else _jobs[name]

    @property
    def optional(self) -> bool:
        """Whether some jobs have none."""
        return self.value.removeprefix("-") not in ("submitted_at", "run_at")


class JobPage(Struct, frozen=True):
    """A page of jobs without their payloads; `total` is the exact count under the same filters."""

    items: list[JobRow]
    total: int
    next_cursor: str | None
    statuses: dict[JobStatus, int] | None = None
    """How many match in each status under the other filters, where that was asked for."""


class Tree(Struct, frozen=True):
    """A family of jobs, oldest first; `truncated` where there are more than are shown."""

    root_id: str
    items: list[JobRow]
    truncated: bool


# --- lists ---------------------------------------------------------------------------------------

_PAYLOADS: dict[str, Label[Any]] = {
    "args": func.substr(_jobs.args, 1, ARGS_SHOWN).label("args"),
    "metadata": literal("{}").label("metadata"),
    "steps": literal("{}").label("steps"),
    "result": null().label("result"),
    "checkpoint": null().label("checkpoint"),
} | {
    line.name: literal("[]" if get_origin(line.type) is tuple else "{}").label(line.name)
    for line in fields_of(JobRow)
    if get_origin(line.type) in (tuple, dict)
}
_LIGHT = [_PAYLOADS.get(column.name, column) for column in tables.jobs.columns]


async def list_jobs(
    connection: AsyncConnection,
    query: JobQuery,
    *,
    sort: Sort = Sort.NEWEST,
    limit: int = 50,
    offset: int = 0,
    cursor: str | None = None,
    by_status: bool = False,
) -> JobPage:
    """A page of the jobs that match, `offset` rows after the cursor's place.

    The rows' payloads are left out: they are empty, or None, and the arguments are cut. With
    `by_status` those of each status are counted, too. Raises `ValueError` for a cursor that isn't
    one of this sort.
    """
    conditions = _conditions(query, connection.dialect.name)
    after = [] if cursor is None else [_after(sort, cursor)]
    statuses = await _count_by_status(connection, query) if by_status else None
    total, conditions = await _counted(connection, query, conditions)
    if not total:
        return JobPage([], 0, None, statuses)
    page = _page([*conditions, *after], sort, min(offset, _BIGGEST - limit - 1), limit + 1)
    found = (await connection.execute(page)).all()
    items = [job_row(row[: len(_LIGHT)]) for row in found[:limit]]
    more = len(found) > limit and items
    next_cursor = _cursor(sort, found[limit - 1].sorted_by, items[-1].id) if more else None
    return JobPage(items, total, next_cursor, statuses)


async def job_ids(connection: AsyncConnection, query: JobQuery) -> list[str]:
    """The ids of all jobs that match, newest first."""
    conditions = _conditions(query, connection.dialect.name)
    found = select(_jobs.id).where(*conditions).order_by(_jobs.submitted_at.desc())
    return list((await connection.scalars(found)).all())


async def _counted(
    connection: AsyncConnection, query: JobQuery, conditions: list[ColumnElement[bool]]
) -> tuple[int, list[ColumnElement[bool]]]:
    """The total, and the conditions under which to read the page.

    A planner can't know how many rows hold some text. Few of them are found once, by a look at
    all, and the page is then read by their ids; many come soon enough in the page's order.
    """
    if query.q:
        ids = select(_jobs.id).where(*conditions).limit(_FEW + 1)
        found = list((await connection.execute(ids)).scalars())
        if len(found) <= _FEW:
            return len(found), [_jobs.id.in_(found)]
    return await _count(connection, query, conditions), conditions


def _page(
    conditions: list[ColumnElement[bool]], sort: Sort, offset: int, limit: int
) -> Select[*tuple[Any, ...]]:
    value = sort.value_of.label("sorted_by")
    if sort.value_of is not _jobs.finished_at:
        first, *then = _order(sort, value, _jobs.id)
        order = [first.nulls_last() if sort.optional else first, *then]
        page = select(*_LIGHT, value).where(*conditions).order_by(*order)
        return page.limit(limit).offset(offset)
    # The index has those without a value at the end that isn't wanted: they are asked for apart.
    parts = [
        select(*_LIGHT, value, literal(number).label("part"))
        .where(*conditions, of_part)
        .order_by(*_order(sort, value, _jobs.id))
        .limit(offset + limit)
        .subquery()
        for number, of_part in enumerate((sort.value_of.is_not(None), sort.value_of.is_(None)))
    ]
    both = union_all(*(select(part) for part in parts)).subquery()
    order = _order(sort, both.c.sorted_by, both.c.id)
    return select(both).order_by(both.c.part, *order).limit(limit).offset(offset)


async def _count(
    connection: AsyncConnection, query: JobQuery, conditions: list[ColumnElement[bool]]
) -> int:
    if _is_count_kept(query):
        found = await counts.by_status(connection, query.functions, query.queues)
        return sum(found[status] for status in set(query.statuses or JobStatus))
    statement = select(func.count()).select_from(tables.jobs).where(*conditions)
    return (await connection.execute(statement)).scalar_one()


def _is_count_kept(query: JobQuery) -> bool:
    """Whether the database keeps count of those that match, by their statuses."""
    rest = structs.replace(query, statuses=(), functions=(), queues=())
    return (
        rest == JobQuery()
        and counts.are_kept(query.functions, query.queues)
        and all(map(is_storable, _texts(query)))
    )


async def _count_by_status(connection: AsyncConnection, query: JobQuery) -> dict[JobStatus, int]:
    if _is_count_kept(query):
        found = await counts.by_status(connection, query.functions, query.queues)
        return {status: count for status, count in found.items() if count}
    conditions = _conditions(structs.replace(query, statuses=()), connection.dialect.name)
    counted = select(_jobs.status, func.count()).where(*conditions).group_by(_jobs.status)
    return {JobStatus(status): count for status, count in await connection.execute(counted)}


def _conditions(query: JobQuery, dialect: str) -> list[ColumnElement[bool]]:
    conditions = [
        column.in_(values)
        for column, values in (
            (_jobs.status, query.statuses),
            (_jobs.function, query.functions),
            (_jobs.queue, query.queues),
            (_jobs.worker_id, query.worker_ids),
        )
        if values
    ]
    conditions += [
        column == value
        for column, value in (
            (_jobs.key, query.key),
            (_jobs.parent_id, query.parent_id),
            (_jobs.root_id, query.root_id),
        )
        if value is not None
    ]
    if query.submitted_after is not None:
        conditions.append(_jobs.submitted_at >= _storable_number(query.submitted_after))
    if query.submitted_before is not None:
        conditions.append(_jobs.submitted_at < _storable_number(query.submitted_before))
    if query.q:
        conditions.append(_matches(query.q, dialect))
    if not all(map(is_storable, _texts(query))):
        return [false()]
    return conditions


def _matches(words: str, dialect: str) -> ColumnElement[bool]:
    escaped = "".join(f"/{letter}" if letter in "%_/" else letter for letter in words)
    pattern = f"%{escaped}%"
    columns = (
        _jobs.id,
        _jobs.function,
        _jobs.key,
        _jobs.worker_id,
        _jobs.args,
        _jobs.reason,
        _jobs.error,
    )
    if dialect == "sqlite":  # its LIKE takes A for a
        return or_(*(column.like(pattern, escape="/") for column in columns))
    # Not ILIKE, which takes half as long again.
    lower = func.lower(pattern)
    return or_(*(func.lower(column).like(lower, escape="/") for column in columns))


def _texts(query: JobQuery) -> list[str]:
    single = (query.key, query.parent_id, query.root_id, query.q)
    return [
        *query.functions,
        *query.queues,
        *query.worker_ids,
        *(text for text in single if text is not None),
    ]


def is_storable(text: str) -> bool:
    """Whether a database can hold it; what it can't hold, no row has."""
    return "\0" not in text and not any("\ud800" <= letter <= "\udfff" for letter in text)


def _storable_number(number: int) -> int:
    return max(-_BIGGEST, min(number, _BIGGEST))


# --- places in a list ----------------------------------------------------------------------------


class _Place(Struct, frozen=True, array_like=True):
    sort: Sort
    value: int | None
    id: str


def _order(
    sort: Sort, value: ColumnElement[Any], id_: ColumnElement[str]
) -> list[ColumnElement[Any]]:
    return [value.desc(), id_.desc()] if sort.descending else [value.asc(), id_.asc()]


def _cursor(sort: Sort, value: int | None, id_: str) -> str:
    place = msgspec.json.encode(_Place(sort, value, id_))
    return base64.urlsafe_b64encode(place).rstrip(b"=").decode()


def _after(sort: Sort, cursor: str) -> ColumnElement[bool]:
    """The rows after a cursor's place. Raises `ValueError` for a cursor that isn't ours."""
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        place = msgspec.json.decode(base64.b64decode(padded, b"-_", validate=True), type=_Place)
    except (ValueError, msgspec.DecodeError):
        raise ValueError("the cursor isn't one that a list of jobs gave") from None
    if place.sort is not sort or not is_storable(place.id):
        raise ValueError(f"the cursor is of a list sorted by {place.sort}, not by {sort}")
    value, compared = sort.value_of, _compare(sort)
    if place.value is None:
        return and_(value.is_(None), compared(_jobs.id, place.id))
    number = _storable_number(place.value)
    if not sort.optional:
        # Compared as one: the index then begins at the place.
        return compared(tuple_(value, _jobs.id), tuple_(number, place.id))
    return or_(
        compared(value, number),
        and_(value == number, compared(_jobs.id, place.id)),
        value.is_(None),
    )


def _compare(sort: Sort) -> Callable[[Any, Any], ColumnElement[bool]]:
    if sort.descending:
        return lambda ours, theirs: ours < theirs
    return lambda ours, theirs: ours > theirs


# --- one job -------------------------------------------------------------------------------------


async def get_job(connection: AsyncConnection, job_id: str) -> JobRow | None:
    """One job with its payloads; None: the history has none of that id."""
    found = await _rows_about(connection, select(tables.jobs).where(_jobs.id == job_id), job_id)
    return job_row(found[0]) if found else None


async def attempts(connection: AsyncConnection, job_id: str) -> list[AttemptRow]:
    """A job's starts, oldest first."""
    table = tables.attempts
    statement = select(table).where(table.c.job_id == job_id).order_by(table.c.fence)
    return [_filled(AttemptRow, row) for row in await _rows_about(connection, statement, job_id)]


async def logs(
    connection: AsyncConnection, job_id: str, *, after: int = 0, limit: int = 500
) -> list[LogRow]:
    """A job's log lines beyond number `after`, oldest first."""
    table = tables.logs
    statement = (
        select(table)
        .where(table.c.job_id == job_id, table.c.number > _storable_number(after))
        .order_by(table.c.number)
        .limit(limit)
    )
    return [_filled(LogRow, row) for row in await _rows_about(connection, statement, job_id)]


async def artifacts(connection: AsyncConnection, job_id: str) -> list[ArtifactRow]:
    """What a job kept, by name."""
    table = tables.artifacts
    statement = select(table).where(table.c.job_id == job_id).order_by(table.c.name)
    return [_filled(ArtifactRow, row) for row in await _rows_about(connection, statement, job_id)]


async def tree(connection: AsyncConnection, job_id: str, *, limit: int = MAX_TREE) -> Tree | None:
    """The first ancestor of a job and all that came of it; None: there is no such job."""
    own = select(_jobs.id, _jobs.root_id).where(_jobs.id == job_id)
    found = await _rows_about(connection, own, job_id)
    if not found:
        return None
    root_id = found[0].root_id or found[0].id
    statement = (
        select(*_LIGHT)
        .where(or_(_jobs.id == root_id, _jobs.root_id == root_id))
        .order_by(_jobs.submitted_at, _jobs.id)
        .limit(limit + 1)
    )
    rows = (await connection.execute(statement)).all()
    return Tree(root_id, [job_row(row) for row in rows[:limit]], len(rows) > limit)


async def _rows_about(connection: AsyncConnection, statement: Executable, job_id: str) -> list[Any]:
    """The rows of a statement about one job; none where no job can have that id."""
    if not is_storable(job_id):
        return []
    return list((await connection.execute(statement)).all())


def _filled(record: type[Any], row: Any) -> Any:
    return record(**dict(zip(record.__struct_fields__, row, strict=True)))
