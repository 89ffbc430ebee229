"""What a run left behind: the journal, the queue, its event stream, the history, the processes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import httpx
from msgspec import Struct
from sqlalchemy import func, select

from conduit.core.errors import ConduitError
from conduit.core.events import Event, Report
from conduit.core.model import FINISHED, Job, JobStatus, QueueInfo
from conduit.queue import Queue, open_queue
from conduit.queue.base import JobFilter, StoredEntry
from conduit.server.db import tables
from conduit.server.db.database import Database
from conduit.server.db.rows import AttemptRow, JobRow, job_row
from conduit.server.ingest.healing import HEALED
from tests.faults.lab.faults import Strike
from tests.faults.lab.journal import Line
from tests.faults.lab.listener import Heard
from tests.faults.lab.store_faults import FailOver, FlushRedis, KillRedis
from tests.faults.lab.stores import ForgetfulQueueStore
from tests.faults.lab.system import Exit, System

_PAGE = 20_000
"""What a page costs hardly depends on its size."""
_KILL_TAKES_MS = 200
_FOLLOW_S = 2.0
UNFINISHED = tuple(status for status in JobStatus if status not in FINISHED)


class Totals(Struct, frozen=True, kw_only=True):
    """What the HTTP API says of how many jobs there are."""

    jobs: int
    by_status: Mapping[str, int]


class Evidence(Struct, frozen=True, kw_only=True):
    """All that the checker goes by.

    `rewinds`: spans of time, in wall clock milliseconds, of which the store may rightly have
    forgotten what it answered. `losses`: when it lost all that it had.
    `confirmed`: submits were answered once a replica had them. `healed`: how many rows were put
    right by the queue's word, which only happens where the server was cut off for long (`heals`).
    `planted`: how many dead letters the run has put there itself.
    """

    lines: Sequence[Line] = ()
    jobs: Mapping[str, Job] = {}
    events: Sequence[Event] = ()
    reports: Sequence[Report] = ()
    rows: Mapping[str, JobRow] = {}
    attempts: Sequence[AttemptRow] = ()
    dead_letters: Sequence[str] = ()
    parked: int = 0
    queues: Sequence[QueueInfo] = ()
    leftovers: Mapping[str, int] = {}
    totals: Totals | None = None
    exits: Sequence[Exit] = ()
    strikes: Sequence[Strike] = ()
    rewinds: Sequence[tuple[int, int]] = ()
    losses: Sequence[int] = ()
    confirmed: bool = False
    healed: int = 0
    heals: bool = True
    planted: int = 0
    heard: Heard | None = None
    """What the stream of changes told; None where nobody listened."""
    changes: Mapping[int, str] = {}
    """What there was to be told, in words, by its id."""
    damage: str = ""
    """What is wrong with the files of the stores, in words."""
    ended_at: int = 0
    """When the schedules were paused."""


class Stream:
    """The event stream, read by a group of its own: a queue keeps what some group hasn't read."""

    def __init__(self) -> None:
        self._group = f"laboratory-{uuid4()}"
        self._entries: dict[str, StoredEntry] = {}

    async def follow(self, queue_url: str) -> None:
        """Read along until cancelled, for a run of more entries than a queue keeps."""
        while True:
            with suppress(ConduitError):
                async with open_queue(queue_url) as queue:
                    while True:
                        await self._read(queue)
                        await asyncio.sleep(_FOLLOW_S)
            await asyncio.sleep(_FOLLOW_S)

    async def all(self, queue: Queue) -> list[StoredEntry]:
        """Every entry, those too of which an answer was lost."""
        await self._read(queue)
        while left := await queue.claim_stale(self._group, "laboratory", 0):
            await self._keep(queue, left)
        return sorted(
            self._entries.values(), key=lambda stored: [*map(int, stored.position.split("-"))]
        )

    async def _read(self, queue: Queue) -> None:
        while more := await queue.read_events(self._group, "laboratory"):
            await self._keep(queue, more)

    async def _keep(self, queue: Queue, entries: Sequence[StoredEntry]) -> None:
        self._entries |= {stored.position: stored for stored in entries}
        await queue.ack(self._group, [stored.position for stored in entries])


