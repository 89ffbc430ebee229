"""cancel, retry, delete, pause, resume: what people do to jobs, queues and functions."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

from msgspec import structs

from conduit.core.events import Event, EventKind, Report
from conduit.core.model import Job, JobStatus
from conduit.core.transitions import Verb, allowed
from conduit.queue.base import Acted, Action
from conduit.queue.sqlite import dependencies, rows
from conduit.queue.sqlite.lanes import Ready
from conduit.queue.sqlite.submitting import key_holder
from conduit.queue.sqlite.sweeping import forget

_SELECT = f"""
SELECT n, {rows.COLUMNS} FROM jobs WHERE id IN (SELECT value FROM json_each(?))
"""

_NUMBERS = "SELECT n FROM jobs WHERE id IN (SELECT value FROM json_each(?))"

_CANCEL_WAITING = """
UPDATE jobs SET status = 'cancelled', reason = ?2, seq = seq + 1, finished_at = ?3 WHERE n = ?1
"""

_ASK_TO_CANCEL = """
UPDATE jobs SET cancel_requested = 1, reason = ?2, seq = seq + 1 WHERE n = ?1
"""

_REQUEUE = """
UPDATE jobs
SET status = ?3, generation = generation + 1, failures = 0, rescues = 0, seq = seq + 1,
    run_at = ?2, expires_at = NULL, unique_until = NULL, claimed_at = NULL,
    started_at = NULL, finished_at = NULL,
    cancel_requested = 0, reason = NULL, error = NULL, result = NULL, progress = NULL,
    progress_message = NULL, front = 1
WHERE n = ?1
"""


def _load(db: sqlite3.Connection, job_ids: Iterable[str]) -> dict[str, tuple[int, Job]]:
    found = [
        (row[0], rows.job_from(row[1:])) for row in db.execute(_SELECT, (rows.ids_json(job_ids),))
    ]
    return {job.id: (n, job) for n, job in found}


def cancel(db: sqlite3.Connection, now: int, job_ids: Sequence[str], reason: str) -> list[Action]:
    """Cancel jobs; see `Queue.cancel`."""
    events: list[Event] = []
    answers: list[Action] = []
    for job_id in job_ids:
        n, job = _load(db, [job_id]).get(job_id, (0, None))
        if job is None:
            answers.append(Action(Acted.UNKNOWN))
        elif not allowed(Verb.CANCEL, job.status):
            answers.append(Action(Acted.REFUSED, job.status))
        elif job.status is JobStatus.RUNNING:
            answers.append(Action(Acted.REQUESTED, job.status))
            if not job.cancel_requested:
                db.execute(_ASK_TO_CANCEL, (n, reason))
                asked = structs.replace(job, seq=job.seq + 1)
                events.append(rows.event(EventKind.CANCEL_REQUESTED, asked, now, reason=reason))
        else:
            answers.append(Action(Acted.DONE, JobStatus.CANCELLED))
            db.execute(_CANCEL_WAITING, (n, reason, now))
            ended = structs.replace(job, seq=job.seq + 1, status=JobStatus.CANCELLED)
            events.append(rows.event(EventKind.CANCELLED, ended, now, reason=reason))
            dependencies.settle(db, now, [(job_id, JobStatus.CANCELLED)], events)
    rows.append(db, now, events)
    return answers


def retry(db: sqlite3.Connection, now: int, job_ids: Sequence[str]) -> list[Action]:
    """Open new generations; see `Queue.retry`."""
    events: list[Event] = []
    answers: list[Action] = []
    ready = Ready()
    for job_id in job_ids:
        n, job = _load(db, [job_id]).get(job_id, (0, None))
        if job is None:
            answers.append(Action(Acted.UNKNOWN))
        elif not allowed(Verb.RETRY, job.status):
            answers.append(Action(Acted.REFUSED, job.status))
        elif (status := dependencies.status_after_retry(db, n)) is None:
            answers.append(Action(Acted.DEPENDENCY, job.status))
        elif not _take_key(db, now, n, job):
            answers.append(Action(Acted.KEY_TAKEN, job.status))
        else:
            answers.append(Action(Acted.DONE, status))
            db.execute(_REQUEUE, (n, now, status.value))
            again = structs.replace(
                job,
                status=status,
                generation=job.generation + 1,
                seq=job.seq + 1,
                failures=0,
                rescues=0,
            )
            if status is JobStatus.QUEUED:
                ready.add_jobs([again])
            events.append(rows.event(EventKind.REQUEUED, again, now, run_at=now))
    ready.offer(db)
    rows.append(db, now, events)
    return answers


def _take_key(db: sqlite3.Connection, now: int, n: int, job: Job) -> bool:
    """Let the job hold its key again; False when another job holds it."""
    if job.key is None:
        return True
    if key_holder(db, now, job.key) not in (None, job.id):
        return False
    db.execute("INSERT OR REPLACE INTO keys (key, n) VALUES (?, ?)", (job.key, n))
    return True


def delete(db: sqlite3.Connection, now: int, job_ids: Sequence[str]) -> list[Action]:
    """Forget finished jobs; see `Queue.delete`."""
    events: list[Event] = []
    numbers = [n for (n,) in db.execute(_NUMBERS, (rows.ids_json(job_ids),))]
    dependencies.settle_left(db, now, numbers, events)
    jobs = _load(db, job_ids)
    answers: list[Action] = []
    gone: list[int] = []
    for job_id in job_ids:
        n, job = jobs.pop(job_id, (0, None))
        if job is None:
            answers.append(Action(Acted.UNKNOWN))
        elif not job.status.finished:
            answers.append(Action(Acted.REFUSED, job.status))
        else:
            gone.append(n)
            answers.append(Action(Acted.DONE))
            last = structs.replace(job, seq=job.seq + 1)
            events.append(rows.event(EventKind.DELETED, last, now))
    forget(db, gone)
    rows.append(db, now, events)
    return answers


def pause(db: sqlite3.Connection, now: int, queue: str) -> None:
    """Stop claims from a queue."""
    statement = "INSERT OR IGNORE INTO paused_queues (queue) VALUES (?)"
    _switch(db, now, statement, "queue.paused", queue)


def resume(db: sqlite3.Connection, now: int, queue: str) -> None:
    """Allow claims from a queue."""
    _switch(db, now, "DELETE FROM paused_queues WHERE queue = ?", "queue.resumed", queue)


def pause_function(db: sqlite3.Connection, now: int, name: str) -> None:
    """Stop claims of a function's jobs."""
    statement = "INSERT OR IGNORE INTO paused_functions (function) VALUES (?)"
    _switch(db, now, statement, "function.paused", name)


def resume_function(db: sqlite3.Connection, now: int, name: str) -> None:
    """Allow claims of a function's jobs."""
    _switch(db, now, "DELETE FROM paused_functions WHERE function = ?", "function.resumed", name)


def _switch(db: sqlite3.Connection, now: int, statement: str, kind: str, subject: str) -> None:
    """Change one row by its name, and report it unless it was so already."""
    if db.execute(statement, (subject,)).rowcount:
        rows.append(db, now, [], [Report(kind=kind, subject=subject, at=now)])


def paused_functions(db: sqlite3.Connection) -> list[str]:
    """Names of the functions that are paused."""
    return [name for (name,) in db.execute("SELECT function FROM paused_functions ORDER BY 1")]
