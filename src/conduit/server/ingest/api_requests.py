"""Requests of HTTP APIs: what their processes report is added up by the minute.

Additions, unlike events, can't be told from their repeats by the rows that they make. So it is kept
which reports of each process have been counted, in the same transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import zip_longest

import msgspec
from msgspec import Raw, Struct, structs
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from conduit.core.api_requests import REPORT_KIND, ApiRequests, RouteRequests
from conduit.core.events import Report
from conduit.server.db import tables
from conduit.server.ingest import bulk, soundness

MAX_BEYOND = 1000
"""Reports that may come before an earlier one; one that is missing for longer is lost."""
_MAX_API, _MAX_ROUTE = 150, 350
"""Characters. PostgreSQL indexes values of up to 2,704 bytes, and both are part of the key."""
_MINUTE_MS = 60_000
_ERRORS = 500

_to_json = msgspec.json.Encoder().encode
_requests_from = msgspec.json.Decoder(ApiRequests).decode
_numbers_from = msgspec.json.Decoder(list[int]).decode

_Key = tuple[str, str, str, int, int]


class _Row(Struct, frozen=True):
    """A row of `tables.api_requests`."""

    api: str
    method: str
    route: str
    status: int
    minute: int
    count: int
    total_ms: float
    buckets: str


class _Reporter(Struct, frozen=True):
    """A row of `tables.api_reporters`."""

    instance: str
    through: int
    beyond: str
    at: int


async def count(connection: AsyncConnection, reports: Sequence[Report], now: int) -> list[Report]:
    """Add requests that weren't counted yet. The reports to tell of, those of requests in short."""
    told = {
        place: _requests_from(report.data)
        for place, report in enumerate(reports)
        if report.kind == REPORT_KIND
    }
    if not told:
        return list(reports)
    fresh = await _not_counted(connection, told, now)
    await _add(connection, [(reports[place], told[place]) for place in sorted(fresh)])
    return [
        structs.replace(report, data=_summary(told[place])) if place in told else report
        for place, report in enumerate(reports)
        if place not in told or place in fresh
    ]


# --- each report once ---------------------------------------------------------------------------


async def _not_counted(
    connection: AsyncConnection, told: dict[int, ApiRequests], now: int
) -> set[int]:
    """The places of reports that are new, which are remembered."""
    instances = {each.instance for each in told.values()}
    found = await bulk.select(connection, tables.api_reporters, "instance", instances)
    seen = {row.instance: _Numbers(row.through, _numbers_from(row.beyond)) for row in found}
    fresh = {
        place
        for place, each in told.items()
        if seen.setdefault(each.instance, _Numbers()).take(each.number)
    }
    changed = {told[place].instance for place in fresh}
    rows = [
        _Reporter(each, seen[each].through, _to_json(sorted(seen[each].beyond)).decode(), now)
        for each in changed
    ]
    await bulk.put(connection, tables.api_reporters, rows)
    return fresh


class _Numbers:
    """Numbers that were taken: all up to `through`, and those in `beyond`."""

    def __init__(self, through: int = 0, beyond: Iterable[int] = ()) -> None:
        self.through = through
        self.beyond = set(beyond)

    def take(self, number: int) -> bool:
        """Whether it is new."""
        if number <= self.through or number in self.beyond:
            return False
        self.beyond.add(number)
        if len(self.beyond) > MAX_BEYOND:
            self.through = min(self.beyond) - 1
        while self.through + 1 in self.beyond:
            self.through += 1
            self.beyond.remove(self.through)
        return True


# --- adding up ----------------------------------------------------------------------------------


class _Sum:
    def __init__(self, count: int = 0, total_ms: float = 0.0, buckets: Sequence[int] = ()) -> None:
        self.count = count
        self.total_ms = total_ms
        self.buckets = buckets

    def add(self, told: RouteRequests) -> None:
        self.count += told.count
        self.total_ms += told.total_ms
        self.buckets = [a + b for a, b in zip_longest(self.buckets, told.buckets, fillvalue=0)]


async def _add(connection: AsyncConnection, told: Sequence[tuple[Report, ApiRequests]]) -> None:
    added: list[tuple[_Key, RouteRequests]] = []
    for report, requests in told:
        minute = (report.at - requests.age_ms) // _MINUTE_MS * _MINUTE_MS
        api = _cut(report.subject, _MAX_API)
        added += (
            ((api, each.method, _cut(each.route, _MAX_ROUTE), each.status, minute), each)
            for each in requests.routes
        )
    sums = await _load(connection, {key for key, _ in added})
    for key, each in added:
        sums.setdefault(key, _Sum()).add(each)
    rows = [
        _Row(*key, sums[key].count, sums[key].total_ms, _to_json(sums[key].buckets).decode())
        for key in {key for key, _ in added}
    ]
    await bulk.put(connection, tables.api_requests, rows)


async def _load(connection: AsyncConnection, keys: set[_Key]) -> dict[_Key, _Sum]:
    """What is stored of these APIs and minutes."""
    column = tables.api_requests.c
    query = select(tables.api_requests).where(
        column.api.in_({key[0] for key in keys}), column.minute.in_({key[4] for key in keys})
    )
    rows = [_Row(*row) for row in await connection.execute(query)]
    return {
        (row.api, row.method, row.route, row.status, row.minute): _Sum(
            row.count, row.total_ms, _numbers_from(row.buckets)
        )
        for row in rows
    }


def _cut(value: str, most: int) -> str:
    if len(value) > most:
        value = value[: most - 1] + "…"
    return soundness.text(value) or ""


def _summary(told: ApiRequests) -> Raw:
    errors = sum(each.count for each in told.routes if each.status >= _ERRORS)
    return Raw(_to_json({"requests": sum(each.count for each in told.routes), "errors": errors}))
