"""The event stream: entries of events and reports, as scripts append them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Raw, Struct

from conduit.core.events import KIND_NUMBERS, Entry, Event, EventKind, Report, Submission
from conduit.core.model import NOTHING
from conduit.queue.base import StoredEntry, Unreadable
from conduit.queue.redis import records
from conduit.queue.redis.layout import STATUSES, TERMS, EventRow, News, terms_from
from conduit.queue.redis.packing import long
from conduit.queue.salvage import UNDECODABLE, problem, readable


class _Report(Struct, frozen=True, array_like=True):
    kind: str
    subject: str
    data: str | None = None


_rows_from = msgspec.msgpack.Decoder(list[EventRow]).decode
_reports_from = msgspec.msgpack.Decoder(list[_Report]).decode

_KINDS = {number: kind for kind, number in KIND_NUMBERS.items()}
_TERM_NAMES = [term.name for term in TERMS]


def _raw(value: str | None) -> Raw:
    return NOTHING if value is None else Raw(value.encode())


def _submission(news: News) -> Submission:
    queue, function = records.split_lane(news.lane.encode())
    terms: dict[str, Any] = dict(zip(_TERM_NAMES, terms_from(news.terms), strict=True))
    return Submission(
        function=function,
        queue=queue,
        priority=news.priority,
        **terms,
        args=Raw(news.args.encode()),
        metadata=Raw((news.metadata or "{}").encode()),
        expires_at=news.expires_at,
    )


def _event(row: EventRow, at: int) -> Event:
    news, kind = row.news, _KINDS[row.kind]
    submitted = kind is EventKind.SUBMITTED
    first, lines = news.logs or (0, ())
    return Event(
        kind=kind,
        job_id=long(row.job_id),
        seq=row.seq,
        attempt=row.attempt,
        at=at,
        status=STATUSES[row.status],
        generation=row.generation,
        fence=row.fence,
        failures=row.failures,
        rescues=row.rescues,
        submission=_submission(news) if submitted else None,
        worker_id=news.worker_id,
        run_at=at if submitted and news.run_at is None else news.run_at,
        started_at=None if news.began_ms_ago is None else at - news.began_ms_ago,
        reason=records.reason_of(news.reason, news.ended_by),
        error=None if news.error is None else records.error_from(news.error),
        result=_raw(news.result),
        progress=news.progress,
        progress_message=news.progress_message,
        metadata=NOTHING if submitted else _raw(news.metadata),
        checkpoint=_raw(news.checkpoint),
        steps=_raw(news.steps),
        logs=tuple(
            msgspec.structs.replace(records.line_from(line), attempt=row.attempt, number=first + i)
            for i, line in enumerate(lines)
        ),
        artifact=None if news.artifact is None else records.artifact_from(news.artifact),
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
_row_from = msgspec.msgpack.Decoder(EventRow).decode
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
    return long(_anything_from(piece)[1])
