"""The raw limit: bare sqlite3 doing the same number of transactions and row writes, no more.

A submit inserts a row; a claim marks a batch of rows and a finish writes their results; each
transaction also appends one row of event text, as long as Conduit's. No fences, no leases, no
scheduling, no functions called.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from benchmarks.measure import Stopwatch, arguments, report

EVENT = b"x" * 170  # about what one event of Conduit takes


def main() -> None:
    """Measure submits one by one, in batches, and the drain."""
    folder, parameters = arguments()
    jobs, single, batch = parameters["jobs"], parameters["single"], parameters["batch"]
    db = _database(folder / "raw.db")
    with Stopwatch() as one_by_one:
        for i in range(single):
            _submit(db, range(i, i + 1))
    db.execute("DELETE FROM jobs")
    with Stopwatch() as batched:
        for i in range(0, jobs, 500):
            _submit(db, range(i, min(i + 500, jobs)))
    with Stopwatch() as drain:
        while _drain_one_batch(db, batch):
            pass
    report(
        single=single / one_by_one.seconds,
        batched=jobs / batched.seconds,
        drain=jobs / drain.seconds,
    )


def _database(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute(
        "CREATE TABLE jobs (n INTEGER PRIMARY KEY, id TEXT UNIQUE, status TEXT, args BLOB, "
        "token TEXT, result BLOB)"
    )
    db.execute("CREATE INDEX ready ON jobs (n) WHERE status = 'queued'")
    db.execute("CREATE TABLE entries (n INTEGER PRIMARY KEY, body BLOB)")
    return db


def _submit(db: sqlite3.Connection, numbers: range) -> None:
    db.execute("BEGIN IMMEDIATE")
    db.executemany(
        "INSERT INTO jobs (id, status, args) VALUES (?, 'queued', X'7B7D')",
        [(f"{number:036d}",) for number in numbers],
    )
    db.execute("INSERT INTO entries (body) VALUES (?)", (EVENT * len(numbers),))
    db.execute("COMMIT")


def _drain_one_batch(db: sqlite3.Connection, batch: int) -> bool:
    db.execute("BEGIN IMMEDIATE")
    rows = db.execute(
        "SELECT n, id, args FROM jobs WHERE status = 'queued' ORDER BY n LIMIT ?", (batch,)
    ).fetchall()
    db.executemany(
        "UPDATE jobs SET status = 'running', token = 'token' WHERE n = ?", [(r[0],) for r in rows]
    )
    db.execute("INSERT INTO entries (body) VALUES (?)", (EVENT * len(rows),))
    db.execute("COMMIT")
    db.execute("BEGIN IMMEDIATE")
    db.executemany(
        "UPDATE jobs SET status = 'completed', result = X'6E756C6C' WHERE n = ?",
        [(r[0],) for r in rows],
    )
    db.execute("INSERT INTO entries (body) VALUES (?)", (EVENT * len(rows),))
    db.execute("COMMIT")
    return bool(rows)


if __name__ == "__main__":
    main()
