"""How much was done, how fast, and how much of it failed: per function, overall and over time.

Counts are exact. Percentiles are too, up to the number of jobs in `SAMPLES`; of more, the latest
ended stand for all, and each answer says of how many it tells. Wait is the time from when a job's
last attempt was due to its start, run from there to its end, both in milliseconds and of jobs that
completed or failed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct, structs
from sqlalchemy import (
    Column,
    ColumnElement,
    FromClause,
    Select,
    case,
    func,
    literal,
    select,
    tuple_,
)
from sqlalchemy.dialects.postgresql import array
from sqlalchemy.ext.asyncio import AsyncConnection

from conduit.core.model import FINISHED, JobStatus
from conduit.server.db import counts, tables

SAMPLES = {"postgresql": 100_000, "sqlite": 20_000}
"""SQLite has no percentiles, and by its window functions they take longer than by Python."""
MAX_BUCKETS = 1500

_jobs = tables.jobs.c
QUANTILES = (0.5, 0.95, 0.99)
_MEASURES = ("wait", "run")
_BY_END = ("INDEXED BY ix_jobs_finished", "sqlite")
"""SQLite would group all jobs by an index of what they are grouped by, and then look at each."""
_OVERALL = None
"""The part of what was done that is all of it."""


class Window(Struct, frozen=True, kw_only=True):
    """From when (inclusive) to when (exclusive), in milliseconds; of these functions and queues."""

    after: int
    before: int
    functions: tuple[str, ...] = ()
    queues: tuple[str, ...] = ()


class Percentiles(Struct, frozen=True, kw_only=True):
    """Milliseconds that half, 95 % and 99 % of the jobs stayed within; None where there were none.

    `of` is how many jobs they tell of.
    """

    p50: float | None = None
    p95: float | None = None
    p99: float | None = None
    of: int = 0


NO_PERCENTILES = Percentiles()


class Ended(Struct, frozen=True, kw_only=True):
    """Jobs that ended within a window, and how long they took."""

    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    wait: Percentiles = NO_PERCENTILES
    run: Percentiles = NO_PERCENTILES

    @property
    def total(self) -> int:
        """All that ended, one way or another."""
        return self.completed + self.failed + self.cancelled

    @property
    def error_rate(self) -> float | None:
        """The share that failed, of those that weren't cancelled; None where there were none."""
        ran = self.completed + self.failed
        return self.failed / ran if ran else None


class Statistics(Struct, frozen=True, kw_only=True):
    """What happened within a window; `statuses` counts the jobs of all times as they are now."""

    submitted: int
    statuses: Mapping[JobStatus, int]
    overall: Ended
    functions: Mapping[str, Ended]


class Bucket(Struct, frozen=True, kw_only=True):
    """What happened from `at` until the next bucket."""

    at: int
    submitted: int
    ended: Ended


class Series(Struct, frozen=True, kw_only=True):
    """How many jobs ended, bucket by bucket."""

    completed: Sequence[int]
    failed: Sequence[int]
    cancelled: Sequence[int]


async def statistics(connection: AsyncConnection, window: Window) -> Statistics:
    """Counts, wait and run times and error rates of a window, per function and overall."""
    functions = await _ended(connection, window, _jobs.function)
    overall = functions.pop(_OVERALL, Ended())
    return Statistics(
        submitted=await _submitted(connection, window),
        statuses=await _statuses(connection, window),
        overall=overall,
        functions=functions,
    )


async def trends(connection: AsyncConnection, window: Window, bucket_ms: int) -> list[Bucket]:
    """The same over time: a bucket for each `bucket_ms`, also where nothing happened.

    Buckets begin at multiples of `bucket_ms`. Raises `ValueError` for more than `MAX_BUCKETS`.
    """
    buckets = _buckets(window, bucket_ms)
    submitted_in = _bucket(_jobs.submitted_at, bucket_ms)
    counted = await connection.execute(
        select(submitted_in, func.count())
        .where(*_within(_jobs.submitted_at, window))
        .group_by(submitted_in)
    )
    submitted = dict(counted.all())
    ended = await _ended(connection, window, _bucket(_jobs.finished_at, bucket_ms))
    return [
        Bucket(
            at=number * bucket_ms,
            submitted=submitted.get(number, 0),
            ended=ended.get(number, Ended()),
        )
        for number in buckets
    ]


async def activity(
    connection: AsyncConnection, window: Window, bucket_ms: int, *, by: Literal["function", "queue"]
) -> dict[str, Series]:
    """What ended over time, of each function or queue that had any; buckets are as of `trends`."""
    buckets = _buckets(window, bucket_ms)
    name, bucket = _jobs[by], _bucket(_jobs.finished_at, bucket_ms)
    counted = await connection.execute(
        select(name, bucket, _jobs.status, func.count())
        .where(*_within(_jobs.finished_at, window))
        .group_by(name, bucket, _jobs.status)
        .order_by(name)
        .with_hint(tables.jobs, *_BY_END)
    )
    found: dict[str, dict[JobStatus, list[int]]] = {}
    for part, number, status, many in counted:
        lists = found.setdefault(part, {each: [0] * len(buckets) for each in FINISHED})
        lists[status][number - buckets.start] = many
    return {
        part: Series(
            completed=lists[JobStatus.COMPLETED],
            failed=lists[JobStatus.FAILED],
            cancelled=lists[JobStatus.CANCELLED],
        )
        for part, lists in found.items()
    }


