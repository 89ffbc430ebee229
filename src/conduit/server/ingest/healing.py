"""Putting rows right that their events no longer can: the queue is asked, and its word taken."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct, structs
from sqlalchemy import select

from conduit.core.model import Artifact, Job, JobStatus, LogLine
from conduit.queue.base import JobFilter, Queue
from conduit.server.db import counts, tables
from conduit.server.db.database import Database
from conduit.server.db.rows import JobRow
from conduit.server.ingest import bulk, soundness
from conduit.server.ingest.apply import Change, LoadedHistory, load, save, take_turn
from conduit.server.ingest.fold import is_lost, row_of

AT_ONCE = 1000

HEALED = "job.healed"
"""The kind of a change that came of no event."""


class Healed(Struct, frozen=True, kw_only=True):
    """What was done: rows put right by the queue's word, jobs given up, rows looked at."""

    healed: int = 0
    lost: int = 0
    looked_at: int = 0
    changes: tuple[Change, ...] = ()

    def __add__(self, other: Healed) -> Healed:
        return Healed(
            healed=self.healed + other.healed,
            lost=self.lost + other.lost,
            looked_at=self.looked_at + other.looked_at,
            changes=self.changes + other.changes,
        )


class _Word(Struct, frozen=True):
    """What the queue says of a job: all there is, or that it has none."""

    job: Job | None
    logs: Sequence[LogLine] = ()
    artifacts: Sequence[Artifact] = ()


Life = tuple[int, int]
"""What tells a row's states apart: when its job was submitted, and its seq."""


def life_of(row: JobRow | Job | None) -> Life | None:
    """How far a row or a job is."""
    return None if row is None else (row.submitted_at, row.seq)


def agree(row: JobRow | None, job: Job | None) -> bool:
    """Whether a row is what the queue says, or the queue has rightly forgotten a finished job."""
    if row is None or job is None:
        return row is job is None or (job is None and row is not None and row.status.finished)
    return structs.replace(row, applied_at=0) == row_of(job, 0)


async def heal(
    queue: Queue, database: Database, job_ids: Sequence[str], now: int, *, may_be_lost: bool
) -> Healed:
    """Make the rows of these jobs what the queue says they are.

    Rows that events have moved on meanwhile are left to their events. `may_be_lost`: an unfinished
    job that the queue doesn't have has failed, and isn't merely unheard of yet.
    """
    job_ids = [job_id for job_id in job_ids if soundness.fault_of_id(job_id) is None]
    if not job_ids:
        return Healed()
    async with database.read() as connection:
        before = await load(connection, job_ids, now)
    # Only now, so that where they differ the queue's word is the newer.
    words = await _ask(queue, before)
    right = [
        job_id
        for job_id, history in before.items()
        if agree(history.row, words[job_id].job) and not history.parked
    ]
    wrong = [
        job_id
        for job_id in before.keys() - set(right)
        if may_be_lost or words[job_id].job is not None
    ]
    done = Healed(looked_at=len(before))
    async with database.begin() as connection:
        await take_turn(connection)
        await bulk.set_number(connection, tables.jobs.c.applied_at, now, "id", right)
        if wrong:
            histories = await load(connection, wrong, now)
            mended = [
                history
                for job_id, history in histories.items()
                if _is_as_before(history, before[job_id]) and _mend(history, words[job_id], now)
            ]
            changes = await save(connection, mended, now, kind=HEALED)
            lost = sum(each.row is not None and is_lost(each.row) for each in mended)
            done += Healed(healed=len(mended) - lost, lost=lost, changes=tuple(changes))
    return done


async def _ask(queue: Queue, histories: dict[str, LoadedHistory]) -> dict[str, _Word]:
    jobs = dict(zip(histories, await queue.get(list(histories)), strict=True))
    words: dict[str, _Word] = {}
    for job_id, job in jobs.items():
        if job is None or not job.fence or agree(histories[job_id].row, job):
            words[job_id] = _Word(job)
        else:
            words[job_id] = _Word(job, await queue.logs(job_id), await queue.artifacts(job_id))
    return words


def _is_as_before(history: LoadedHistory, before: LoadedHistory) -> bool:
    return (life_of(history.row), history.barrier) == (life_of(before.row), before.barrier)


def _mend(history: LoadedHistory, word: _Word, now: int) -> bool:
    if word.job is None:
        return history.give_up(now)
    return history.heal(word.job, word.logs, word.artifacts) or bool(history.stored_parked)


async def rebuild(queue: Queue, database: Database, now: int) -> Healed:
    """Bring the history in line with all that the queue has, however far they are apart.

    Finished jobs that the queue has forgotten are kept. What a job's earlier attempts were, only
    its events could tell.
    """
    done = Healed()
    cursor: str | None = None
    while True:
        page = await queue.find(JobFilter(), limit=AT_ONCE, cursor=cursor)
        found = [job.id for job in page.items]
        done += await heal(queue, database, found, now, may_be_lost=False)
        cursor = page.next_cursor
        if cursor is None:
            break
    while left := await unfinished_since(database, now):
        more = await heal(queue, database, left, now, may_be_lost=True)
        done += more
        if not more.lost and not more.healed:
            break
    async with database.begin() as connection:
        await take_turn(connection)
        await counts.mend(connection)
    return structs.replace(done, changes=())


async def unfinished_since(database: Database, before: int) -> list[str]:
    """Some jobs that are unfinished and were last touched before a time of this server's clock."""
    jobs = tables.jobs
    statuses = [status.value for status in JobStatus if not status.finished]
    query = (
        select(jobs.c.id)
        .where(jobs.c.status.in_(statuses), jobs.c.applied_at < before)
        .limit(AT_ONCE)
    )
    async with database.read() as connection:
        return list((await connection.scalars(query)).all())
