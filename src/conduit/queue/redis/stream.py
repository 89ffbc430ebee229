"""The event stream: entries of events and reports, as scripts append them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import Meta, Raw, Struct, field

from conduit.core.events import Entry, Event, EventKind, Report, Submission
from conduit.core.model import DEFAULT_MAX_DELIVERIES, NOTHING
from conduit.queue.base import StoredEntry, Unreadable
from conduit.queue.redis import records
from conduit.queue.salvage import UNDECODABLE, problem, readable


class _Extra(Struct, frozen=True, gc=False):
    """What an event has beside its counters."""

    lane: str = field(default="", name="L")
    args: str = field(default="{}", name="A")
    rest: str = field(default="", name="j")
    priority: int = field(default=0, name="P")
    run_at: int | None = field(default=None, name="R")
    expires_at: int | None = field(default=None, name="x")
    max_deliveries: int = field(default=DEFAULT_MAX_DELIVERIES, name="D")
    metadata: str | None = field(default=None, name="M")
    worker_id: str | None = field(default=None, name="w")
    began_ms_ago: int | None = field(default=None, name="b")
    reason: str | None = field(default=None, name="y")
    ended: str | None = field(default=None, name="i")
    error: str | None = field(default=None, name="e")
    result: str | None = field(default=None, name="o")
    progress: float | None = field(default=None, name="p")
    message: str | None = field(default=None, name="m")
    checkpoint: str | None = field(default=None, name="C")
    steps: str | None = field(default=None, name="S")
    logs: tuple[int, list[str]] | None = field(default=None, name="l")
    artifact: str | None = field(default=None, name="F")


class _Row(Struct, frozen=True, array_like=True, gc=False):
    kind: Annotated[int, Meta(ge=1, le=len(records.KINDS))]
    job_id: str
    seq: int
    attempt: int
    status: str
    generation: int
    fence: int
    failures: int
    rescues: int
    extra: _Extra = _Extra()


class _Report(Struct, frozen=True, array_like=True):
    kind: str
    subject: str
    data: str | None = None


_rows_from = msgspec.msgpack.Decoder(list[_Row]).decode
_reports_from = msgspec.msgpack.Decoder(list[_Report]).decode


def _raw(value: str | None) -> Raw:
    return NOTHING if value is None else Raw(value.encode())


def _submission(row: _Row) -> Submission:
    extra = row.extra
    queue, function = records.split_lane(extra.lane.encode())
    rest = records.rest_from(extra.rest) if extra.rest else records.NO_REST
    return Submission(
        function=function,
        queue=queue,
        args=Raw(extra.args.encode()),
        priority=extra.priority,
        key=rest.key,
        parent_id=rest.parent_id,
        root_id=rest.root_id,
        retries=rest.retries,
        timeout_ms=rest.timeout_ms,
        max_deliveries=extra.max_deliveries,
        expires_at=extra.expires_at,
        metadata=Raw((extra.metadata or "{}").encode()),
        after=records.ids_of(rest.after),
    )


def _event(row: _Row, at: int) -> Event:
    extra, kind = row.extra, records.KINDS[row.kind - 1]
    submitted = kind is EventKind.SUBMITTED
    first, lines = extra.logs or (0, ())
    return Event(
        kind=kind,
        job_id=records.long(row.job_id),
        seq=row.seq,
        attempt=row.attempt,
        at=at,
        status=records.STATUSES[row.status],
        generation=row.generation,
        fence=row.fence,
        failures=row.failures,
        rescues=row.rescues,
        submission=_submission(row) if submitted else None,
        worker_id=extra.worker_id,
        run_at=at if submitted and extra.run_at is None else extra.run_at,
        started_at=None if extra.began_ms_ago is None else at - extra.began_ms_ago,
        reason=records.reason_of(extra.reason, extra.ended),
        error=None if extra.error is None else records.error_from(extra.error),
        result=_raw(extra.result),
        progress=extra.progress,
        progress_message=extra.message,
        metadata=NOTHING if submitted else _raw(extra.metadata),
        checkpoint=_raw(extra.checkpoint),
        steps=_raw(extra.steps),
        logs=tuple(
            msgspec.structs.replace(records.line_from(line), attempt=row.attempt, number=first + i)
            for i, line in enumerate(lines)
        ),
        artifact=None if extra.artifact is None else records.artifact_from(extra.artifact),
    )


def entry_from(position: bytes, parts: Mapping[bytes, bytes], deliveries: int = 1) -> StoredEntry:
    """An entry of the stream: `a` is when, `b` are rows of events, `r` are reports.

    Never raises, whatever somebody has put there.
    """
    try:
        at = int(parts[b"a"])
        rows = _rows_from(parts[b"b"]) if b"b" in parts else []
        reports = _reports_from(parts[b"r"]) if b"r" in parts else []
        entry = Entry(
            events=tuple(_event(row, at) for row in rows),
            reports=tuple(_report(told, at) for told in reports),
        )
    except UNDECODABLE as error:
        return _salvaged(position, parts, deliveries, error)
    return StoredEntry(position.decode(), entry, deliveries)


def _report(told: _Report, at: int) -> Report:
    return Report(kind=told.kind, subject=told.subject, at=at, data=_raw(told.data))


_pieces_from = msgspec.msgpack.Decoder(list[Raw]).decode
_row_from = msgspec.msgpack.Decoder(_Row).decode
_report_from = msgspec.msgpack.Decoder(_Report).decode
_anything_from = msgspec.msgpack.Decoder().decode


def _salvaged(
    position: bytes, parts: Mapping[bytes, bytes], deliveries: int, error: Exception
) -> StoredEntry:
    """An entry of which some pieces, at least one, can't be decoded."""
    try:
        at = int(parts[b"a"])
        rows = _pieces_from(parts[b"b"]) if b"b" in parts else []
        reports = _pieces_from(parts[b"r"]) if b"r" in parts else []
    except UNDECODABLE:
        body = b" ".join(value for part in parts.items() for value in part)
        whole = Unreadable(0, body, problem(error))
        return StoredEntry(position.decode(), Entry(), deliveries, (whole,))
    unreadable: list[Unreadable] = []
    entry = Entry(
        readable(rows, lambda piece: _event(_row_from(piece), at), _job_id_in, unreadable, first=0),
        readable(
            reports,
            lambda piece: _report(_report_from(piece), at),
            _job_id_in,
            unreadable,
            first=len(rows),
        ),
    )
    return StoredEntry(position.decode(), entry, deliveries, tuple(unreadable))


def _job_id_in(piece: bytes) -> str:
    return records.long(_anything_from(piece)[1])
