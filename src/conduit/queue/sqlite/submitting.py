"""submit and start: how jobs come into being."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Sequence

from conduit.core.errors import SubmitConflictError
from conduit.core.events import Event, EventKind, submission_of
from conduit.core.model import Job, JobStatus, NewJob, Terms
from conduit.queue.base import Submitted
from conduit.queue.sqlite import dependencies, rows
from conduit.queue.sqlite.lanes import Ready

_INSERT = f"""
INSERT INTO jobs (
    {rows.TERMS}, id, args, metadata, status, submitted_at, run_at, expires_at, unique_until
) VALUES ({", ".join("?" * len(Terms.__struct_fields__))}, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO NOTHING
"""

_KEY_HOLDER = """
SELECT jobs.id FROM keys JOIN jobs USING (n)
WHERE keys.key = ?1
  AND (jobs.status NOT IN ('completed', 'failed', 'cancelled') OR jobs.unique_until > ?2)
"""

_SAME = "SELECT function, queue, args, after FROM jobs WHERE id = ?"

_START = """
UPDATE jobs
SET status = 'running', attempt = 1, fence = 1, seq = 2, token = ?2, worker_id = ?3, claimed_at = ?4
WHERE id = ?1
"""


def submit(db: sqlite3.Connection, now: int, jobs: Sequence[NewJob]) -> list[Submitted]:
    """Keep a batch; see `Queue.submit`."""
    answers: list[Submitted] = []
    events: list[Event] = []
    ready = Ready()
    for job in jobs:
        holder = None if job.key is None else _other_holder(db, now, job)
        if holder is not None:
            answers.append(Submitted(holder, duplicate=True))
            continue
        answers.append(Submitted(job.id))
        if _insert(db, now, job, events) is JobStatus.QUEUED:
            ready.add(job.queue, job.function, job.priority)
    ready.offer(db)
    rows.append(db, now, events)
    return answers


def start(db: sqlite3.Connection, now: int, job: NewJob, worker_id: str, lease_ms: int) -> Job:
    """Keep one job and lease it at once; see `Queue.start`."""
    events: list[Event] = []
    if _insert(db, now, job, events) is None:
        raise SubmitConflictError(f"job {job.id} exists already and can't be started again")
    token = f"1:{secrets.token_hex(8)}"
    db.execute(_START, (job.id, token, worker_id, now))
    db.execute(
        "INSERT INTO leases (n, expires, term) SELECT n, ?2, ?3 FROM jobs WHERE id = ?1",
        (job.id, now + lease_ms, lease_ms),
    )
    started = Event(
        kind=EventKind.STARTED,
        job_id=job.id,
        seq=2,
        attempt=1,
        at=now,
        status=JobStatus.RUNNING,
        fence=1,
        worker_id=worker_id,
    )
    rows.append(db, now, [*events, started])
    found = db.execute(f"SELECT {rows.COLUMNS} FROM jobs WHERE id = ?", (job.id,))
    return rows.job_from(found.fetchone())


def _other_holder(db: sqlite3.Connection, now: int, job: NewJob) -> str | None:
    """The job that holds this one's key, unless this one is stored already: then it's a repeat."""
    if db.execute(_SAME, (job.id,)).fetchone() is not None:
        return None
    return key_holder(db, now, job.key or "")


def _insert(db: sqlite3.Connection, now: int, job: NewJob, events: list[Event]) -> JobStatus | None:
    """Store the job; the status that it waits in, None when it is stored already.

    Raises `SubmitConflictError`, `DependencyNotFoundError`.
    """
    outstanding: list[dependencies.Ended] = []
    if job.after:
        # Only a new job is asked for what it waits for: of an old one's that may be forgotten.
        if _is_stored(db, job):
            return None
        outstanding = dependencies.look(db, job)
    run_at = job.run_at if job.run_at is not None else now + job.delay_ms
    status = JobStatus.SCHEDULED if run_at > now else JobStatus.QUEUED
    if outstanding:
        status = JobStatus.BLOCKED
    expires_at = None if job.expires_ms is None else now + job.expires_ms
    unique_until = None if job.unique_ms is None else now + job.unique_ms
    terms = rows.terms_row(job)
    moments = (now, run_at, expires_at, unique_until)
    values = (*terms, job.id, job.args, job.metadata, status.value, *moments)
    cursor = db.execute(_INSERT, values)
    n = cursor.lastrowid
    if cursor.rowcount == 0 or n is None:
        _is_stored(db, job)
        return None
    if job.key is not None:
        db.execute("INSERT OR REPLACE INTO keys (key, n) VALUES (?, ?)", (job.key, n))
    events.append(_submitted(job, now, status, run_at, expires_at))
    if outstanding:
        dependencies.keep(db, now, n, outstanding, events)
    return status


def _submitted(
    job: NewJob, now: int, status: JobStatus, run_at: int, expires_at: int | None
) -> Event:
    return Event(
        kind=EventKind.SUBMITTED,
        job_id=job.id,
        seq=1,
        attempt=0,
        at=now,
        status=status,
        run_at=run_at,
        submission=submission_of(job, expires_at),
    )


def _is_stored(db: sqlite3.Connection, job: NewJob) -> bool:
    """Whether this very job is stored. Raises `SubmitConflictError` where another of its id is."""
    stored = db.execute(_SAME, (job.id,)).fetchone()
    if stored is None:
        return False
    *others, after = stored
    if others != [job.function, job.queue, job.args] or rows.ids_json(job.after) != after:
        raise SubmitConflictError(
            f"job {job.id} is stored already with another function, queue, arguments or `after`; "
            "a new job needs a new id"
        )
    return True


def key_holder(db: sqlite3.Connection, now: int, key: str) -> str | None:
    """The job that holds a key: unfinished, or within its unique window."""
    found = db.execute(_KEY_HOLDER, (key, now)).fetchone()
    return None if found is None else found[0]
