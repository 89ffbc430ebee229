"""Events into the tables: a batch in one transaction, a handful of statements for any number.

All that write job rows take turns (`take_turn`): several servers may hold events of one job, and a
row that isn't there yet can't be locked. So an event that finds the one before it missing can be
parked without a race, and `changes` are numbered in the order in which they are committed.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Sequence

import msgspec
from msgspec import Struct
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from conduit.core.events import Event, EventKind, Report
from conduit.core.model import JobStatus
from conduit.queue.base import StoredEntry
from conduit.server.db import tables
from conduit.server.db.rows import DependencyRow, JobRow, job_row
from conduit.server.ingest import api_requests, bulk, soundness
from conduit.server.ingest.fold import JobHistory

_TURN = 0x436F6E64_496E6773
"""Names the lock: "CondIngs"."""

_to_json = msgspec.json.Encoder().encode
_event_from = msgspec.json.Decoder(Event).decode


class Change(Struct, frozen=True, kw_only=True):
    """What happened to one job, worker or schedule; a row of `tables.changes`."""

    id: int
    topic: str
    subject: str
    kind: str
    data: bytes
    at: int


class JobNews(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a change tells of its job: enough for a list to be kept up to date."""

    status: JobStatus
    function: str
    queue: str
    attempt: int
    seq: int
    worker_id: str | None = None
    progress: float | None = None
    progress_message: str | None = None
    reason: str | None = None
    started_at: int | None = None
    """When its function began, in milliseconds."""


class NewChange(Struct, frozen=True, kw_only=True):
    """A change that isn't numbered yet."""

    topic: str
    subject: str
    kind: str
    data: str
    at: int


class _Barrier(Struct, frozen=True):
    id: str
    deleted_at: int


class _Parked(Struct, frozen=True):
    job_id: str
    seq: int
    at: int
    body: str
    parked_at: int


def wall_clock() -> int:
    """This server's clock, in milliseconds."""
    return time.time_ns() // 1_000_000


async def take_turn(connection: AsyncConnection) -> None:
    """Wait until no other transaction writes job rows; let others wait until this one ends.

    A transaction on SQLite has the whole file to itself anyway.
    """
    if connection.dialect.name == "postgresql":
        await connection.execute(text("SELECT pg_advisory_xact_lock(:turn)"), {"turn": _TURN})


async def apply_entries(
    connection: AsyncConnection, entries: Sequence[StoredEntry], now: int
) -> list[Change]:
    """Apply what a queue told, in one transaction; what it changed.

    The events have to be sound: see `soundness.fault_of`. `now` is this server's clock.
    """
    events = [event for stored in entries for event in stored.entry.events]
    reports = [report for stored in entries for report in stored.entry.reports]
    return await apply(connection, events, reports, now)


async def apply(
    connection: AsyncConnection, events: Sequence[Event], reports: Sequence[Report], now: int
) -> list[Change]:
    """Apply events and keep reports; what that changed."""
    await take_turn(connection)
    histories = await load(connection, {event.job_id for event in events}, now)
    for event in events:
        histories[event.job_id].apply(event)
    changes = await save(connection, histories.values(), now)
    told = await api_requests.count(connection, reports, now)
    return changes + await _number(connection, [_news_of_report(report) for report in told])


# --- reading ------------------------------------------------------------------------------------


async def load(
    connection: AsyncConnection, job_ids: Collection[str], now: int
) -> dict[str, LoadedHistory]:
    """The histories of these jobs as they are stored, also of those that nothing is known of."""
    if not job_ids:
        return {}
    rows = {
        row.id: job_row(row) for row in await bulk.select(connection, tables.jobs, "id", job_ids)
    }
    barriers: dict[str, int] = {
        row.id: row.deleted_at
        for row in await bulk.select(connection, tables.deleted_jobs, "id", job_ids)
    }
    parked: dict[str, list[Event]] = {}
    for row in await bulk.select(connection, tables.parked_events, "job_id", job_ids):
        parked.setdefault(row.job_id, []).append(_event_from(row.body))
    return {
        job_id: LoadedHistory(
            job_id,
            now,
            rows.get(job_id),
            barrier=barriers.get(job_id),
            parked=parked.get(job_id, ()),
        )
        for job_id in job_ids
    }


class LoadedHistory(JobHistory):
    """A history that knows how it was stored, so that only what changed is written."""

    def __init__(
        self,
        job_id: str,
        now: int,
        row: JobRow | None,
        *,
        barrier: int | None,
        parked: Iterable[Event],
    ) -> None:
        super().__init__(job_id, now, row, barrier=barrier, parked=parked)
        self.stored_row = row
        self.stored_barrier = barrier
        self.stored_parked = dict(self.parked)


