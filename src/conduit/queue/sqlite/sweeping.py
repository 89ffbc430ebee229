"""sweep: promote, expire, rescue, forget."""

from __future__ import annotations

import sqlite3

from conduit.core.events import Event, EventKind
from conduit.core.model import Reason
from conduit.core.transitions import rescue
from conduit.queue.base import DEFAULT_LEASE_MS, Retention, SweepReport
from conduit.queue.sqlite import rows, running

_EXPIRE = f"""
UPDATE jobs SET status = 'cancelled', reason = ?3, seq = seq + 1, finished_at = ?1
WHERE n IN (
    SELECT n FROM jobs
    WHERE expires_at IS NOT NULL AND expires_at <= ?1 AND status IN ('scheduled', 'queued')
    LIMIT ?2
)
RETURNING {rows.COLUMNS}
"""

_LAPSED = f"""
SELECT n, {rows.COLUMNS} FROM jobs
WHERE n IN (SELECT n FROM leases WHERE expires <= ?1 ORDER BY expires LIMIT ?2)
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


def sweep(db: sqlite3.Connection, now: int, retention: Retention, limit: int) -> SweepReport:
    """One round of upkeep; see `Queue.sweep`."""
    events: list[Event] = []
    promoted = running.promote(db, now, limit, events)
    expired = _expire(db, now, limit, events)
    granted = _guard(db, now)
    rescued, failed = _rescue(db, now, limit, events)
    rows.append(db, now, events)
    purged = forget(db, _forgettable(db, now, retention, limit))
    trimmed = _trim(db, now, retention, limit)
    db.execute("DELETE FROM workers WHERE seen_at <= ?", (now - retention.workers_ms,))
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
    return len(jobs)


def _guard(db: sqlite3.Connection, now: int) -> int:
    """Grant half a term where nobody can be blamed; how many leases got one.

    A gap between sweeps means that the machine slept, the clock jumped, or no worker was alive.
    Holders that live extend within that half term; the dead don't. A lease that reaches more than
    two terms ahead comes from a clock that has since jumped back.
    """
    last = db.execute("SELECT value FROM meta WHERE name = 'last_sweep'").fetchone()
    if last is None or not 0 <= now - last[0] < _MARK_EVERY_MS:
        db.execute("INSERT OR REPLACE INTO meta (name, value) VALUES ('last_sweep', ?)", (now,))
    db.execute("UPDATE leases SET expires = ?1 + term WHERE expires > ?1 + 2 * term", (now,))
    if last is not None and 0 <= now - last[0] <= DEFAULT_LEASE_MS // 2:
        return 0
    lapsed = "UPDATE leases SET expires = ?1 + term / 2 WHERE expires <= ?1"
    return db.execute(lapsed, (now,)).rowcount


def _rescue(db: sqlite3.Connection, now: int, limit: int, events: list[Event]) -> tuple[int, int]:
    """Take back jobs whose lease ran out: how many run again, and how many have ended."""
    again = ended = 0
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
            ended += 1
        else:
            again += 1
    return again, ended


def _forgettable(db: sqlite3.Connection, now: int, retention: Retention, limit: int) -> list[int]:
    found = db.execute(_FORGETTABLE, (now - retention.results_ms, now, limit))
    return [n for (n,) in found]


def forget(db: sqlite3.Connection, numbers: list[int]) -> int:
    """Remove finished jobs and all that belongs to them; how many."""
    if not numbers:
        return 0
    chosen = [rows.ids_json(numbers)]
    for table in ("keys", "logs", "artifacts", "jobs"):
        db.execute(f"DELETE FROM {table} WHERE n IN (SELECT value FROM json_each(?))", chosen)
    return len(numbers)


def _trim(db: sqlite3.Connection, now: int, retention: Retention, limit: int) -> int:
    """Drop old entries of the event stream, only past what every group has settled."""
    (floor,) = db.execute(_READ_BY_ALL).fetchone()
    return db.execute(
        "DELETE FROM entries WHERE position IN (SELECT position FROM entries "
        "WHERE position <= ?1 AND at <= ?2 ORDER BY position LIMIT ?3)",
        (floor, now - retention.events_ms, limit),
    ).rowcount
