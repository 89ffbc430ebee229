"""Dead letters: pieces of the event stream that can't be applied, kept to be seen and replayed.

A letter's body is JSON as it came, where it is text; else `base64:` and what stands for its bytes.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from enum import StrEnum

import msgspec
from msgspec import Struct
from sqlalchemy import select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from conduit.core.events import Event, Report
from conduit.server.db import tables
from conduit.server.db.database import Database
from conduit.server.ingest import bulk, soundness
from conduit.server.ingest.apply import Change, apply, take_turn

_BASE64 = "base64:"
_MAX_REASON = 1000
# Positions begin anew where a queue's file was replaced: another body is another letter.
_KEEP_ONCE = (
    "ON CONFLICT (position, number) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in ("job_id", "reason", "body", "at"))
    + ", replayed_at = NULL WHERE dead_letters.body <> excluded.body"
)

_to_json = msgspec.json.Encoder().encode
_event_from = msgspec.json.Decoder(Event).decode
_report_from = msgspec.json.Decoder(Report).decode


class NewLetter(Struct, frozen=True, kw_only=True):
    """A piece that is given up; `number` is its place within the entry at `position`."""

    position: str
    number: int
    job_id: str | None
    reason: str
    body: str
    deliveries: int
    at: int


class DeadLetter(Struct, frozen=True):
    """A row of `tables.dead_letters`."""

    id: int
    position: str
    number: int
    job_id: str | None
    reason: str
    body: str
    deliveries: int
    at: int
    replayed_at: int | None


class Replay(StrEnum):
    """What became of a letter that was replayed."""

    APPLIED = "applied"
    """It is part of the history now, or was superseded."""
    UNREADABLE = "unreadable"
    """This version can't make sense of it either."""
    UNKNOWN = "unknown"
    """There is no such letter."""


# --- why, in words ------------------------------------------------------------------------------

_SET_RIGHT = "The history takes the job's state from the queue instead."


def why_unreadable(problem: str, job_id: str | None) -> str:
    """The reason of a letter that can't be decoded."""
    what = "A part of the event stream" if job_id is None else f"An event of job {job_id}"
    return (
        f"{what} can't be read: {problem}. It is damaged, or written by a newer Conduit: upgrade "
        f"this server if newer workers use the queue. {_SET_RIGHT}"
    )


def why_unsound(told: Event | Report, fault: str) -> str:
    """The reason of a letter that says what can't be."""
    then = f" {_SET_RIGHT}" if isinstance(told, Event) else ""
    return (
        f"{_named(told)} can't be true: {fault}. Something else than this version's queue wrote "
        f"it: replay it after an upgrade of this server, else leave it.{then}"
    )


def why_refused(told: Event | Report, times: int, error: Exception) -> str:
    """The reason of a letter that the database refused, every time."""
    return (
        f"{_named(told)} was refused by the database {times} times: {words_of(error)}. Put right "
        "what it says, or upgrade this server, then replay it."
    )


def words_of(error: Exception) -> str:
    """What the database said, in one line, without the statement and its values."""
    said = str(error.orig if isinstance(error, DBAPIError) else error).strip()
    return said.partition("\n")[0].rstrip(".") or type(error).__name__


def _named(told: Event | Report) -> str:
    if isinstance(told, Event):
        return f"Event {told.seq} of job {told.job_id}, {told.kind},"
    return f"The report {told.kind} of {told.subject}"


# --- keeping ------------------------------------------------------------------------------------


def letter(
    position: str,
    number: int,
    piece: Event | Report | bytes,
    reason: str,
    *,
    job_id: str | None = None,
    deliveries: int,
    now: int,
) -> NewLetter:
    """A letter for a piece of an entry."""
    job_id = piece.job_id if isinstance(piece, Event) else job_id
    return NewLetter(
        position=position,
        number=number,
        job_id=None if job_id is None or soundness.fault_of_id(job_id) else job_id,
        reason=(soundness.text(reason) or "")[:_MAX_REASON],
        body=_body_of(piece if isinstance(piece, bytes) else _to_json(piece)),
        deliveries=deliveries,
        at=now,
    )


def _body_of(body: bytes) -> str:
    if b"\0" not in body:
        try:
            return body.decode()
        except UnicodeDecodeError:
            pass
    return _BASE64 + base64.b64encode(body).decode()


def _bytes_of(body: str) -> bytes:
    if body.startswith(_BASE64):
        return base64.b64decode(body.removeprefix(_BASE64))
    return body.encode()


async def bury(connection: AsyncConnection, letters: Sequence[NewLetter]) -> int:
    """Keep letters, each once however often it is told of; how many are new.

    Their jobs' rows are marked as long untouched, so that the reconciler looks at them next.
    """
    await take_turn(connection)
    many = len(await bulk.append(connection, tables.dead_letters, letters, _KEEP_ONCE))
    job_ids = {each.job_id for each in letters if each.job_id is not None}
    await bulk.set_number(connection, tables.jobs.c.applied_at, 0, "id", job_ids)
    return many


async def list_letters(
    connection: AsyncConnection, *, limit: int = 100, before: int | None = None
) -> list[DeadLetter]:
    """Letters, newest first; those older than the one numbered `before`."""
    table = tables.dead_letters
    query = select(table).order_by(table.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(table.c.id < before)
    rows = (await connection.execute(query)).all()
    return [DeadLetter(*row) for row in rows]


async def replay(
    database: Database, ids: Sequence[int], now: int
) -> tuple[dict[int, Replay], list[Change]]:
    """Try letters again, each by itself; what became of each, and what changed by it.

    Raises `DatabaseUnavailableError`. A letter that fails again raises what it fails of.
    """
    outcomes: dict[int, Replay] = {}
    changes: list[Change] = []
    for number in ids:
        async with database.begin() as connection:
            outcomes[number] = await _replay(connection, number, now, changes)
    return outcomes, changes


async def _replay(
    connection: AsyncConnection, number: int, now: int, changes: list[Change]
) -> Replay:
    table = tables.dead_letters
    body = await connection.scalar(select(table.c.body).where(table.c.id == number))
    if body is None:
        return Replay.UNKNOWN
    piece = _piece_of(_bytes_of(body))
    if piece is None:
        return Replay.UNREADABLE
    events = [piece] if isinstance(piece, Event) else []
    reports = [piece] if isinstance(piece, Report) else []
    changes += await apply(connection, events, reports, now)
    await connection.execute(update(table).where(table.c.id == number).values(replayed_at=now))
    return Replay.APPLIED


def _piece_of(body: bytes) -> Event | Report | None:
    """The sound event or report that a body is, if this version knows it."""
    try:
        event = _event_from(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    else:
        return event if soundness.fault_of(event) is None else None
    try:
        report = _report_from(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return report if soundness.fault_of_report(report) is None else None
