"""get, find, logs, artifacts, queues: questions, no changes."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from conduit.core.model import Artifact, Job, Lease, Level, LogLine, QueueInfo
from conduit.queue.base import JobFilter, JobPage
from conduit.queue.sqlite import rows

_CURSOR = "n"  # a cursor is this letter and the last row's number

_QUEUES = """
SELECT name, sum(queued), sum(scheduled), sum(running), sum(blocked), min(oldest), max(paused)
FROM (
    SELECT queue AS name, count(*) AS queued, 0 AS scheduled, 0 AS running, 0 AS blocked,
           min(run_at) AS oldest, 0 AS paused
    FROM jobs WHERE status = 'queued' GROUP BY queue
    UNION ALL
    SELECT queue, 0, count(*), 0, 0, NULL, 0 FROM jobs WHERE status = 'scheduled' GROUP BY queue
    UNION ALL
    SELECT queue, 0, 0, count(*), 0, NULL, 0 FROM leases JOIN jobs USING (n) GROUP BY queue
    UNION ALL
    SELECT queue, 0, 0, 0, count(*), NULL, 0 FROM jobs WHERE status = 'blocked' GROUP BY queue
    UNION ALL
    SELECT queue, 0, 0, 0, 0, NULL, 1 FROM paused_queues
    UNION ALL
    SELECT DISTINCT value, 0, 0, 0, 0, NULL, 0
    FROM workers, json_each(CAST(workers.info AS TEXT), '$.queues') WHERE seen_at > ?1
)
GROUP BY name ORDER BY name
"""

_DUE = """
SELECT min(due) FROM (
    SELECT (
        SELECT min(run_at) FROM jobs WHERE status = 'scheduled' AND jobs.queue = wanted.value
    ) AS due FROM json_each(?) AS wanted
)
"""


def get(db: sqlite3.Connection, job_ids: Sequence[str]) -> list[Job | None]:
    """Jobs by id; see `Queue.get`."""
    found = db.execute(
        f"SELECT {rows.COLUMNS} FROM jobs WHERE id IN (SELECT value FROM json_each(?))",
        (rows.ids_json(job_ids),),
    )
    jobs = {job.id: job for job in map(rows.job_from, found)}
    return [jobs.get(job_id) for job_id in job_ids]


def find(db: sqlite3.Connection, wanted: JobFilter, limit: int, cursor: str | None) -> JobPage:
    """A page of jobs; see `Queue.find`."""
    where, parameters = _conditions(wanted)
    (total,) = db.execute(f"SELECT count(*) FROM jobs WHERE {where}", parameters).fetchone()
    if cursor is not None:
        where += " AND n < ?"
        parameters.append(_cursor_row(cursor))
    query = f"SELECT n, {rows.COLUMNS} FROM jobs WHERE {where} ORDER BY n DESC LIMIT ?"
    found = db.execute(query, [*parameters, limit + 1]).fetchall()
    more = f"{_CURSOR}{found[limit - 1][0]}" if len(found) > limit else None
    return JobPage([rows.job_from(row[1:]) for row in found[:limit]], total, more)


def _cursor_row(cursor: str) -> int:
    digits = cursor.removeprefix(_CURSOR)
    if digits == cursor or not digits.isascii() or not digits.isdigit() or len(digits) > 18:
        raise ValueError(f"{cursor!r} isn't a cursor of this queue: pass a page's next_cursor")
    return int(digits)


def _conditions(wanted: JobFilter) -> tuple[str, list[Any]]:
    where = ["1"]
    parameters: list[Any] = []
    alternatives = {
        "status": wanted.statuses,
        "function": wanted.functions,
        "queue": wanted.queues,
        "worker_id": wanted.worker_ids,
    }
    for column, values in alternatives.items():
        if values:
            where.append(f"{column} IN (SELECT value FROM json_each(?))")
            parameters.append(rows.ids_json(values))
    comparisons = {
        "key = ?": wanted.key,
        "parent_id = ?": wanted.parent_id,
        "root_id = ?": wanted.root_id,
        "submitted_at >= ?": wanted.submitted_after,
        "submitted_at < ?": wanted.submitted_before,
    }
    for condition, value in comparisons.items():
        if value is not None:
            where.append(condition)
            parameters.append(value)
    return " AND ".join(where), parameters


def finished(db: sqlite3.Connection, job_ids: Sequence[str]) -> tuple[list[Job], str | None]:
    """Those of the jobs that are finished, and the first id that isn't stored."""
    states = dict(
        db.execute(
            "SELECT id, finished_at FROM jobs WHERE id IN (SELECT value FROM json_each(?))",
            (rows.ids_json(job_ids),),
        ).fetchall()
    )
    missing = next((job_id for job_id in job_ids if job_id not in states), None)
    done = [job_id for job_id, at in states.items() if at is not None]
    return [job for job in get(db, done) if job is not None] if done else [], missing


def cancels(db: sqlite3.Connection, worker_id: str) -> list[Lease]:
    """Leases of a worker whose jobs are to be cancelled."""
    found = db.execute(
        "SELECT id, token FROM jobs "
        "WHERE status = 'running' AND cancel_requested = 1 AND worker_id = ?",
        (worker_id,),
    )
    return [Lease(job_id, token) for job_id, token in found]


def next_due(db: sqlite3.Connection, queues: Sequence[str]) -> int | None:
    """When the next scheduled job of these queues is due."""
    (due,) = db.execute(_DUE, (rows.ids_json(queues),)).fetchone()
    return due


def logs(db: sqlite3.Connection, job_id: str) -> list[LogLine]:
    """A job's log; see `Queue.logs`."""
    found = db.execute(
        "SELECT logs.at, logs.level, logs.logger, logs.message, logs.attempt, logs.number "
        "FROM logs JOIN jobs USING (n) WHERE jobs.id = ? ORDER BY logs.number",
        (job_id,),
    )
    return [
        LogLine(at, Level(level), logger, message, attempt, number)
        for at, level, logger, message, attempt, number in found
    ]


def artifacts(db: sqlite3.Connection, job_id: str) -> list[Artifact]:
    """What a job kept; see `Queue.artifacts`."""
    found = db.execute(
        "SELECT name, content_type, size, sha256 FROM artifacts JOIN jobs USING (n) "
        "WHERE jobs.id = ? ORDER BY name",
        (job_id,),
    )
    return [Artifact(*row) for row in found]


def artifact(db: sqlite3.Connection, job_id: str, name: str) -> bytes | None:
    """An artifact's bytes; see `Queue.artifact`."""
    found = db.execute(
        "SELECT data FROM artifacts JOIN jobs USING (n) WHERE jobs.id = ? AND name = ?",
        (job_id, name),
    ).fetchone()
    return None if found is None else found[0]


def queues(db: sqlite3.Connection, alive_since: int) -> list[QueueInfo]:
    """Queues with their depth; see `Queue.queues`."""
    return [
        QueueInfo(
            name=name,
            queued=queued,
            scheduled=scheduled,
            running=running,
            blocked=blocked,
            oldest_at=oldest,
            paused=bool(paused),
        )
        for name, queued, scheduled, running, blocked, oldest, paused in db.execute(
            _QUEUES, (alive_since,)
        )
    ]
