"""Jobs that wait for others: what they still wait for, and what becomes of them when that ends."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

from conduit.core.errors import DependencyNotFoundError
from conduit.core.events import Event, EventKind
from conduit.core.model import Job, JobStatus, NewJob
from conduit.core.transitions import dependency_reason
from conduit.queue.sqlite import rows
from conduit.queue.sqlite.lanes import Ready

Ended = tuple[str, JobStatus]
"""A job that has just ended, and how."""

_STATUSES = "SELECT id, status FROM jobs WHERE id IN (SELECT value FROM json_each(?))"

_AWAITED = "SELECT awaited FROM dependencies WHERE awaited IN (SELECT value FROM json_each(?))"

_DEPENDANTS = "SELECT n FROM dependencies WHERE awaited = ?"

_OUTSTANDING = """
SELECT jobs.status FROM dependencies LEFT JOIN jobs ON jobs.id = dependencies.awaited
WHERE dependencies.n = ?
"""

_LEFT_WAITING = """
SELECT id, status FROM jobs
WHERE n IN (SELECT value FROM json_each(?)) AND status IN ('completed', 'failed', 'cancelled')
  AND EXISTS (SELECT 1 FROM dependencies WHERE awaited = jobs.id)
"""

# A row that can't be read stays as it is, and doesn't keep the job that it waits for from its end.
_READABLE = """
CASE WHEN json_valid(after) AND json_type(after) = 'array'
    THEN NOT EXISTS (SELECT 1 FROM json_each(jobs.after) AS named WHERE named.type <> 'text')
    ELSE FALSE
END
"""

_UNBLOCK = f"""
UPDATE jobs
SET status = iif(run_at > ?2, 'scheduled', 'queued'), run_at = max(run_at, ?2), seq = seq + 1
WHERE n IN (SELECT value FROM json_each(?1)) AND status = 'blocked'
  AND NOT EXISTS (SELECT 1 FROM dependencies WHERE dependencies.n = jobs.n)
  AND {_READABLE}
RETURNING n, {rows.COLUMNS}
"""

_ABANDON = f"""
UPDATE jobs SET status = 'cancelled', reason = ?2, seq = seq + 1, finished_at = ?3
WHERE n IN (SELECT value FROM json_each(?1)) AND status = 'blocked'
  AND {_READABLE}
RETURNING n, {rows.COLUMNS}
"""

_BROKEN = (JobStatus.FAILED, JobStatus.CANCELLED)


def look(db: sqlite3.Connection, job: NewJob) -> list[Ended]:
    """What a job to be submitted would wait for: those of its `after` that haven't completed.

    Raises `DependencyNotFoundError`.
    """
    known = dict(db.execute(_STATUSES, (rows.ids_json(job.after),)))
    for awaited in job.after:
        if awaited not in known:
            raise DependencyNotFoundError(job.id, awaited)
    found = [(awaited, JobStatus(known[awaited])) for awaited in job.after]
    return [each for each in found if each[1] is not JobStatus.COMPLETED]


def keep(
    db: sqlite3.Connection, now: int, n: int, outstanding: Sequence[Ended], events: list[Event]
) -> None:
    """Remember what a blocked job waits for; cancel it where that can't complete any more."""
    db.executemany(
        "INSERT OR IGNORE INTO dependencies (n, awaited) VALUES (?, ?)",
        [(n, awaited) for awaited, _ in outstanding],
    )
    broken = next((each for each in outstanding if each[1] in _BROKEN), None)
    if broken is not None:
        _abandon(db, now, [n], broken, events)


def status_after_retry(db: sqlite3.Connection, n: int) -> JobStatus | None:
    """What a retried job becomes; None while it waits for one that has failed or is gone."""
    found = [status for (status,) in db.execute(_OUTSTANDING, (n,))]
    if any(status is None or status in _BROKEN for status in found):
        return None
    return JobStatus.BLOCKED if found else JobStatus.QUEUED


def settle(db: sqlite3.Connection, now: int, ended: Sequence[Ended], events: list[Event]) -> None:
    """Free or cancel whoever waits for jobs that have just ended, and so on from there."""
    awaited = _awaited(db, ended)
    for one in ended:
        if one[0] in awaited:
            _settle_one(db, now, one, events)


def settle_left(
    db: sqlite3.Connection, now: int, numbers: Sequence[int], events: list[Event]
) -> None:
    """Free or cancel whoever waits for finished jobs that are about to be forgotten.

    There is none, unless a job was ended by an older Conduit, which knew nothing of dependants.
    """
    left = db.execute(_LEFT_WAITING, (rows.ids_json(numbers),)).fetchall()
    if left:
        settle(db, now, [(job_id, JobStatus(status)) for job_id, status in left], events)


def _settle_one(db: sqlite3.Connection, now: int, one: Ended, events: list[Event]) -> None:
    if one[1] is JobStatus.COMPLETED:
        _unblock(db, now, one[0], events)
        return
    level = [one]
    while level:
        cancelled: list[str] = []
        for each in level:
            waiting = [n for (n,) in db.execute(_DEPENDANTS, (each[0],))]
            cancelled += _abandon(db, now, waiting, each, events)
        level = [(job_id, JobStatus.CANCELLED) for job_id in cancelled]
        awaited = _awaited(db, level)
        level = [each for each in level if each[0] in awaited]


def _awaited(db: sqlite3.Connection, ended: Iterable[Ended]) -> set[str]:
    """Which of the jobs anybody waits for, or did until it was cancelled."""
    ids = rows.ids_json(job_id for job_id, _ in ended)
    return {job_id for (job_id,) in db.execute(_AWAITED, (ids,))}


def _unblock(db: sqlite3.Connection, now: int, job_id: str, events: list[Event]) -> None:
    """Strike a completed job out; who waits for nothing any more is freed."""
    waiting = db.execute("DELETE FROM dependencies WHERE awaited = ? RETURNING n", (job_id,))
    numbers = rows.ids_json(n for (n,) in waiting)
    jobs = _in_order(db.execute(_UNBLOCK, (numbers, now)))
    ready = Ready()
    ready.add_jobs(job for job in jobs if job.status is JobStatus.QUEUED)
    ready.offer(db)
    events.extend(rows.event(EventKind.UNBLOCKED, job, now, run_at=job.run_at) for job in jobs)


def _abandon(
    db: sqlite3.Connection, now: int, numbers: list[int], cause: Ended, events: list[Event]
) -> list[str]:
    """Cancel those of the jobs that are blocked; their ids."""
    reason = dependency_reason(*cause)
    jobs = _in_order(db.execute(_ABANDON, (rows.ids_json(numbers), reason, now)))
    events.extend(rows.event(EventKind.CANCELLED, job, now, reason=reason) for job in jobs)
    return [job.id for job in jobs]


def _in_order(changed: sqlite3.Cursor) -> list[Job]:
    """Jobs out of rows with their numbers in front, the oldest first."""
    return [rows.job_from(row[1:]) for row in sorted(changed, key=lambda row: row[0])]
