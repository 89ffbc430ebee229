"""Between rows and records: the columns of a job in one place, and the way to append events."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from msgspec import Raw, Struct

from conduit.core.events import Entry, Event, EventKind, Report
from conduit.core.model import NOTHING, Job, JobError, JobStatus
from conduit.queue.base import StoredEntry, Unreadable
from conduit.queue.salvage import UNDECODABLE, problem, readable

FIELDS = Job.__struct_fields__
COLUMNS = ", ".join(FIELDS)  # in the record's own order, so that a row is the record
_STATUS_AT, _CANCEL_AT, _ERROR_AT, _AFTER_AT = map(
    FIELDS.index, ("status", "cancel_requested", "error", "after")
)
# The same columns as one JSON array per job. A batch read as a single row takes one step of SQLite,
# which gives up the interpreter lock at each step: two threads trading it per row cost more than
# all the work they do.
_BYTES_AT = tuple(
    at
    for at, name in enumerate(FIELDS)
    if name in ("args", "metadata", "checkpoint", "steps", "result")
)
JSON_ROW = "json_array({})".format(
    ", ".join(
        f"CAST(jobs.{name} AS TEXT)" if at in _BYTES_AT or at == _ERROR_AT else f"jobs.{name}"
        for at, name in enumerate(FIELDS)
    )
)
_STATUS = {status.value: status for status in JobStatus}

_encode = msgspec.json.Encoder().encode
_decode_after = msgspec.json.Decoder(tuple[str, ...]).decode
_decode_error = msgspec.json.Decoder(JobError).decode
_decode_rows = msgspec.json.Decoder(list[list[Any]]).decode
_decode_entry = msgspec.json.Decoder(Entry).decode
_decode_event = msgspec.json.Decoder(Event).decode
_decode_report = msgspec.json.Decoder(Report).decode

MAX_ENTRY_EVENTS = 500
MAX_ENTRY_BYTES = 4 * 1024 * 1024


def job_from(row: Sequence[Any]) -> Job:
    """A job out of a row that selected `COLUMNS`."""
    fields = list(row)
    fields[_STATUS_AT] = _STATUS[fields[_STATUS_AT]]
    fields[_CANCEL_AT] = bool(fields[_CANCEL_AT])
    if fields[_ERROR_AT] is not None:
        fields[_ERROR_AT] = _decode_error(fields[_ERROR_AT])
    fields[_AFTER_AT] = after_from(fields[_AFTER_AT])
    return Job(*fields)


def jobs_from_json(text: str) -> list[Job]:
    """Jobs out of an array of `JSON_ROW`s."""
    jobs: list[Job] = []
    for fields in _decode_rows(text):
        fields[_STATUS_AT] = _STATUS[fields[_STATUS_AT]]
        fields[_CANCEL_AT] = bool(fields[_CANCEL_AT])
        if fields[_ERROR_AT] is not None:
            fields[_ERROR_AT] = _decode_error(fields[_ERROR_AT])
        for at in _BYTES_AT:
            if fields[at] is not None:
                fields[at] = fields[at].encode()
        fields[_AFTER_AT] = after_from(fields[_AFTER_AT])
        jobs.append(Job(*fields))
    return jobs


def after_text(after: tuple[str, ...]) -> str | None:
    """What a job waits for as it is stored: most jobs wait for nothing."""
    return _encode(after).decode() if after else None


def after_from(stored: str | None) -> tuple[str, ...]:
    """What a job waits for, as it was given."""
    return () if stored is None else _decode_after(stored)


def encode_error(error: JobError | None) -> bytes | None:
    """An error as it is stored."""
    return None if error is None else _encode(error)


def ids_json(values: Iterable[int | str]) -> str:
    """Values for `IN (SELECT value FROM json_each(?))`: one statement for any number of them."""
    return _encode(list(values)).decode()


def raw(value: bytes | None) -> Raw:
    """JSON bytes to be embedded in an event as they are."""
    return NOTHING if value is None else Raw(value)


def event(kind: EventKind, job: Job, at: int, **news: Any) -> Event:
    """The event of a step after which the job is `job`."""
    return Event(
        kind=kind,
        job_id=job.id,
        seq=job.seq,
        attempt=job.attempt,
        at=at,
        status=job.status,
        generation=job.generation,
        fence=job.fence,
        failures=job.failures,
        rescues=job.rescues,
        **news,
    )


def append(
    db: sqlite3.Connection, at: int, events: Sequence[Event], reports: Sequence[Report] = ()
) -> None:
    """Add to the event stream: one entry for a whole batch, more when it would grow too large."""
    if not events and not reports:
        return
    insert = "INSERT INTO entries (at, body) VALUES (?, ?)"
    body = _encode(Entry(events=tuple(events), reports=tuple(reports)))
    if len(events) <= 1 or (len(events) <= MAX_ENTRY_EVENTS and len(body) <= MAX_ENTRY_BYTES):
        db.execute(insert, (at, body))
        return
    middle = len(events) // 2
    append(db, at, events[:middle], reports)
    append(db, at, events[middle:])


def entry_from(position: int, body: bytes, deliveries: int = 1) -> StoredEntry:
    """An entry as it was appended; never raises, whatever somebody has put there."""
    try:
        return StoredEntry(str(position), _decode_entry(body), deliveries)
    except UNDECODABLE as error:
        return _salvaged(position, body, deliveries, error)


class _Pieces(Struct):
    events: list[Raw] = []
    reports: list[Raw] = []


class _Known(Struct):
    job_id: str | None = None


_decode_pieces = msgspec.json.Decoder(_Pieces).decode
_decode_known = msgspec.json.Decoder(_Known).decode


def _salvaged(position: int, body: bytes, deliveries: int, error: Exception) -> StoredEntry:
    """An entry of which some pieces, at least one, can't be decoded."""
    try:
        pieces = _decode_pieces(body)
    except UNDECODABLE:
        whole = Unreadable(0, body, problem(error))
        return StoredEntry(str(position), Entry(), deliveries, (whole,))
    unreadable: list[Unreadable] = []
    events = readable(pieces.events, _decode_event, _job_id_in, unreadable, first=0)
    reports = readable(
        pieces.reports, _decode_report, _job_id_in, unreadable, first=len(pieces.events)
    )
    return StoredEntry(str(position), Entry(events, reports), deliveries, tuple(unreadable))


def _job_id_in(piece: bytes) -> str | None:
    return _decode_known(piece).job_id
