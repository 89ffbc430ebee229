"""Workers, functions and locks."""

from __future__ import annotations

import sqlite3

import msgspec
from msgspec import structs

from conduit.core.events import Report
from conduit.core.model import FunctionInfo, WorkerInfo
from conduit.queue.base import ALIVE_MS, Registration, Retention, registration_conflict
from conduit.queue.sqlite import crons, rows

_encode = msgspec.json.Encoder().encode
_decode_worker = msgspec.json.Decoder(WorkerInfo).decode
_decode_function = msgspec.json.Decoder(FunctionInfo).decode

_RIVALS = "SELECT name FROM workers WHERE name != ?1 AND seen_at > ?2"

# By name; of one name, those of live workers last, after those that were seen longest ago.
_FUNCTIONS = """
SELECT info, name IN (SELECT function FROM paused_functions) FROM functions
ORDER BY name, min(?1, max(seen_at, coalesce(
    (SELECT max(workers.seen_at) FROM workers WHERE workers.name = functions.worker), 0
))), worker
"""


def register(db: sqlite3.Connection, now: int, registration: Registration) -> None:
    """Announce a worker; see `Queue.register`."""
    worker = structs.replace(registration.worker, started_at=now, seen_at=now)
    crons.refuse_others(db, now, registration)
    _refuse_other_functions(db, now, registration)
    info = _encode(worker)
    db.execute(
        "INSERT OR REPLACE INTO workers (id, name, seen_at, running, info) VALUES (?, ?, ?, ?, ?)",
        (worker.id, worker.name, now, worker.running, info),
    )
    db.execute("DELETE FROM functions WHERE worker = ?", (worker.name,))
    db.executemany(
        "INSERT OR REPLACE INTO functions (name, worker, seen_at, info) VALUES (?, ?, ?, ?)",
        [
            (function.name, worker.name, now, _encode(function))
            for function in registration.functions
        ],
    )
    crons.register(db, now, registration)
    rows.append(db, now, [], [_report("worker.started", worker.id, now, info)])


def _refuse_other_functions(db: sqlite3.Connection, now: int, registration: Registration) -> None:
    """Refuse functions that live workers of other names have in another form."""
    ours = {function.name: function for function in registration.functions}
    held = db.execute(
        f"SELECT worker, info FROM functions WHERE worker IN ({_RIVALS})",
        (registration.worker.name, now - ALIVE_MS),
    )
    for owner, info in held:
        theirs = _decode_function(info)
        mine = ours.get(theirs.name)
        if mine and mine.queue == theirs.queue and mine.signature != theirs.signature:
            raise registration_conflict("function", mine.name, owner)


def heartbeat(db: sqlite3.Connection, now: int, worker_id: str, running: int) -> bool:
    """Say that a worker lives; False when it isn't known."""
    known = db.execute(
        "UPDATE workers SET seen_at = ?, running = ?, lost = 0 WHERE id = ?",
        (now, running, worker_id),
    )
    return known.rowcount > 0


def update_worker(db: sqlite3.Connection, now: int, worker: WorkerInfo) -> None:
    """Replace what a worker says of itself; see `Queue.update_worker`."""
    known = db.execute("SELECT info FROM workers WHERE id = ?", (worker.id,)).fetchone()
    if known is not None:
        started_at = _decode_worker(known[0]).started_at
        info = _encode(structs.replace(worker, started_at=started_at, seen_at=now))
        db.execute("UPDATE workers SET info = ? WHERE id = ?", (info, worker.id))


def unregister(db: sqlite3.Connection, now: int, worker_id: str) -> None:
    """Say that a worker has stopped."""
    db.execute(
        "UPDATE functions SET seen_at = ? WHERE worker = (SELECT name FROM workers WHERE id = ?)",
        (now, worker_id),
    )
    gone = db.execute("DELETE FROM workers WHERE id = ?", (worker_id,)).rowcount
    if gone:
        crons.unregister(db, {worker_id: now})
        rows.append(db, now, [], [_report("worker.stopped", worker_id, now)])


def workers(db: sqlite3.Connection, alive_since: int) -> list[WorkerInfo]:
    """Workers heard of since a time, oldest first."""
    found = db.execute(
        "SELECT info, seen_at, running FROM workers WHERE seen_at > ?", (alive_since,)
    )
    listed = [
        structs.replace(_decode_worker(info), seen_at=seen_at, running=running)
        for info, seen_at, running in found
    ]
    return sorted(listed, key=lambda worker: (worker.started_at, worker.id))


def forget_silent(db: sqlite3.Connection, now: int, retention: Retention) -> list[Report]:
    """Report workers that were lost, forget those that don't come back; their functions later."""
    # heard of far ahead of now: a clock has since jumped back
    db.execute("UPDATE workers SET seen_at = ?1 WHERE seen_at > ?1 + ?2", (now, ALIVE_MS))
    lost = db.execute(
        "UPDATE workers SET lost = 1 WHERE lost = 0 AND seen_at <= ? RETURNING id, seen_at",
        (now - ALIVE_MS,),
    ).fetchall()
    gone_since = (now - max(retention.workers_ms, ALIVE_MS),)
    db.execute(
        "UPDATE functions SET seen_at = gone.seen_at "
        "FROM (SELECT name, max(seen_at) AS seen_at FROM workers WHERE seen_at <= ? GROUP BY name) "
        "AS gone WHERE functions.worker = gone.name AND functions.seen_at < gone.seen_at",
        gone_since,
    )
    gone = db.execute(
        "DELETE FROM workers WHERE seen_at <= ? RETURNING id, seen_at", gone_since
    ).fetchall()
    crons.unregister(db, dict(gone))
    db.execute(
        "DELETE FROM functions WHERE seen_at <= ? AND worker NOT IN (SELECT name FROM workers)",
        (now - retention.functions_ms,),
    )
    return [
        _report("worker.lost", worker_id, now, _encode({"seen_at": seen_at}))
        for worker_id, seen_at in lost
    ]


def functions(db: sqlite3.Connection, alive_since: int) -> list[FunctionInfo]:
    """Registered functions; see `Queue.functions`."""
    found = db.execute(_FUNCTIONS, (alive_since,))
    return [structs.replace(_decode_function(info), paused=bool(paused)) for info, paused in found]


def lock(db: sqlite3.Connection, now: int, name: str, token: str, ttl_ms: int) -> bool:
    """Take or extend a lock; see `Queue.lock`."""
    return (
        db.execute(
            "INSERT INTO locks (name, token, expires) VALUES (?1, ?2, ?3) "
            "ON CONFLICT (name) DO UPDATE SET token = ?2, expires = ?3 "
            # an expiry absurdly far ahead is from a clock that has since jumped back
            "WHERE token = ?2 OR expires <= ?4 OR expires > ?4 + 2 * ?5",
            (name, token, now + ttl_ms, now, ttl_ms),
        ).rowcount
        > 0
    )


def unlock(db: sqlite3.Connection, name: str, token: str) -> bool:
    """Release a lock if this token holds it."""
    return db.execute("DELETE FROM locks WHERE name = ? AND token = ?", (name, token)).rowcount > 0


def _report(kind: str, subject: str, now: int, data: bytes | None = None) -> Report:
    return Report(kind=kind, subject=subject, at=now, data=rows.raw(data))