# --- writing ------------------------------------------------------------------------------------


async def save(
    connection: AsyncConnection,
    histories: Collection[LoadedHistory],
    now: int,
    *,
    kind: str | None = None,
) -> list[Change]:
    """Write what changed of some histories; the changes, of a `kind` where no event says it."""
    gone = [each.job_id for each in histories if each.row is None and each.stored_row is not None]
    wiped = [each.job_id for each in histories if each.wiped]
    await bulk.remove(connection, tables.jobs, "id", gone)
    for table in (tables.attempts, tables.logs, tables.artifacts, tables.dependencies):
        await bulk.remove(connection, table, "job_id", wiped)
    rows = [each.row for each in histories if each.row is not None and each.row != each.stored_row]
    await bulk.put(connection, tables.jobs, rows)
    await _save_dependencies(connection, histories)
    attempts = [row for each in histories for row in each.attempts.values()]
    await bulk.put(connection, tables.attempts, attempts)
    logs = [row for each in histories for row in each.logs.values()]
    await bulk.put(connection, tables.logs, logs)
    artifacts = [row for each in histories for row in each.artifacts.values()]
    # A copy that was made of the same bytes is still good.
    await bulk.put(connection, tables.artifacts, artifacts, keep="location", while_same="sha256")
    await _save_barriers(connection, histories)
    await _save_parked(connection, histories, now)
    news = [_news_of(each, now, kind) for each in histories if each.applied or kind]
    return await _number(connection, [each for each in news if each is not None])


async def _save_dependencies(
    connection: AsyncConnection, histories: Collection[LoadedHistory]
) -> None:
    """Write whom jobs wait for, which is fixed when they are submitted: once for each life."""
    rows = [
        DependencyRow(each.job_id, after_id)
        for each in histories
        if each.row is not None
        and (each.wiped or each.stored_row is None or each.stored_row.after != each.row.after)
        for after_id in each.row.after
    ]
    await bulk.add(connection, tables.dependencies, rows)


async def _save_barriers(connection: AsyncConnection, histories: Collection[LoadedHistory]) -> None:
    changed = [each for each in histories if each.barrier != each.stored_barrier]
    lifted = [each.job_id for each in changed if each.barrier is None]
    await bulk.remove(connection, tables.deleted_jobs, "id", lifted)
    barriers = [_Barrier(each.job_id, each.barrier) for each in changed if each.barrier is not None]
    await bulk.put(connection, tables.deleted_jobs, barriers)


async def _save_parked(
    connection: AsyncConnection, histories: Collection[LoadedHistory], now: int
) -> None:
    settled = [each.job_id for each in histories if each.stored_parked.keys() - each.parked.keys()]
    await bulk.remove(connection, tables.parked_events, "job_id", settled)
    waiting = [
        _Parked(each.job_id, event.seq, event.at, _to_json(event).decode(), now)
        for each in histories
        if each.parked.keys() != each.stored_parked.keys()
        for event in each.parked.values()
    ]
    await bulk.add(connection, tables.parked_events, waiting)


# --- changes ------------------------------------------------------------------------------------


def _news_of(history: LoadedHistory, now: int, kind: str | None) -> NewChange | None:
    """The one change that tells of a job's step or steps."""
    last = history.applied[-1] if history.applied else None
    row = history.row
    if row is None:
        if history.stored_row is None:
            return None
        kind, data = EventKind.DELETED.value, "{}"
    else:
        kind = kind or (last.kind.value if last else "")
        news = JobNews(
            status=row.status,
            function=row.function,
            queue=row.queue,
            attempt=row.attempt,
            seq=row.seq,
            worker_id=row.worker_id,
            progress=row.progress,
            progress_message=row.progress_message,
            reason=row.reason,
            started_at=row.started_at,
        )
        data = _to_json(news).decode()
    at = last.at if last else now
    return NewChange(topic="job", subject=history.job_id, kind=kind, data=data, at=at)


def _news_of_report(report: Report) -> NewChange:
    data = bytes(report.data).decode() if report.data else "{}"
    return NewChange(
        topic=report.kind.partition(".")[0],
        subject=soundness.name(report.subject) or "",
        kind=report.kind,
        data=data,
        at=report.at,
    )


async def _number(connection: AsyncConnection, news: Sequence[NewChange]) -> list[Change]:
    numbers = await bulk.append(connection, tables.changes, news)
    return [
        Change(
            id=number,
            topic=each.topic,
            subject=each.subject,
            kind=each.kind,
            data=each.data.encode(),
            at=each.at,
        )
        for number, each in zip(numbers, news, strict=True)
    ]
