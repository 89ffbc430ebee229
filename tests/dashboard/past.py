"""A past for the history: jobs that ended days ago, put straight into its tables.

What the queue has forgotten stays in the history as it is, so a server takes these for its own.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from msgspec import Struct, structs
from sqlalchemy import Table

from conduit.core.api_requests import BOUNDS_MS
from conduit.core.model import JobStatus
from conduit.server.db import tables
from conduit.server.db.database import Database
from conduit.server.db.rows import AttemptRow, JobRow, LogRow

HOUR = 3_600_000
DAY = 24 * HOUR
MANY_LINES = 50_000
_BATCH = 10_000


@dataclass(frozen=True)
class Kind:
    """What the jobs of one function are like; spans in milliseconds."""

    function: str
    queue: str
    weight: int
    run_ms: float
    failing: float = 0.0
    error: tuple[str, str] = ("", "")


KINDS = (
    Kind("charge", "payments", 30, 180, 0.02, ("CardDeclinedError", "card declined")),
    Kind("place_order", "default", 30, 650, 0.004, ("TaskFailedError", "charge failed")),
    Kind("send_mail", "mail", 25, 90, 0.006, ("SMTPServerDisconnected", "connection lost")),
    Kind("make_label", "media", 22, 30),
    Kind("send_receipt", "default", 20, 25),
    Kind("count_sale", "default", 20, 8),
    Kind("make_thumbnail", "media", 12, 420, 0.01, ("OSError", "image file is truncated")),
    Kind("refund", "default", 2, 240, 0.3, ("RefundError", "the ledger can't be reached")),
    Kind("import_prices", "default", 1, 5200, 0.12, ("FeedError", "the feed broke off")),
    Kind("monthly_report", "reports", 1, 8400, 0.03, ("TimeoutError", "no answer within 5 s")),
)
_WEIGHTS = [kind.weight for kind in KINDS]
_WORKERS = ("orders", "mails", "media", "reports")
_CUSTOMERS = ("Ada", "Grace", "Edsger", "Barbara", "Alan", "Katherine", "Donald", "Frances")


async def fill(database: Database, rows: Iterable[Struct], table: Table) -> None:
    """Put rows into a table of SQLite, many at a time."""
    rows = iter(rows)
    while batch := list(islice(rows, _BATCH)):
        names = ", ".join(f'"{name}"' for name in batch[0].__struct_fields__)
        places = ", ".join("?" * len(batch[0].__struct_fields__))
        statement = f"INSERT INTO {table.name} ({names}) VALUES ({places})"
        async with database.begin() as connection:
            await connection.exec_driver_sql(statement, [_stored(row) for row in batch])


def _stored(row: Struct) -> tuple[Any, ...]:
    """A row's values as its columns have them: lists and maps are JSON."""
    return tuple(
        json.dumps(value) if isinstance(value, (tuple, dict)) else value
        for value in structs.astuple(row)
    )


def jobs(count: int, now: int, span: int = 7 * DAY) -> Iterator[JobRow]:
    """So many finished jobs, the last of them a few seconds before `now`, busier by day."""
    chosen = random.Random(7)
    for number in range(count):
        at = now - 5_000 - int(span * (1 - (number + 1) / count))
        # The rhythm of days: moves jobs from the night into the hours around noon.
        at -= int(1.6 * HOUR * (_rhythm(at) - _rhythm(now)))
        at -= int(chosen.expovariate(1 / 120_000))  # no two minutes are the same
        yield _job(chosen, number, min(at, now - 5_000))


def _rhythm(at: int) -> float:
    return math.sin(2 * math.pi * (at % DAY) / DAY)


def _job(chosen: random.Random, number: int, at: int) -> JobRow:
    (kind,) = chosen.choices(KINDS, _WEIGHTS)
    started_at = at + int(chosen.expovariate(1 / 120))
    failed = chosen.random() < kind.failing
    finished_at = started_at + int(kind.run_ms * chosen.lognormvariate(0, 0.5))
    order = f"A-{10_000 + number}"
    args = {"order_id": order, "cents": chosen.randrange(500, 20_000)}
    type_, message = kind.error
    error = {"type": type_, "message": f"{message} for {order}", "traceback": f"{type_}: {message}"}
    return JobRow(
        id=job_id(at, number),
        function=kind.function,
        queue=kind.queue,
        status=JobStatus.FAILED if failed else JobStatus.COMPLETED,
        args=json.dumps(args | {"customer": chosen.choice(_CUSTOMERS)}),
        submitted_at=at,
        run_at=at,
        priority=0,
        key=f"pay:{order}" if kind.function == "charge" else None,
        max_deliveries=3,
        claimed_at=started_at,
        started_at=started_at,
        finished_at=finished_at,
        generation=1,
        attempt=1,
        failures=int(failed),
        rescues=0,
        fence=1,
        seq=3,
        worker_id=f"{_WORKERS[number % 4]}-web1-{4100 + number % 4}-5eed{number % 4:04d}",
        reason="error" if failed else None,
        error=json.dumps(error) if failed else None,
        result=None if failed else '{"ok":true}',
        progress=None,
        applied_at=finished_at,
    )


