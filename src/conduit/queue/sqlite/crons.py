"""Schedules: a record each, changed as `conduit.core.crons` says."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence

import msgspec

from conduit.core import crons
from conduit.core.crons import CronRecord, Heard, Roll, Tick, Ticked, TickOutcome
from conduit.core.events import Report
from conduit.core.model import FINISHED, CronInfo, JobStatus
from conduit.queue.base import ALIVE_MS, Registration, registration_conflict
from conduit.queue.sqlite import rows
from conduit.queue.sqlite.submitting import submit

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(CronRecord).decode


def refuse_others(db: sqlite3.Connection, now: int, registration: Registration) -> None:
    """Refuse crons that live workers of other names have in another form."""
    records, roll, name = _all(db), _roll(db), registration.worker.name
    for cron in registration.crons:
        if cron.name in records:
            owner = crons.rival(records[cron.name], cron, name, roll, now - ALIVE_MS)
            if owner is not None:
                raise registration_conflict("cron", cron.name, owner)


def register(db: sqlite3.Connection, now: int, registration: Registration) -> None:
    """Keep what a worker carries, once the worker is kept itself."""
    records, roll, worker = _all(db), _roll(db), registration.worker
    for cron in registration.crons:
        known = records.pop(cron.name, None)
        _put(db, cron.name, crons.carry(known, worker.id, cron, roll, now))
    for name, record in records.items():
        _keep(db, name, record, crons.put_down(record, worker.id, roll, now))


def unregister(db: sqlite3.Connection, gone: Mapping[str, int]) -> None:
    """Let go of what workers carried that are gone now: by id, when each was last heard of."""
    if not gone:
        return
    roll = _roll(db)
    for name, record in _all(db).items():
        carriers = gone.keys() & record.carriers.keys()
        if carriers:
            last = max(carriers, key=gone.__getitem__)
            _keep(db, name, record, crons.put_down(record, last, roll, gone[last]))


def _keep(db: sqlite3.Connection, name: str, record: CronRecord, left: CronRecord | None) -> None:
    """Store what is left of a schedule once a worker doesn't carry it any more."""
    if left is None:
        db.execute("DELETE FROM crons WHERE name = ?", (name,))
    elif left != record:
        _put(db, name, left)


def listed(db: sqlite3.Connection, now: int) -> list[CronInfo]:
    """Schedules, by name; see `Queue.crons`."""
    roll = _roll(db)
    shown = (crons.shown(each, roll, now, now - ALIVE_MS) for each in _all(db).values())
    return [info for info in shown if info is not None]


def tick(db: sqlite3.Connection, now: int, ticks: Sequence[Tick]) -> list[Ticked]:
    """Turn due ticks into jobs; see `Queue.tick`."""
    roll = _roll(db)
    return [_tick(db, now, due, roll) for due in ticks]


def _tick(db: sqlite3.Connection, now: int, due: Tick, roll: Roll) -> Ticked:
    stored = _get(db, due.cron)
    if stored is None:
        return crons.REFUSED
    record = crons.settle(stored, roll, now)
    ticked = crons.REFUSED
    if crons.accepts(record, due):
        unfinished = _is_unfinished(db, record.last_job)
        record, ticked = crons.settle_tick(record, due, unfinished=unfinished)
    if record != stored:
        _put(db, due.cron, record)
    if ticked.outcome is TickOutcome.SUBMITTED and due.job is not None:
        submit(db, now, [due.job])
    rows.append(db, now, [], [_report(*said, due.cron, now) for said in crons.said(due, ticked)])
    return ticked


def _is_unfinished(db: sqlite3.Connection, job_id: str) -> bool:
    found = db.execute("SELECT status FROM jobs WHERE id = ?", (job_id,)).fetchone()
    return found is not None and JobStatus(found[0]) not in FINISHED


def rewind(db: sqlite3.Connection, now: int, name: str) -> bool:
    """Set a mark back that a wrong clock has set; see `Queue.rewind_cron`."""
    record = _get(db, name)
    rewound = None if record is None else crons.rewound(record, now)
    if record is None or rewound is None:
        return False
    _put(db, name, rewound)
    ahead = {"tick": max(record.mark, record.since)}
    rows.append(db, now, [], [_report("cron.rewound", ahead, name, now)])
    return True


def pause(db: sqlite3.Connection, now: int, name: str, *, paused: bool) -> bool:
    """Pause or resume a schedule; False when it isn't known."""
    record = _get(db, name)
    if record is not None and record.paused is not paused:
        _put(db, name, crons.with_pause(record, now, paused=paused))
        kind = "cron.paused" if paused else "cron.resumed"
        rows.append(db, now, [], [_report(kind, None, name, now)])
    return record is not None


def _roll(db: sqlite3.Connection) -> Roll:
    found = db.execute("SELECT id, name, seen_at, lost FROM workers")
    return {worker_id: Heard(name, at, bool(lost)) for worker_id, name, at, lost in found}


def _all(db: sqlite3.Connection) -> dict[str, CronRecord]:
    found = db.execute("SELECT name, record FROM crons ORDER BY name")
    return {name: _decode(record) for name, record in found}


def _get(db: sqlite3.Connection, name: str) -> CronRecord | None:
    found = db.execute("SELECT record FROM crons WHERE name = ?", (name,)).fetchone()
    return None if found is None else _decode(found[0])


def _put(db: sqlite3.Connection, name: str, record: CronRecord) -> None:
    db.execute("INSERT OR REPLACE INTO crons (name, record) VALUES (?, ?)", (name, _encode(record)))


def _report(kind: str, data: Mapping[str, int | str] | None, name: str, now: int) -> Report:
    return Report(
        kind=kind, subject=name, at=now, data=rows.raw(None if data is None else _encode(data))
    )
