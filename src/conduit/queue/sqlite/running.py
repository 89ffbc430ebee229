"""claim, extend, finish, record: what workers do to jobs."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from conduit.core.events import Event, EventKind
from conduit.core.model import Job, JobStatus, Lease, LogLine
from conduit.core.transitions import Ending, began_at, settle
from conduit.queue.base import Claim, Finished, Held, Note, Outcome
from conduit.queue.sqlite import dependencies, rows
from conduit.queue.sqlite.lanes import Ready, choose
from conduit.queue.sqlite.rows import State
from conduit.queue.sqlite.turns import Turns

_CLAIM = """
UPDATE jobs
SET status = 'running', front = 1, attempt = failures + rescues + 1, fence = fence + 1,
    seq = seq + 1, token = (fence + 1) || ?2, worker_id = ?3, claimed_at = ?4,
    started_at = NULL, progress = NULL, progress_message = NULL, reason = NULL
WHERE n IN (SELECT value FROM json_each(?1))
"""

_LEASE = """
INSERT OR REPLACE INTO leases (n, expires, term) SELECT value, ?2, ?3 FROM json_each(?1)
"""

_CLAIMED = f"""
SELECT json_group_array(json(line)) FROM (
    SELECT {rows.JSON_ROW} AS line
    FROM json_each(?1) AS chosen JOIN jobs ON jobs.n = chosen.value ORDER BY chosen.key
)
"""

_PROMOTE = f"""
UPDATE jobs SET status = 'queued', seq = seq + 1
WHERE n IN (SELECT n FROM jobs WHERE status = 'scheduled' AND run_at <= ?1 ORDER BY run_at LIMIT ?2)
RETURNING {rows.COLUMNS}
"""

_BY_ID = f"""
SELECT n, {rows.COLUMNS} FROM jobs WHERE id IN (SELECT value FROM json_each(?))
"""

# What finish needs to know, without reading payloads again.
_STATE = """
SELECT json_group_array(json_array(
    id, n, status, token, cancel_requested, generation, attempt, failures, rescues, fence, seq,
    claimed_at, started_at, reason, EXISTS (SELECT 1 FROM dependencies WHERE awaited = jobs.id)
)) FROM jobs WHERE id IN (SELECT value FROM json_each(?))
"""

_COMPLETE = """
UPDATE jobs
SET status = 'completed', seq = seq + 1, finished_at = ?2,
    started_at = json_extract(ended.value, '$[2]'),
    result = CAST(json_extract(ended.value, '$[1]') AS BLOB),
    reason = NULL, error = NULL, cancel_requested = 0
FROM json_each(?1) AS ended
WHERE jobs.n = json_extract(ended.value, '$[0]')
"""

_END = """
UPDATE jobs
SET status = ?2, seq = seq + 1, failures = failures + ?3, rescues = rescues + ?4,
    run_at = coalesce(?5, run_at), finished_at = ?6, reason = coalesce(?7, reason),
    error = coalesce(?8, error), front = ?9, started_at = ?10
WHERE n = ?1
"""

_BEGUN = "UPDATE jobs SET seq = ?2, started_at = ?3 WHERE n = ?1"

_PLACES = """
SELECT queue, function, priority FROM jobs WHERE n IN (SELECT value FROM json_each(?))
"""

_RECORD = """
UPDATE jobs
SET seq = ?2, started_at = ?8, progress = ?3, progress_message = ?4,
    metadata = coalesce(?5, metadata), checkpoint = coalesce(?6, checkpoint),
    steps = coalesce(?7, steps)
