"""How long the history takes to answer, a million jobs in it: `python -m benchmarks.server_list`.

Every list is asked for as the API does: a page of 50 and the exact total under the same filters, in
one transaction of one moment. Each question is asked with other values each time, so that no answer
comes from having just been given. PostgreSQL runs with the settings it comes with; `--explain`
shows its plan for the slowest list.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import psycopg
from msgspec import structs
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncConnection

from benchmarks import measure
from conduit.core.model import JobStatus
from conduit.server.db import queries, statistics, tables
from conduit.server.db.database import Database
from conduit.server.db.queries import JobQuery, Sort
from conduit.server.db.rows import JobRow
from conduit.server.db.statistics import Window
from conduit.server.ingest import bulk
from tests.servers.postgres import PostgresServer

HOUR = 3_600_000
NOW = 1_790_000_000_000
SPAN = 7 * 24 * HOUR
"""The jobs were submitted evenly over the last week."""

FUNCTIONS = [f"service.function_{number}" for number in range(30)]
QUEUES = ["default", "mail", "reports", "slow", "urgent"]
WORKERS = [f"worker-{number}:{1000 + number}:c0ffee{number:02d}" for number in range(40)]

Ask = Callable[[AsyncConnection, random.Random], Awaitable[Any]]


# --- the history ---------------------------------------------------------------------------------


def jobs(count: int) -> Iterator[JobRow]:
    """A week of a service's life: nearly all completed, some failed, a few under way."""
    chosen = random.Random(1)
    for number in range(count):
        submitted_at = NOW - SPAN + SPAN * number // count
        age = count - number
        started_at = submitted_at + int(chosen.expovariate(1 / 200))
        finished_at = started_at + int(chosen.expovariate(1 / 1500))
        fate = chosen.random()
        if age < 2000:
            status = JobStatus.QUEUED if age < 1900 else JobStatus.RUNNING
        else:
            status = JobStatus.COMPLETED
            if fate < 0.03:
                status = JobStatus.FAILED
            elif fate < 0.035:
                status = JobStatus.CANCELLED
        running, ended = status is JobStatus.RUNNING, status.finished
        # A few functions make most of the jobs.
        function = FUNCTIONS[min(int(chosen.expovariate(1 / 4)), len(FUNCTIONS) - 1)]
        args = {"order_id": f"ord_{number:07d}", "customer": f"c{chosen.randrange(50_000)}"}
        yield JobRow(
            id=job_id(number),
            function=function,
            queue=QUEUES[min(int(chosen.expovariate(1)), len(QUEUES) - 1)],
            status=status,
            args=json.dumps({**args, "note": "x" * chosen.randrange(80)}),
            submitted_at=submitted_at,
            run_at=submitted_at,
            priority=0,
            key=f"key-{number}" if fate > 0.9 else None,
            parent_id=job_id(number - number % 20) if number % 20 and fate > 0.8 else None,
            root_id=job_id(number - number % 20) if number % 20 and fate > 0.8 else None,
            max_deliveries=3,
            started_at=started_at if running or ended else None,
            finished_at=finished_at if ended else None,
            generation=1,
            attempt=1,
            failures=1 if status is JobStatus.FAILED else 0,
            rescues=0,
            fence=1,
            seq=3,
            worker_id=chosen.choice(WORKERS) if running or ended else None,
            reason="error" if status is JobStatus.FAILED else None,
            error='{"type":"CardError","message":"card declined","traceback":"…"}'
            if status is JobStatus.FAILED
            else None,
            result='{"ok":true}' if status is JobStatus.COMPLETED else None,
            applied_at=submitted_at,
        )


def job_id(number: int) -> str:
    """As long as a real one, and as well spread."""
    return f"0199f1f0-{number >> 16:04x}-7{number & 0xFFF:03x}-8d7e-{number * 7919:012x}"


def fill_postgresql(url: str, count: int) -> None:
    """Put the jobs in, and let PostgreSQL do what its autovacuum does in time."""
    names = ", ".join(f'"{name}"' for name in JobRow.__struct_fields__)
    with psycopg.connect(url, autocommit=True) as connection:
        with connection.cursor().copy(f"COPY jobs ({names}) FROM STDIN") as copy:
            for row in jobs(count):
                copy.write_row(
                    json.dumps(value) if isinstance(value, (tuple, dict)) else value
                    for value in structs.astuple(row)
                )
        connection.execute("VACUUM ANALYZE jobs")


async def fill_sqlite(database: Database, count: int) -> None:
    """Put the jobs in, and tell SQLite of their numbers."""
    rows = jobs(count)
    while batch := list(islice(rows, 20_000)):
        async with database.begin() as connection:
            await bulk.put(connection, tables.jobs, batch)
    await database.take_stock()


# --- the questions -------------------------------------------------------------------------------


def a_list(make: Callable[[random.Random], JobQuery], **options: Any) -> Ask:
    async def ask(connection: AsyncConnection, chosen: random.Random) -> None:
        await queries.list_jobs(connection, make(chosen), **options)

    return ask


def an_hour(chosen: random.Random) -> dict[str, int]:
    after = NOW - SPAN + chosen.randrange(SPAN - HOUR)
    return {"submitted_after": after, "submitted_before": after + HOUR}


def _statistics(span: int) -> Ask:
    async def ask(connection: AsyncConnection, chosen: random.Random) -> None:
        before = NOW - chosen.randrange(HOUR)
        await statistics.statistics(connection, Window(after=before - span, before=before))

    return ask


def _trends(span: int, bucket_ms: int) -> Ask:
    async def ask(connection: AsyncConnection, chosen: random.Random) -> None:
        before = NOW - chosen.randrange(HOUR)
        await statistics.trends(connection, Window(after=before - span, before=before), bucket_ms)

    return ask


