"""Workers, functions, schedules and locks."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import msgspec
from msgspec import structs

from conduit.core.events import Report
from conduit.core.model import CronInfo, FunctionInfo, WorkerInfo
from conduit.queue.base import Registration, Tick
from conduit.queue.sqlite import rows
from conduit.queue.sqlite.submitting import submit

_encode = msgspec.json.Encoder().encode
_decode_worker = msgspec.json.Decoder(WorkerInfo).decode
_decode_function = msgspec.json.Decoder(FunctionInfo).decode
_decode_cron = msgspec.json.Decoder(CronInfo).decode

_PUT_CRON = """
INSERT INTO crons (name, worker, fingerprint, last_tick, info) VALUES (?1, ?2, ?3, ?4, ?5)
ON CONFLICT (name) DO UPDATE SET
    last_tick = iif(fingerprint = excluded.fingerprint, last_tick, excluded.last_tick),
    fingerprint = excluded.fingerprint, worker = excluded.worker, info = excluded.info
"""


def register(db: sqlite3.Connection, now: int, registration: Registration) -> None:
    """Announce a worker; see `Queue.register`."""
    worker = structs.replace(registration.worker, started_at=now, seen_at=now)
    info = _encode(worker)
    db.execute(
        "INSERT OR REPLACE INTO workers (id, name, seen_at, running, info) VALUES (?, ?, ?, ?, ?)",
        (worker.id, worker.name, now, worker.running, info),
    )
    db.execute("DELETE FROM functions WHERE worker = ?", (worker.name,))
    db.executemany(
        "INSERT OR REPLACE INTO functions (name, worker, info) VALUES (?, ?, ?)",
        [(function.name, worker.name, _encode(function)) for function in registration.functions],
    )
    kept = rows.ids_json(cron.name for cron in registration.crons)
    db.execute(
        "DELETE FROM crons WHERE worker = ? AND name NOT IN (SELECT value FROM json_each(?))",
        (worker.name, kept),
    )
    db.executemany(
        _PUT_CRON,
        [
            (cron.name, worker.name, cron.fingerprint, now, _encode(cron))
            for cron in registration.crons
        ],
    )
    rows.append(db, now, [], [_report("worker.started", worker.id, now, info)])


def heartbeat(db: sqlite3.Connection, now: int, worker_id: str, running: int) -> None:
    """Say that a worker lives."""
    db.execute(
        "UPDATE workers SET seen_at = ?, running = ? WHERE id = ?", (now, running, worker_id)
    )


def unregister(db: sqlite3.Connection, now: int, worker_id: str) -> None:
    """Say that a worker has stopped."""
    gone = db.execute("DELETE FROM workers WHERE id = ?", (worker_id,)).rowcount
    if gone:
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


def functions(db: sqlite3.Connection) -> list[FunctionInfo]:
    """Registered functions, by name."""
    found = db.execute("SELECT info FROM functions ORDER BY name, worker")
    return [_decode_function(info) for (info,) in found]


def crons(db: sqlite3.Connection) -> list[CronInfo]:
    """Schedules, by name."""
    found = db.execute("SELECT info, last_tick, paused FROM crons ORDER BY name")
    return [
        structs.replace(_decode_cron(info), last_tick=last_tick, paused=bool(paused))
        for info, last_tick, paused in found
    ]


def tick(db: sqlite3.Connection, now: int, ticks: Sequence[Tick]) -> list[bool]:
    """Turn due ticks into jobs; see `Queue.tick`."""
    won: list[bool] = []
    reports: list[Report] = []
    for due in ticks:
        marked = db.execute(
            "UPDATE crons SET last_tick = ?1 "
            "WHERE name = ?2 AND fingerprint = ?3 AND last_tick < ?1 RETURNING paused",
            (due.at, due.cron, due.fingerprint),
        ).fetchall()
        won.append(bool(marked) and not marked[0][0])
        if won[-1]:
            submit(db, now, [due.job])
            reports.append(_report("cron.ticked", due.cron, now, _encode({"tick": due.at})))
    rows.append(db, now, [], reports)
    return won


def pause_cron(db: sqlite3.Connection, name: str, *, paused: bool) -> bool:
    """Pause or resume a schedule; False when it isn't known."""
    return db.execute("UPDATE crons SET paused = ? WHERE name = ?", (paused, name)).rowcount > 0


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