def _buckets(window: Window, bucket_ms: int) -> range:
    """The numbers of a window's buckets. Raises `ValueError` for more than `MAX_BUCKETS`."""
    if bucket_ms < 1 or window.before - window.after > MAX_BUCKETS * bucket_ms:
        raise ValueError(f"the window has more than {MAX_BUCKETS} buckets of {bucket_ms} ms")
    return range(window.after // bucket_ms, -(-window.before // bucket_ms))


def _bucket(at: Column[int], bucket_ms: int) -> ColumnElement[int]:
    return at.op("/")(literal(bucket_ms))


def _within(at: Column[Any], window: Window) -> list[ColumnElement[bool]]:
    return [at >= window.after, at < window.before, *_of(window)]


def _of(window: Window) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if window.functions:
        conditions.append(_jobs.function.in_(window.functions))
    if window.queues:
        conditions.append(_jobs.queue.in_(window.queues))
    return conditions


async def _statuses(connection: AsyncConnection, window: Window) -> Mapping[JobStatus, int]:
    if counts.are_kept(window.functions, window.queues):
        return await counts.by_status(connection, window.functions, window.queues)
    counted = await connection.execute(
        select(_jobs.status, func.count()).where(*_of(window)).group_by(_jobs.status)
    )
    found = dict(counted.all())
    return {status: found.get(status, 0) for status in JobStatus}


async def _submitted(connection: AsyncConnection, window: Window) -> int:
    statement = select(func.count()).where(*_within(_jobs.submitted_at, window))
    return (await connection.execute(statement)).scalar_one()


async def _ended(
    connection: AsyncConnection, window: Window, group: ColumnElement[Any]
) -> dict[Any, Ended]:
    """What ended, by the value of `group`, and under None overall."""
    part = group.label("part")
    counted = await connection.execute(
        select(
            part,
            *(func.count(case((_jobs.status == status, 1))).label(status) for status in FINISHED),
        )
        .where(*_within(_jobs.finished_at, window))
        .group_by(part)
        .with_hint(tables.jobs, *_BY_END)
    )
    found = {
        row.part: Ended(completed=row.completed, failed=row.failed, cancelled=row.cancelled)
        for row in counted
    }
    found[_OVERALL] = Ended(
        completed=sum(ended.completed for ended in found.values()),
        failed=sum(ended.failed for ended in found.values()),
        cancelled=sum(ended.cancelled for ended in found.values()),
    )
    times = await _percentiles(connection, window, group)
    return {part: structs.replace(ended, **times.get(part, {})) for part, ended in found.items()}


async def _percentiles(
    connection: AsyncConnection, window: Window, group: ColumnElement[Any]
) -> dict[Any, dict[str, Percentiles]]:
    """For each part of what was done and overall: its percentiles by measure."""
    dialect = connection.dialect.name
    sample = _sample(window, group, SAMPLES[dialect])
    if dialect != "postgresql":
        return _by_sorting((await connection.execute(sample)).all())
    found = await connection.execute(_by_aggregate(sample.subquery("sample")))
    return {
        row.part: {name: _told(row.of, getattr(row, name)) for name in _MEASURES}
        for row in found
        if row.of  # an empty sample has an empty total, too
    }


def _sample(window: Window, group: ColumnElement[Any], limit: int) -> Select[*tuple[Any, ...]]:
    """How long the latest jobs took. Clocks that are set back make no negative times."""
    wait, run = _jobs.started_at - _jobs.run_at, _jobs.finished_at - _jobs.started_at
    return (
        select(
            group.label("part"),
            case((wait < 0, 0), else_=wait).label("wait"),
            case((run < 0, 0), else_=run).label("run"),
        )
        .where(
            *_within(_jobs.finished_at, window),
            _jobs.status.in_((JobStatus.COMPLETED, JobStatus.FAILED)),
            _jobs.started_at.is_not(None),
        )
        .order_by(_jobs.finished_at.desc())
        .limit(limit)
        .with_hint(tables.jobs, *_BY_END)
    )


def _told(of: int, values: list[float]) -> Percentiles:
    p50, p95, p99 = values
    return Percentiles(p50=p50, p95=p95, p99=p99, of=of)


def _by_aggregate(sample: FromClause) -> Select[*tuple[Any, ...]]:
    part = sample.c.part
    return select(
        part,
        func.count().label("of"),
        *(
            func.percentile_cont(array(QUANTILES)).within_group(sample.c[name]).label(name)
            for name in _MEASURES
        ),
    ).group_by(func.grouping_sets(tuple_(part), tuple_()))


def _by_sorting(sample: Sequence[Any]) -> dict[Any, dict[str, Percentiles]]:
    spent: dict[Any, dict[str, list[int]]] = {}
    for row_part, wait, run in sample:
        for part in (row_part, _OVERALL):
            lists = spent.setdefault(part, {name: [] for name in _MEASURES})
            lists["wait"].append(wait)
            lists["run"].append(run)
    return {
        part: {
            name: _told(len(times), [_quantile(sorted(times), share) for share in QUANTILES])
            for name, times in lists.items()
        }
        for part, lists in spent.items()
    }


def _quantile(ordered: list[int], share: float) -> float:
    """As PostgreSQL has it: on a straight line between the two neighbours of the exact place."""
    place = (len(ordered) - 1) * share
    below = int(place)
    low, high = ordered[below], ordered[min(below + 1, len(ordered) - 1)]
    return low + (high - low) * (place - below)