def job_id(at: int, number: int) -> str:
    """A UUID of version 7 for a time: as real ones are, and the same each time."""
    spread = number * 0x9E3779B97F4A7C15 % 2**62
    text = f"{at:012x}7{number & 0xFFF:03x}{spread | 2**63:016x}"
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


# --- one job with very many lines ------------------------------------------------------------


def talkative_job(now: int) -> JobRow:
    """A job that ended an hour ago, whose log is `talkative_lines`."""
    at = now - HOUR
    return structs.replace(
        _job(random.Random(1), 0, at),
        id=job_id(at, 50_000),
        function="crawl_catalogue",
        status=JobStatus.COMPLETED,
        args='{"pages":50000}',
        error=None,
        reason=None,
        key=None,
        result="50000",
        attempt=50,
        fence=50,
        failures=49,
        finished_at=at + 100_000,
    )


def talkative_attempts(job: JobRow) -> Iterator[AttemptRow]:
    """Fifty, each as long as the other."""
    for number in range(1, 51):
        started_at = job.submitted_at + 2_000 * (number - 1)
        yield AttemptRow(
            job_id=job.id,
            fence=number,
            generation=1,
            attempt=number,
            worker_id=job.worker_id,
            claimed_at=started_at,
            started_at=started_at,
            ended_at=started_at + 1_900,
            outcome="completed" if number == 50 else "retrying",
        )


def talkative_lines(job: JobRow) -> Iterator[LogRow]:
    """`MANY_LINES` of them, a thousand to each attempt."""
    levels = ("info", "info", "info", "debug", "warning", "info", "info", "error")
    for number in range(1, MANY_LINES + 1):
        yield LogRow(
            job_id=job.id,
            number=number,
            at=job.submitted_at + 2 * number,
            attempt=(number - 1) // 1000 + 1,
            level=levels[number % len(levels)],
            logger="crawler",
            message=f"page {number} of {MANY_LINES}: 200 OK in {number % 97} ms",
        )


# --- requests of an API ----------------------------------------------------------------------


class ApiRow(Struct, frozen=True, kw_only=True):
    """The columns of `tables.api_requests`."""

    api: str
    method: str
    route: str
    status: int
    minute: int
    count: int
    total_ms: float
    buckets: str


_ROUTES = (
    ("POST", "/orders", 202, 9, 60.0),
    ("POST", "/orders", 422, 1, 4.0),
    ("GET", "/orders/{order_id}", 200, 24, 12.0),
    ("GET", "/orders/{order_id}", 500, 1, 30.0),
    ("GET", "/stock/{sku}", 200, 40, 3.0),
)


def api_requests(now: int, hours: int = 6) -> Iterator[ApiRow]:
    """What the shop's API was asked for in the last hours, minute by minute."""
    chosen = random.Random(3)
    first = (now - hours * HOUR) // 60_000 * 60_000
    for minute in range(first, now - 60_000, 60_000):
        for method, route, status, often, latency in _ROUTES:
            times = [
                latency * chosen.lognormvariate(0, 0.4) for _ in range(chosen.randrange(2 * often))
            ]
            if times:
                yield ApiRow(
                    api="shop",
                    method=method,
                    route=route,
                    status=status,
                    minute=minute,
                    count=len(times),
                    total_ms=sum(times),
                    buckets=json.dumps(_buckets(times)),
                )


def _buckets(times: Sequence[float]) -> list[int]:
    counts = [0] * (len(BOUNDS_MS) + 1)
    for time in times:
        counts[sum(bound < time for bound in BOUNDS_MS)] += 1
    while counts and not counts[-1]:
        counts.pop()
    return counts


async def make_history(url: str, now: int, count: int) -> str:
    """A history with a past; the id of the talkative job in it."""
    talkative = talkative_job(now)
    async with Database(url) as database:
        await fill(database, jobs(count, now), tables.jobs)
        await fill(database, [talkative], tables.jobs)
        await fill(database, talkative_attempts(talkative), tables.attempts)
        await fill(database, talkative_lines(talkative), tables.logs)
        await fill(database, api_requests(now), tables.api_requests)
        await database.take_stock()
    return talkative.id
