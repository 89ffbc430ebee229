"""The event stream: consumer groups over the entries that transitions append."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from msgspec import structs

from conduit.core.events import Report
from conduit.queue.base import StoredEntry
from conduit.queue.sqlite import rows


def report(db: sqlite3.Connection, now: int, reports: Sequence[Report]) -> None:
    """Append reports; see `Queue.report`."""
    rows.append(db, now, [], [structs.replace(report, at=now) for report in reports])


def read(
    db: sqlite3.Connection, now: int, group: str, consumer: str, limit: int
) -> list[StoredEntry]:
    """Hand entries to a consumer; see `Queue.read_events`."""
    given = _given(db, group)
    found = db.execute(
        "SELECT position, body FROM entries WHERE position > ? ORDER BY position LIMIT ?",
        (given, limit),
    ).fetchall()
    if found:
        db.executemany(
            "INSERT INTO pending (event_group, position, consumer, given_at, deliveries) "
            "VALUES (?, ?, ?, ?, 1)",
            [(group, position, consumer, now) for position, _ in found],
        )
        db.execute("UPDATE event_groups SET given = ? WHERE name = ?", (found[-1][0], group))
    return [rows.entry_from(position, body) for position, body in found]


def _given(db: sqlite3.Connection, group: str) -> int:
    found = db.execute("SELECT given FROM event_groups WHERE name = ?", (group,)).fetchone()
    if found is not None:
        return found[0]
    db.execute("INSERT INTO event_groups (name, given) VALUES (?, 0)", (group,))
    return 0


def ack(db: sqlite3.Connection, group: str, positions: Sequence[str]) -> int:
    """Settle entries; how many were pending."""
    return db.execute(
        "DELETE FROM pending WHERE event_group = ? "
        "AND position IN (SELECT CAST(value AS INTEGER) FROM json_each(?))",
        (group, rows.ids_json(positions)),
    ).rowcount


def claim_stale(
    db: sqlite3.Connection, now: int, group: str, consumer: str, idle_ms: int, limit: int
) -> list[StoredEntry]:
    """Take over entries pending for long; see `Queue.claim_stale`."""
    taken = db.execute(
        "UPDATE pending SET consumer = ?1, given_at = ?2, deliveries = deliveries + 1 "
        "WHERE event_group = ?3 AND position IN ("
        "SELECT position FROM pending WHERE event_group = ?3 AND given_at <= ?4 "
        "ORDER BY position LIMIT ?5) RETURNING position, deliveries",
        (consumer, now, group, now - idle_ms, limit),
    ).fetchall()
    entries: list[StoredEntry] = []
    for position, deliveries in sorted(taken):
        found = db.execute("SELECT body FROM entries WHERE position = ?", (position,)).fetchone()
        entries.append(rows.entry_from(position, found[0], deliveries))
    return entries
