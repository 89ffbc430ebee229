"""What HTTP APIs answered, and how fast: per API, and per route and over time of one.

Counts are of whole minutes. Percentiles come from buckets of latencies, two to each doubling, and
are taken to lie evenly within each.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from msgspec import Struct
from sqlalchemy import ColumnElement, Select, func, literal_column, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from conduit.core.api_requests import BOUNDS_MS
from conduit.server.db import tables
from conduit.server.db.statistics import QUANTILES, Percentiles

MINUTE_MS = 60_000

_requests = tables.api_requests.c
_SERVER_ERROR = 500

# One row per bucket that isn't empty, so that what is read doesn't grow with the minutes.
_BUCKETS_ON_POSTGRESQL = """
SELECT {part}, bucket.ordinality - 1, sum(CAST(bucket.value AS bigint))
FROM api_requests
CROSS JOIN json_array_elements_text(CAST(buckets AS json))
    WITH ORDINALITY AS bucket(value, ordinality)
WHERE minute >= :after AND minute < :before AND bucket.value <> '0' {condition}
GROUP BY {part}, bucket.ordinality
"""
_BUCKETS_ON_SQLITE = """
SELECT {part}, bucket.key, sum(bucket.value)
FROM api_requests, json_each(buckets) AS bucket
WHERE minute >= :after AND minute < :before AND bucket.value <> 0 {condition}
GROUP BY {part}, bucket.key
"""


class Answers(Struct, frozen=True, kw_only=True):
    """How requests were answered: how often with which status, and how fast."""

    statuses: Mapping[int, int] = {}
    latency: Percentiles = Percentiles()

    @property
    def requests(self) -> int:
        """All of them."""
        return sum(self.statuses.values())

    @property
    def errors(self) -> int:
        """Those that were answered with 5xx."""
        return sum(many for status, many in self.statuses.items() if status >= _SERVER_ERROR)


class Answered(Answers, frozen=True, kw_only=True):
    """The same of those that were asked."""

    total_ms: float
    last_minute: int
    """When the last minute began that had any, in milliseconds."""


class ApiBucket(Answers, frozen=True, kw_only=True):
    """Requests of one API in a part of the time."""

    at: int
    """When it began, in milliseconds."""


class ApiCount(Answered, frozen=True, kw_only=True):
    """Requests of one API."""

    name: str


class RouteCount(Answered, frozen=True, kw_only=True):
    """Requests of one route of an API."""

    method: str
    route: str


async def list_apis(connection: AsyncConnection, after: int, before: int) -> list[ApiCount]:
    """The APIs that were asked in minutes that began between two times, by name."""
    found = await _answered(connection, ("api",), after, before)
    return [ApiCount(name=name, **facts) for (name,), facts in found.items()]


async def list_routes(
    connection: AsyncConnection, name: str, after: int, before: int
) -> list[RouteCount]:
    """The routes of one API that were asked in these minutes, with what they answered."""
    found = await _answered(connection, ("route", "method"), after, before, api=name)
    return [
        RouteCount(method=method, route=route, **facts) for (route, method), facts in found.items()
    ]


async def over_time(
    connection: AsyncConnection, name: str, after: int, before: int, bucket_ms: int
) -> list[ApiBucket]:
    """How one API was asked in these minutes: a bucket for each `bucket_ms`, also of none.

    Buckets begin at multiples of `bucket_ms`, which is a number of whole minutes.
    """
    part = (f"minute / {bucket_ms:d}",)
    found = await _answered(connection, part, after, before, api=name)
    return [
        ApiBucket(at=number * bucket_ms, statuses=facts["statuses"], latency=facts["latency"])
        if (facts := found.get((number,)))
        else ApiBucket(at=number * bucket_ms)
        for number in range(after // bucket_ms, -(-before // bucket_ms))
    ]


async def _answered(
    connection: AsyncConnection,
    part: tuple[str, ...],
    after: int,
    before: int,
    *,
    api: str | None = None,
) -> dict[tuple[Any, ...], dict[str, Any]]:
    """The facts of `Answered`, by the values of some terms of SQL, in their order."""
    conditions: list[ColumnElement[bool]] = [_requests.minute >= after, _requests.minute < before]
    if api is not None:
        conditions.append(_requests.api == api)
    terms: list[ColumnElement[Any]] = [literal_column(each) for each in part]
    statement: Select[*tuple[Any, ...]] = (
        select(
            *terms,
            _requests.status,
            func.sum(_requests.count),
            func.sum(_requests.total_ms),
            func.max(_requests.minute),
        )
        .where(*conditions)
        .group_by(*terms, _requests.status)
        .order_by(*terms, _requests.status)
    )
    buckets = await _buckets(connection, part, after, before, api)
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for *key, status, many, spent, last in await connection.execute(statement):
        facts = found.setdefault(
            tuple(key),
            {
                "statuses": {},
                "total_ms": 0.0,
                "last_minute": last,
                "latency": _percentiles(buckets.get(tuple(key), {})),
            },
        )
        facts["statuses"][status] = int(many)
        facts["total_ms"] += spent
        facts["last_minute"] = max(facts["last_minute"], last)
    return found


async def _buckets(
    connection: AsyncConnection,
    part: tuple[str, ...],
    after: int,
    before: int,
    api: str | None,
) -> dict[tuple[Any, ...], Mapping[int, int]]:
    is_postgresql = connection.dialect.name == "postgresql"
    statement = (_BUCKETS_ON_POSTGRESQL if is_postgresql else _BUCKETS_ON_SQLITE).format(
        part=", ".join(part),
        condition="" if api is None else "AND api = :api",
    )
    values = {"after": after, "before": before} | ({} if api is None else {"api": api})
    found: dict[tuple[Any, ...], Counter[int]] = {}
    for *key, place, many in await connection.execute(text(statement), values):
        found.setdefault(tuple(key), Counter())[place] = int(many)
    return dict(found)


def _percentiles(buckets: Mapping[int, int]) -> Percentiles:
    of = sum(buckets.values())
    if not of:
        return Percentiles()
    p50, p95, p99 = (_at_rank(buckets, quantile * of) for quantile in QUANTILES)
    return Percentiles(p50=p50, p95=p95, p99=p99, of=of)


def _at_rank(buckets: Mapping[int, int], rank: float) -> float:
    """The latency that so many stayed within; beyond the last bound there is only that bound."""
    below = 0
    for place, (low, high) in enumerate(pairwise((0.0, *BOUNDS_MS))):
        many = buckets.get(place, 0)
        if many and below + many >= rank:
            return low + (high - low) * max(rank - below, 0) / many
        below += many
    return BOUNDS_MS[-1]