WHERE n = ?1
"""

_encode = msgspec.json.Encoder().encode


def claim(db: sqlite3.Connection, now: int, wanted: Claim, turns: Turns, call: object) -> list[Job]:
    """Lease jobs; see `Queue.claim`. `call` is what `turns.kept` becomes once that is committed."""
    turns.begin(call)
    events: list[Event] = []
    promote(db, now, 500, events)
    chosen = choose(db, now, turns, wanted.limit)
    jobs: list[Job] = []
    if chosen:
        numbers = rows.ids_json(chosen)
        db.execute(_CLAIM, (numbers, f":{secrets.token_hex(8)}", wanted.worker_id, now))
        db.execute(_LEASE, (numbers, now + wanted.lease_ms, wanted.lease_ms))
        (claimed,) = db.execute(_CLAIMED, (numbers,)).fetchone()
        jobs = rows.jobs_from_json(claimed)
    started = EventKind.STARTED
    events.extend(rows.event(started, job, now, worker_id=wanted.worker_id) for job in jobs)
    rows.append(db, now, events)
    return jobs


def promote(db: sqlite3.Connection, now: int, limit: int, events: list[Event]) -> int:
    """Queue scheduled jobs that are due; adds their events. How many there were."""
    due = db.execute(
        "SELECT 1 FROM jobs WHERE status = 'scheduled' AND run_at <= ? LIMIT 1", (now,)
    ).fetchone()
    if due is None:
        return 0
    jobs = [rows.job_from(row) for row in db.execute(_PROMOTE, (now, limit))]
    ready = Ready()
    ready.add_jobs(jobs)
    ready.offer(db)
    events.extend(rows.event(EventKind.QUEUED, job, now) for job in jobs)
    return len(jobs)


def extend(
    db: sqlite3.Connection,
    now: int,
    leases: Sequence[Lease],
    lease_ms: int,
    begun: Mapping[Lease, int],
) -> list[Held]:
    """Renew leases; see `Queue.extend`."""
    states = _states(db, (lease.job_id for lease in leases))
    answers: list[Held] = []
    renewed: list[tuple[int, int, int]] = []
    events: list[Event] = []
    for lease in leases:
        state = states.get(lease.job_id)
        if state is None or not state.held_by(lease):
            answers.append(Held.LOST)
            continue
        answers.append(Held.CANCEL if state.cancel_requested else Held.HELD)
        renewed.append((now + lease_ms, lease_ms, state.n))
        if state.started_at is None and lease in begun:
            state.began(now, begun[lease])
            state.seq += 1
            events.append(rows.event(EventKind.BEGUN, state, now, started_at=state.started_at))
            db.execute(_BEGUN, (state.n, state.seq, state.started_at))
    db.executemany("UPDATE leases SET expires = ?, term = ? WHERE n = ?", renewed)
    rows.append(db, now, events)
    return answers


_decode_states = msgspec.json.Decoder(list[State]).decode


def _states(db: sqlite3.Connection, job_ids: Iterable[str]) -> dict[str, State]:
    (found,) = db.execute(_STATE, (rows.ids_json(job_ids),)).fetchone()
    return {state.id: state for state in _decode_states(found)}


def finish(db: sqlite3.Connection, now: int, outcomes: Sequence[Outcome]) -> list[Finished]:
    """Record how attempts ended; see `Queue.finish`."""
    states = _states(db, (outcome.lease.job_id for outcome in outcomes))
    answers: list[Finished] = []
    events: list[Event] = []
    completed: list[tuple[int, str, int | None]] = []
    others: list[tuple[Any, ...]] = []
    over: list[int] = []
    awaited: list[dependencies.Ended] = []
    for outcome in outcomes:
        state = states.get(outcome.lease.job_id)
        if state is None or state.token != outcome.lease.token:
            answers.append(Finished.STALE)
            continue
        if state.status is not JobStatus.RUNNING:
            answers.append(Finished.ALREADY)
            continue
        answers.append(Finished.OK)
        over.append(state.n)
        state.began(now, outcome.began_ms_ago)
        ending = settle(
            outcome.kind,
            cancel_requested=bool(state.cancel_requested),
            delay_ms=outcome.delay_ms,
            reason=outcome.reason,
            error=outcome.error,
        )
        if ending.move.target is JobStatus.COMPLETED:
            result = (outcome.result or b"null").decode()
            completed.append((state.n, result, state.started_at))
        else:
            others.append(_end_row(state.n, ending, now, state.started_at))
        result = outcome.result if ending.move.target is JobStatus.COMPLETED else None
        events.append(_end_event(state, ending, now, result=rows.raw(result)))
        if state.awaited and ending.move.target.finished:
            awaited.append((state.id, ending.move.target))
        state.status = ending.move.target  # the same lease twice in a batch: the second is a repeat
    if completed:
        db.execute(_COMPLETE, (_encode(completed).decode(), now))
    if others:
        db.executemany(_END, others)
        _offer_released(db, [row[0] for row in others if row[1] == JobStatus.QUEUED])
    db.execute(
        "DELETE FROM leases WHERE n IN (SELECT value FROM json_each(?))", (rows.ids_json(over),)
    )
    if awaited:
        dependencies.settle(db, now, awaited, events)
    rows.append(db, now, events)
    return answers


def _offer_released(db: sqlite3.Connection, numbers: list[int]) -> None:
    ready = Ready()
    for queue, function, priority in db.execute(_PLACES, (rows.ids_json(numbers),)):
        ready.add(queue, function, priority)
    ready.offer(db)


def _end_row(
    n: int, ending: Ending, now: int, started_at: int | None, *, front: int = 1
) -> tuple[Any, ...]:
    target = ending.move.target
    return (
        n,
        target.value,
        ending.failures,
        ending.rescues,
        None if target.finished else now + ending.delay_ms,
        now if target.finished else None,
        ending.reason,
        rows.encode_error(ending.error),
        front,
        started_at,
    )


def _end_event(job: Job | State, ending: Ending, now: int, **news: Any) -> Event:
    target = ending.move.target
    return Event(
        kind=ending.move.event,
        job_id=job.id,
        seq=job.seq + 1,
        attempt=job.attempt,
        at=now,
        status=target,
        generation=job.generation,
        fence=job.fence,
        failures=job.failures + ending.failures,
        rescues=job.rescues + ending.rescues,
        run_at=now + ending.delay_ms if target is JobStatus.SCHEDULED else None,
        started_at=job.started_at,
        reason=ending.reason or (job.reason if target is JobStatus.CANCELLED else None),
        error=ending.error,
        **news,
    )


def rescue_row(db: sqlite3.Connection, now: int, n: int, job: Job, ending: Ending) -> Event:
    """Write what `transitions.rescue` decided for a job whose lease ran out."""
    db.execute(_END, _end_row(n, ending, now, job.started_at, front=0))
    # Whoever held that lease comes too late from now on; it hasn't "already" reported anything.
    db.execute("UPDATE jobs SET token = NULL WHERE n = ?", (n,))
    return _end_event(job, ending, now, worker_id=job.worker_id)


def record(db: sqlite3.Connection, now: int, notes: Sequence[Note]) -> list[bool]:
    """Record news of running jobs; see `Queue.record`."""
    wanted = rows.ids_json(note.lease.job_id for note in notes)
    found = [(row[0], rows.job_from(row[1:])) for row in db.execute(_BY_ID, (wanted,))]
    jobs = {job.id: (n, job) for n, job in found}
    answers: list[bool] = []
    events: list[Event] = []
    for note in notes:
        n, job = jobs.get(note.lease.job_id, (0, None))
        held = job is not None and job.status is JobStatus.RUNNING and job.token == note.lease.token
        answers.append(held)
        if job is not None and held:
            jobs[job.id] = (n, _write_note(db, now, n, job, note, events))
    rows.append(db, now, events)
    return answers


def _write_note(
    db: sqlite3.Connection, now: int, n: int, job: Job, note: Note, events: list[Event]
) -> Job:
    """Apply one note; the job after it."""
    replace = msgspec.structs.replace

    began: dict[str, int] = {}
    if job.started_at is None and note.began_ms_ago is not None:
        began["started_at"] = began_at(now, note.began_ms_ago, job.claimed_at)
        job = replace(job, **began)

    def happened(kind: EventKind, **news: Any) -> None:
        nonlocal job
        job = replace(job, seq=job.seq + 1)
        events.append(rows.event(kind, job, now, **news, **began))
        began.clear()  # the first event has told it

    metadata = None if note.metadata is None else merge(job.metadata, note.metadata)
    steps = None if note.steps is None else merge(job.steps, note.steps)
    if note.progress is not None:
        told = note.progress_message
        message = job.progress_message if told is None else told
        job = replace(job, progress=note.progress, progress_message=message)
        happened(EventKind.PROGRESS, progress=note.progress, progress_message=message)
    if metadata is not None:
        job = replace(job, metadata=metadata)
        happened(EventKind.METADATA, metadata=rows.raw(metadata))
    if note.checkpoint is not None or steps is not None:
        job = replace(job, checkpoint=note.checkpoint or job.checkpoint, steps=steps or job.steps)
        happened(
            EventKind.CHECKPOINT, checkpoint=rows.raw(job.checkpoint), steps=rows.raw(job.steps)
        )
    if note.logs:
        happened(EventKind.LOG, logs=_write_logs(db, n, job, note))
    if note.artifact is not None:
        _write_artifact(db, n, note)
        happened(EventKind.ARTIFACT, artifact=note.artifact)
    if began:
        happened(EventKind.BEGUN)
    db.execute(
        _RECORD,
        (
            *(n, job.seq, job.progress, job.progress_message, metadata, note.checkpoint, steps),
            job.started_at,
        ),
    )
    return job


def _write_logs(db: sqlite3.Connection, n: int, job: Job, note: Note) -> tuple[LogLine, ...]:
    """Store a note's lines, numbered on from the job's last one; the lines as stored."""
    (last,) = db.execute("SELECT coalesce(max(number), 0) FROM logs WHERE n = ?", (n,)).fetchone()
    lines = tuple(
        msgspec.structs.replace(line, attempt=job.attempt, number=last + i)
        for i, line in enumerate(note.logs, 1)
    )
    db.executemany(
        "INSERT INTO logs (n, number, at, attempt, level, logger, message) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            (n, line.number, line.at, line.attempt, line.level.value, line.logger, line.message)
            for line in lines
        ],
    )
    return lines


def _write_artifact(db: sqlite3.Connection, n: int, note: Note) -> None:
    kept = note.artifact
    assert kept is not None
    db.execute(
        "INSERT OR REPLACE INTO artifacts (n, name, content_type, size, sha256, data) "
        "VALUES (?, ?, ?, ?, ?, ?)",
        (n, kept.name, kept.content_type, kept.size, kept.sha256, note.data or b""),
    )


_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def merge(stored: bytes, news: bytes) -> bytes:
    """Two JSON objects as one; the later one's fields win, values are never re-encoded."""
    return msgspec.json.encode(_decode_object(stored) | _decode_object(news))