def questions(count: int) -> dict[str, Ask]:
    """By what they are called in the table."""
    failed, completed = JobStatus.FAILED, JobStatus.COMPLETED
    live = (JobStatus.QUEUED, JobStatus.RUNNING)

    def number(chosen: random.Random) -> int:
        return chosen.randrange(count // 10, count)

    return {
        "all, newest": a_list(lambda _: JobQuery()),
        "all, offset 100 000": a_list(lambda _: JobQuery(), offset=100_000),
        "all, last finished": a_list(lambda _: JobQuery(), sort=Sort.LAST_FINISHED),
        "all, longest": a_list(lambda _: JobQuery(), sort=Sort.LONGEST),
        "status completed": a_list(lambda _: JobQuery(statuses=(completed,))),
        "status failed": a_list(lambda _: JobQuery(statuses=(failed,))),
        "status queued or running": a_list(lambda _: JobQuery(statuses=live)),
        "status failed, an hour": a_list(lambda c: JobQuery(statuses=(failed,), **an_hour(c))),
        "an hour": a_list(lambda c: JobQuery(**an_hour(c))),
        "function, common": a_list(lambda c: JobQuery(functions=(c.choice(FUNCTIONS[:5]),))),
        "function, rare": a_list(lambda c: JobQuery(functions=(c.choice(FUNCTIONS[25:]),))),
        "function, failed": a_list(
            lambda c: JobQuery(functions=(c.choice(FUNCTIONS[:5]),), statuses=(failed,))
        ),
        "queue": a_list(lambda c: JobQuery(queues=(c.choice(QUEUES),))),
        "worker": a_list(lambda c: JobQuery(worker_ids=(c.choice(WORKERS),))),
        "2 workers, 2 statuses": a_list(
            lambda c: JobQuery(
                worker_ids=tuple(c.sample(WORKERS, 2)), statuses=(failed, JobStatus.CANCELLED)
            )
        ),
        "key": a_list(lambda c: JobQuery(key=f"key-{number(c)}")),
        "root": a_list(lambda c: JobQuery(root_id=job_id(number(c) // 20 * 20))),
        "q, an id": a_list(lambda c: JobQuery(q=job_id(number(c)))),
        "q, an argument": a_list(lambda c: JobQuery(q=f"ord_{number(c):07d}")),
        "q, failed": a_list(lambda c: JobQuery(q=f"c{number(c)}", statuses=(failed,))),
        "q, many": a_list(lambda c: JobQuery(q=c.choice(["function_1", "card", "worker-2"]))),
        "statistics, a day": _statistics(24 * HOUR),
        "statistics, a week": _statistics(SPAN),
        "trends, a day by 15 min": _trends(24 * HOUR, HOUR // 4),
    }


async def measured(database: Database, count: int, repeats: int) -> dict[str, list[float]]:
    """Milliseconds of each question, each time it was asked."""
    chosen, found = random.Random(2), dict[str, list[float]]()
    for name, ask in questions(count).items():
        times = found[name] = []
        for number in range(repeats + 1):
            began = time.perf_counter()
            async with database.read() as connection:
                await ask(connection, chosen)
            if number:  # the first fills caches
                times.append((time.perf_counter() - began) * 1000)
    return found


# --- the report ----------------------------------------------------------------------------------


def show(title: str, found: dict[str, list[float]]) -> None:
    print(f"\n{title}\n\n| question | p50 ms | p95 ms |\n|---|---|---|")
    for name, times in found.items():
        p50, p95 = measure.percentile(times, 0.5), measure.percentile(times, 0.95)
        print(f"| {name} | {p50:.1f} | {p95:.1f} |")


@contextmanager
def explained(url: str) -> Iterator[None]:
    """Print the plan of every query that runs meanwhile."""
    seen: list[tuple[str, Any]] = []

    def note(_c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        seen.append((statement, parameters))

    from sqlalchemy.engine import Engine

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    with psycopg.connect(url) as connection:
        for statement, parameters in seen:
            plan = connection.execute(f"EXPLAIN (ANALYZE, BUFFERS) {statement}", parameters)
            print("\n".join(line for (line,) in plan), "\n")


async def on_postgresql(folder: Path, count: int, repeats: int, explain: str) -> None:
    server = PostgresServer(folder)
    server.start()
    try:
        async with Database(server.url, migrate=True) as database:
            began = time.perf_counter()
            await asyncio.to_thread(fill_postgresql, server.url, count)
            size = server.execute("SELECT pg_size_pretty(pg_total_relation_size('jobs'))")[0][0]
            print(f"{count:,} jobs, {size}, put in in {time.perf_counter() - began:.0f} s")
            if explain:
                with explained(server.url):
                    async with database.read() as connection:
                        await questions(count)[explain](connection, random.Random(3))
                return
            found = await measured(database, count, repeats)
            version = server.execute("SHOW server_version")[0][0]
            show(f"PostgreSQL {version}, {count:,} jobs, {measure.machine()}", found)
    finally:
        await asyncio.to_thread(server.remove)


async def on_sqlite(folder: Path, count: int, repeats: int) -> None:
    async with Database(f"sqlite:///{folder}/history.db") as database:
        await fill_sqlite(database, count)
        show(f"SQLite, {count:,} jobs", await measured(database, count, repeats))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--only", choices=("postgresql", "sqlite"))
    parser.add_argument("--explain", metavar="QUESTION", default="")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        if options.only != "sqlite":
            asyncio.run(on_postgresql(folder, options.jobs, options.repeats, options.explain))
        if options.only != "postgresql" and not options.explain:
            asyncio.run(on_sqlite(folder, options.jobs, options.repeats))


if __name__ == "__main__":
    main()
