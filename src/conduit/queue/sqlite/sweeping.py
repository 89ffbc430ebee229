"""sweep: promote, expire, rescue, forget."""

from __future__ import annotations

import sqlite3

from conduit.core.events import Event, EventKind
from conduit.core.model import Reason
from conduit.core.transitions import rescue
from conduit.queue.base import ALIVE_MS, DEFAULT_LEASE_MS, Retention, SweepReport
from conduit.queue.sqlite import dependencies, registry, rows, running
from conduit.queue.sqlite.lanes import Check, Ready

_EXPIRE = f"""
UPDATE jobs SET status = 'cancelled', reason = ?3, seq = seq + 1, finished_at = ?1
WHERE n IN (
    SELECT n FROM jobs
    WHERE expires_at IS NOT NULL AND expires_at <= ?1
      AND status IN ('blocked', 'scheduled', 'queued')
    LIMIT ?2
)
RETURNING {rows.COLUMNS}
"""

_LAPSED = f"""
SELECT n, {rows.COLUMNS} FROM jobs
WHERE n IN (SELECT n FROM leases WHERE expires <= ?1 ORDER BY expires LIMIT ?2)
"""

_GRANT = """
UPDATE leases SET expires = ?1 + term / 2, term = -term WHERE expires <= ?1 AND term > 0
"""

_FORGETTABLE = """
SELECT n FROM jobs
WHERE finished_at IS NOT NULL AND finished_at <= ?1 AND coalesce(unique_until, 0) <= ?2
ORDER BY finished_at LIMIT ?3
"""

# An idle queue shouldn't write to the disk at every sweep.
_MARK_EVERY_MS = 2000

# Entries that every group has read and settled, or all of them where there is no group.
_READ_BY_ALL = """
SELECT coalesce(min(floor), (SELECT coalesce(max(position), 0) FROM entries))
FROM (
    SELECT min(
        event_groups.given,
        coalesce(
            (SELECT min(position) - 1 FROM pending WHERE event_group = event_groups.name),
            event_groups.given
        )
    ) AS floor FROM event_groups
)
"""


def sweep(
    db: sqlite3.Connection, now: int, retention: Retention, limit: int, check: Check
) -> SweepReport:
    """One round of upkeep; see `Queue.sweep`."""
    events: list[Event] = []
    promoted = running.promote(db, now, limit, events)
    expired = _expire(db, now, limit, events)
    granted = _guard(db, now)
    rescued, failed = _rescue(db, now, limit, events)
    reports = registry.forget_silent(db, now, retention) if _was_watched(db, now) else []
    old = _forgettable(db, now, retention, limit)
    dependencies.settle_left(db, now, old, events)
    rows.append(db, now, events, reports)
    purged = forget(db, old)
    trimmed = _trim(db, now, retention, limit)
    check.step(db)
    return SweepReport(
        promoted=promoted,
        expired=expired,
        rescued=rescued,
        failed=failed,
        purged=purged,
        granted=granted,
        more=max(promoted, expired, rescued + failed, purged, trimmed) >= limit,
    )


def _expire(db: sqlite3.Connection, now: int, limit: int, events: list[Event]) -> int:
    jobs = [rows.job_from(row) for row in db.execute(_EXPIRE, (now, limit, Reason.EXPIRED.value))]
    events.extend(
        rows.event(EventKind.CANCELLED, job, now, reason=Reason.EXPIRED.value) for job in jobs
    )
    dependencies.settle(db, now, [(job.id, job.status) for job in jobs], events)
    return len(jobs)


def _guard(db: sqlite3.Connection, now: int) -> int:
    """Grant half a term where nobody can be blamed; how many leases got one.

    A gap between sweeps means that the machine slept, the clock jumped, or no worker was alive.
    Holders that live extend within that half term; the dead don't, and get no second one however
    long the gaps are: the term of a lease that got one is kept below zero until it is extended. A
    lease that reaches more than two terms ahead comes from a clock that has since jumped back.
    """
    last = _mark(db, "last_sweep")
    if last is None or not 0 <= now - last < _MARK_EVERY_MS:
        _set_mark(db, "last_sweep", now)
    db.execute(
        "UPDATE leases SET expires = ?1 + abs(term) WHERE expires > ?1 + 2 * abs(term)", (now,)
    )
    if last is not None and 0 <= now - last <= DEFAULT_LEASE_MS // 2:
        return 0
    _set_mark(db, "watched_since", now)
    return db.execute(_GRANT, (now,)).rowcount


def _was_watched(db: sqlite3.Connection, now: int) -> bool:
    """Whether sweeps have gone on for so long that a worker's silence is its own."""
    since = _mark(db, "watched_since")
    return since is not None and now - since >= ALIVE_MS


def _mark(db: sqlite3.Connection, name: str) -> int | None:
    found = db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
    return None if found is None else found[0]


def _set_mark(db: sqlite3.Connection, name: str, at: int) -> None:
    db.execute("INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)", (name, at))


def _rescue(db: sqlite3.Connection, now: int, limit: int, events: list[Event]) -> tuple[int, int]:
    """Take back jobs whose lease ran out: how many run again, and how many have ended."""
    again = 0
    ended: list[dependencies.Ended] = []
    ready = Ready()
    for n, *columns in db.execute(_LAPSED, (now, limit)).fetchall():
        job = rows.job_from(columns)
        ending = rescue(
            cancel_requested=job.cancel_requested,
            rescues=job.rescues,
            max_deliveries=job.max_deliveries,
            worker_id=job.worker_id,
        )
        events.append(running.rescue_row(db, now, n, job, ending))
        db.execute("DELETE FROM leases WHERE n = ?", (n,))
        if ending.move.target.finished:
            ended.append((job.id, ending.move.target))
        else:
            ready.add(job.queue, job.function, job.priority, front=0)
            again += 1
    ready.offer(db)
    dependencies.settle(db, now, ended, events)
    return again, len(ended)


def _forgettable(db: sqlite3.Connection, now: int, retention: Retention, limit: int) -> list[int]:
    found = db.execute(_FORGETTABLE, (now - retention.results_ms, now, limit))
    return [n for (n,) in found]


def forget(db: sqlite3.Connection, numbers: list[int]) -> int:
    """Remove finished jobs and all that belongs to them; how many."""
    if not numbers:
        return 0
    chosen = [rows.ids_json(numbers)]
    for table in ("keys", "dependencies", "logs", "artifacts", "jobs"):
        db.execute(f"DELETE FROM {table} WHERE n IN (SELECT value FROM json_each(?))", chosen)
    return len(numbers)


def _trim(db: sqlite3.Connection, now: int, retention: Retention, limit: int) -> int:
    """Drop old entries of the event stream, only past what every group has settled.

    Entries are in the order of their times, so the first young one ends the search. One from a
    clock that was far ahead, and has since jumped back, doesn't.
    """
    (floor,) = db.execute(_READ_BY_ALL).fetchone()
    oldest = db.execute(
        "SELECT position, at FROM entries WHERE position <= ? ORDER BY position LIMIT ?",
        (floor, limit),
    )
    young, far_ahead = now - retention.events_ms, now + retention.events_ms
    trimmed = last = 0
    for position, at in oldest:
        if young < at <= far_ahead:
            break
        trimmed, last = trimmed + 1, position
    if trimmed:
        db.execute("DELETE FROM entries WHERE position <= ?", (last,))
    return trimmed
