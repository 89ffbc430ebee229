"""Between rows and records: the columns of a job in one place, and the way to append events."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any, get_origin

import msgspec
from msgspec import Raw, Struct

from conduit.core.events import Entry, Event, EventKind, Report
from conduit.core.layout import Field, Room, fields_of
from conduit.core.model import NOTHING, Job, JobError, JobStatus, Lease, Terms
from conduit.core.transitions import began_at
from conduit.queue.base import StoredEntry, Unreadable
from conduit.queue.salvage import UNDECODABLE, problem, readable

LINES = fields_of(Job)
FIELDS = Job.__struct_fields__
COLUMNS = ", ".join(FIELDS)  # in the record's own order, so that a row is the record
_PLAIN_TYPES = {str: "TEXT", JobStatus: "TEXT", int: "INTEGER", bool: "INTEGER", float: "REAL"}
_PAYLOADS = (bytes, JobError)


def _definition(line: Field) -> str:
    """A column; a field that isn't given when a job is kept begins as its default."""
    kind = "BLOB" if line.type in _PAYLOADS else _PLAIN_TYPES.get(line.type, "TEXT")
    null = "" if line.optional else " NOT NULL"
    if line.optional or line.room is Room.FIXED or line.required:
        return f"{line.name} {kind}{null}"
    begins = f"X'{line.default.hex()}'" if line.type is bytes else int(line.default)
    return f"{line.name} {kind}{null} DEFAULT {begins}"


DEFINITIONS = ",\n    ".join(
    # What may be large stands last, so that the rest is read without it.
    map(_definition, sorted(LINES, key=lambda line: line.type in _PAYLOADS))
)
"""The columns of a job's fields, for schema.sql."""

_CANCEL_AT = FIELDS.index("cancel_requested")
_JSON_AT = [
    (at, msgspec.json.Decoder(line.type).decode)
    for at, line in enumerate(LINES)
    if line.type is JobError or get_origin(line.type) in (tuple, dict)
]
"""Where there is JSON that this package opens."""
# The same columns as one JSON array per job. A batch read as a single row takes one step of SQLite,
# which gives up the interpreter lock at each step: two threads trading it per row cost more than
# all the work they do.
_BYTES_AT = [at for at, line in enumerate(LINES) if line.type is bytes]
JSON_ROW = "json_array({})".format(
    ", ".join(
        f"CAST(jobs.{line.name} AS TEXT)" if line.type in _PAYLOADS else f"jobs.{line.name}"
        for line in LINES
    )
)
_STATUS = {status.value: status for status in JobStatus}

_encode = msgspec.json.Encoder().encode
_decode_rows = msgspec.json.Decoder(list[list[Any]]).decode
_decode_entry = msgspec.json.Decoder(Entry).decode
_decode_event = msgspec.json.Decoder(Event).decode
_decode_report = msgspec.json.Decoder(Report).decode

MAX_ENTRY_EVENTS = 500
MAX_ENTRY_BYTES = 4 * 1024 * 1024


def job_from(row: Sequence[Any]) -> Job:
    """A job out of a row that selected `COLUMNS`."""
    return _job_of(list(row))


def jobs_from_json(text: str) -> list[Job]:
    """Jobs out of an array of `JSON_ROW`s."""
    jobs: list[Job] = []
    for fields in _decode_rows(text):
        for at in _BYTES_AT:
            if fields[at] is not None:
                fields[at] = fields[at].encode()
        jobs.append(_job_of(fields))
    return jobs


def _job_of(fields: list[Any]) -> Job:
    fields[_CANCEL_AT] = bool(fields[_CANCEL_AT])
    for at, decode in _JSON_AT:
        if fields[at] is not None:
            fields[at] = decode(fields[at])
    *others, id_, args, submitted_at, status, run_at = fields
    return Job(
        *others,
        id=id_,
        args=args,
        submitted_at=submitted_at,
        status=_STATUS[status],
        run_at=run_at,
    )


TERMS = ", ".join(Terms.__struct_fields__)
"""The columns of `terms_row`."""
_terms_of = attrgetter(*Terms.__struct_fields__)
_COLLECTED_AT = [
    at for at, line in enumerate(fields_of(Terms)) if get_origin(line.type) in (tuple, dict)
]
_EMPTY = {at: _encode(fields_of(Terms)[at].default).decode() for at in _COLLECTED_AT}


def terms_row(job: Terms) -> list[Any]:
    """A job's terms as they are stored."""
    values = list(_terms_of(job))
    for at in _COLLECTED_AT:
        values[at] = _encode(values[at]).decode() if values[at] else _EMPTY[at]
    return values


def encode_error(error: JobError | None) -> bytes | None:
    """An error as it is stored."""
    return None if error is None else _encode(error)


def ids_json(values: Iterable[int | str]) -> str:
    """Values for `IN (SELECT value FROM json_each(?))`: one statement for any number of them."""
    return _encode(list(values)).decode()


def raw(value: bytes | None) -> Raw:
    """JSON bytes to be embedded in an event as they are."""
    return NOTHING if value is None else Raw(value)


class State(Struct, array_like=True, gc=False):
    """The part of a job that decides what an outcome does to it, as `finish` reads it."""

    id: str
    n: int
    status: JobStatus
    token: str | None
    cancel_requested: int
    generation: int
    attempt: int
    failures: int
    rescues: int
    fence: int
    seq: int
    claimed_at: int | None
    started_at: int | None
    reason: str | None
    awaited: int

    def began(self, now: int, ms_ago: int | None) -> None:
        """Take in when the function began, unless that is known or it never did."""
        if self.started_at is None and ms_ago is not None:
            self.started_at = began_at(now, ms_ago, self.claimed_at)

    def held_by(self, lease: Lease) -> bool:
        """Whether that lease is the job's present one."""
        return self.status is JobStatus.RUNNING and self.token == lease.token


def event(kind: EventKind, job: Job | State, at: int, **news: Any) -> Event:
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
