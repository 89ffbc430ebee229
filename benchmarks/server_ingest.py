"""How many events a second the server takes into its history.

    python -m benchmarks.server_ingest [DATABASE_URL] [--jobs 20000] [--batch 1000]

Jobs are submitted to a SQLite queue, claimed and completed in batches of a hundred; then their
events (three for each job, with arguments of about 200 bytes) are applied to the history, first
without the queue, then through the whole ingest: read, apply, commit, acknowledge.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

from conduit.core.model import Lease, NewJob
from conduit.core.transitions import OutcomeKind
from conduit.queue.base import Claim, Outcome, StoredEntry
from conduit.queue.sqlite import SqliteQueue
from conduit.server.db import tables
from conduit.server.db.database import Database
from conduit.server.ingest.apply import apply_entries
from conduit.server.ingest.consumer import Ingest

AT_ONCE = 100
_ARGS = b'{"order_id":"%s","cents":1999,"note":"%s"}' % (uuid4().hex.encode(), b"x" * 120)


async def fill(queue: SqliteQueue, jobs: int) -> None:
    """Let a queue run that many jobs."""
    for _ in range(0, jobs, AT_ONCE):
        await queue.submit(
            [NewJob(id=str(uuid4()), function="charge", args=_ARGS) for _ in range(AT_ONCE)]
        )
        claimed = await queue.claim(
            Claim(worker_id="w1", queues=("default",), functions=("charge",), limit=AT_ONCE)
        )
        await queue.finish(
            [
                Outcome(
                    lease=Lease(job.id, job.token or ""),
                    kind=OutcomeKind.COMPLETE,
                    result=b'{"receipt":1}',
                )
                for job in claimed
            ]
        )


async def applied(entries: list[StoredEntry], database: Database, batch: int) -> float:
    """Apply entries, about `batch` events in one transaction; events a second."""
    many = sum(len(stored.entry.events) for stored in entries)
    step = max(1, batch // AT_ONCE)
    started = time.perf_counter()
    for first in range(0, len(entries), step):
        async with database.begin() as connection:
            await apply_entries(connection, entries[first : first + step], now=first)
    return many / (time.perf_counter() - started)


async def ingested(queue: SqliteQueue, database: Database, events: int) -> float:
    """Let the whole ingest take in all that the queue has to tell; events a second."""
    done = asyncio.Event()

    def publish(_: object) -> None:
        if ingest.metrics.applied == events:
            done.set()

    ingest = Ingest(queue, database, publish)
    started = time.perf_counter()
    await ingest.start()
    await done.wait()
    took = time.perf_counter() - started
    await ingest.stop()
    return events / took


async def main(url: str | None, jobs: int, batch: int) -> None:
    with TemporaryDirectory() as folder:
        queue = SqliteQueue(Path(folder) / "queue.db")
        async with (
            queue,
            Database(url or f"sqlite:///{folder}/history.db", migrate=True) as database,
        ):
            await fill(queue, jobs)
            entries: list[StoredEntry] = []
            while more := await queue.read_events("benchmark", "one"):
                entries += more
            print(f"apply:  {await applied(entries, database, batch):,.0f} events/s")
            async with database.begin() as connection:
                for table in (tables.jobs, tables.attempts, tables.changes):
                    await connection.execute(table.delete())
            print(f"ingest: {await ingested(queue, database, 3 * jobs):,.0f} events/s")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("database_url", nargs="?")
    parser.add_argument("--jobs", type=int, default=20_000)
    parser.add_argument("--batch", type=int, default=1_000)
    given = parser.parse_args()
    asyncio.run(main(given.database_url, given.jobs, given.batch))