async def gather(
    system: System,
    stream: Stream,
    strikes: Sequence[Strike],
    *,
    ended_at: int,
    totals: Totals | None,
    heard: Heard | None,
    heals: bool = True,
) -> Evidence:
    """Read everything, from the stores themselves."""
    async with open_queue(system.queue.direct_url) as queue:
        jobs = {job.id: job for job in await all_jobs(queue)}
        planted = {where for strike in strikes for where in strike.planted.positions}
        entries = [stored for stored in await stream.all(queue) if stored.position not in planted]
        queues = await queue.queues()
    async with Database(system.history.direct_url) as database, database.read() as connection:
        rows = [job_row(row) for row in await connection.execute(select(tables.jobs))]
        attempts = [
            AttemptRow(**row._mapping) for row in await connection.execute(select(tables.attempts))
        ]
        letters = await connection.execute(select(tables.dead_letters.c.reason))
        dead_letters = list(letters.scalars())
        parked = await connection.scalar(select(func.count()).select_from(tables.parked_events))
        healed = await connection.scalar(
            select(func.count()).where(tables.changes.c.kind == HEALED)
        )
        there = tables.changes.c.id, tables.changes.c.kind, tables.changes.c.subject
        last_id = heard.last_id if heard else 0
        changes = await connection.execute(select(*there).where(there[0] <= last_id))
        told = {number: f"{kind} of {subject}" for number, kind, subject in changes}
    return Evidence(
        lines=system.journal.lines(),
        jobs=jobs,
        events=[event for stored in entries for event in stored.entry.events],
        reports=[report for stored in entries for report in stored.entry.reports],
        rows={row.id: row for row in rows},
        attempts=attempts,
        dead_letters=dead_letters,
        parked=parked or 0,
        queues=queues,
        leftovers=system.queue.leftovers(),
        totals=totals,
        exits=system.exits(),
        strikes=strikes,
        rewinds=_rewinds(system, strikes),
        losses=losses_of(system, strikes),
        confirmed=system.queue.confirms,
        healed=healed or 0,
        heals=heals,
        planted=broken_by(strikes),
        heard=heard,
        changes=told,
        damage=system.queue.damage() or system.history.damage(),
        ended_at=ended_at,
    )


def broken_by(strikes: Sequence[Strike]) -> int:
    """How much unreadable was planted into the event stream."""
    return sum(strike.planted.broken for strike in strikes)


async def all_jobs(queue: Queue, *statuses: JobStatus) -> list[Job]:
    """All jobs that the queue has, or those of some statuses."""
    found: list[Job] = []
    cursor: str | None = None
    while True:
        page = await queue.find(JobFilter(statuses=statuses), limit=_PAGE, cursor=cursor)
        found += page.items
        cursor = page.next_cursor
        if cursor is None:
            return found


async def is_idle(queue: Queue, *names: str) -> bool:
    """Whether no job is unfinished, or none in queues of these names; False also while that can't
    be asked."""
    try:
        unfinished = JobFilter(statuses=UNFINISHED, queues=names)
        return not (await queue.find(unfinished, limit=1)).total
    except ConduitError:
        return False


async def until_finished(queue: Queue, patience_s: float) -> bool:
    """Wait until no job is unfinished: False where that takes too long."""
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        if await is_idle(queue):
            return True
        await asyncio.sleep(0.05)
    return False


async def until_told(
    queue: Queue, history_url: str, patience_s: float, *, letters: int = 0, lost: bool = False
) -> bool:
    """Wait until the history is as far as the queue, and has so many dead letters: False where
    that takes too long. `lost`: it may have jobs that the queue lost, and has given them up."""
    wanted = {job.id: job.seq for job in await all_jobs(queue)}
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        try:
            async with Database(history_url) as database, database.read() as connection:
                columns = tables.jobs.c.id, tables.jobs.c.seq, tables.jobs.c.finished_at
                rows = (await connection.execute(select(*columns))).all()
                told = {
                    job_id: seq
                    for job_id, seq, ended in rows
                    if not lost or job_id in wanted or ended is None
                }
                dead = select(func.count()).select_from(tables.dead_letters)
                if told == wanted and (await connection.scalar(dead) or 0) >= letters:
                    return True
        except ConduitError:
            pass
        await asyncio.sleep(0.1)
    return False


async def newest_change(history_url: str) -> int:
    """The id of the last change that the history has to tell; 0 where there is none."""
    async with Database(history_url) as database, database.read() as connection:
        return await connection.scalar(select(func.max(tables.changes.c.id))) or 0


def ask_totals(system: System) -> Totals | None:
    """What the server says; None where it doesn't answer."""
    try:
        return Totals(
            jobs=_total(system),
            by_status={status.value: _total(system, status=status.value) for status in JobStatus},
        )
    except httpx.HTTPError:
        return None


def _total(system: System, **parameters: str) -> int:
    total = system.ask("jobs", limit=1, **parameters)["total"]
    assert isinstance(total, int)
    return total


def losses_of(system: System, strikes: Sequence[Strike]) -> list[int]:
    """When the queue lost all that it had."""
    if not isinstance(system.queue, ForgetfulQueueStore):
        return []
    return [each.at for each in strikes if each.fault in (KillRedis.name, FlushRedis.name)]


def _rewinds(system: System, strikes: Sequence[Strike]) -> list[tuple[int, int]]:
    forgets_s = system.queue.forgets_s
    if forgets_s is None:
        return []
    return [
        (strike.at - round(forgets_s * 1000), strike.at + _KILL_TAKES_MS)
        for strike in strikes
        if strike.fault in (KillRedis.name, FailOver.name)
    ]


def logs_of(folder: Path) -> str:
    """What the processes said last, for people."""
    return "\n".join(
        f"--- {path.name}\n" + "\n".join(path.read_text("utf-8", "replace").splitlines()[-30:])
        for path in sorted(folder.glob("*.log"))
    )
