"""The reconciler: finds what the event stream lost, and lets the queue put it right.

Events get lost where a Redis is flushed or fails over, where a stream is trimmed, or where one is
a dead letter. Four things give that away: events that have waited too long for the one before them;
unfinished rows that nothing has touched for half a minute; jobs of the queue that the history
lacks, or has otherwise. A row is put right only if it stays wrong for a while: its event may be on
its way.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from uuid import uuid4

from msgspec import Struct
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from conduit.core.errors import ConduitError
from conduit.core.model import Job
from conduit.queue.base import JobFilter, Queue
from conduit.server.db import tables
from conduit.server.db.database import Database
from conduit.server.db.rows import JobRow, job_row
from conduit.server.duty import Duty
from conduit.server.ingest import bulk
from conduit.server.ingest.apply import take_turn, wall_clock
from conduit.server.ingest.consumer import IDLE_MS, Publish
from conduit.server.ingest.healing import (
    AT_ONCE,
    Healed,
    Life,
    agree,
    heal,
    life_of,
    rebuild,
    unfinished_since,
)

__all__ = ["Healed", "Reconciler", "rebuild"]

LOCK = "conduit:reconciler"
GRACE_MS = 2 * IDLE_MS
"""How long something stays wrong before it's put right. Events that a killed server had only read
are with another one by then; a row that went past them would lose the attempts they tell of."""
_LOCK_MS = 30_000
_LONGEST_PAUSE_S = 10.0
# A look at everything may cost seconds where there are millions of jobs: it gets so much of the
# time at most.
_SHARE = 0.05

_log = logging.getLogger(__name__)


class _Suspect(Struct, frozen=True):
    life: Life | None
    since: float


class ReconcilerMetrics:
    """Counts since the start."""

    def __init__(self) -> None:
        self.rounds = 0
        self.healed = 0
        self.lost = 0
        self.looked_at = 0


def _always() -> bool:
    return True


async def _for_ever() -> int:
    return 0


class Reconciler(Duty):
    """Keeps the history true where events are lost; a service of the server.

    `caught_up` says whether the ingest is: until then, what is missing may just not have come yet.
    `kept_since` says before which end the history has rightly forgotten what its queue still has.
    Of several servers, the one that holds the lock does the work.
    """

    name = "reconciler"

    def __init__(
        self,
        queue: Queue,
        database: Database,
        publish: Publish,
        *,
        caught_up: Callable[[], bool] = _always,
        kept_since: Callable[[], Awaitable[int]] = _for_ever,
        every_s: float = 2.0,
        grace_ms: int = GRACE_MS,
        untouched_ms: int = 30_000,
    ) -> None:
        super().__init__()
        self.metrics = ReconcilerMetrics()
        self._queue = queue
        self._database = database
        self._publish = publish
        self._caught_up = caught_up
        self._kept_since = kept_since
        self._every_s = every_s
        self._grace_ms = grace_ms
        self._untouched_ms = untouched_ms
        self._token = uuid4().hex
        self._may_hold_lock = False
        self._suspects: dict[str, _Suspect] = {}
        self._cursor: str | None = None
        self._paces: dict[str, float] = {}
        self._trouble = 0

    # --- life ---------------------------------------------------------------------------------

    async def stop(self) -> None:
        """Finish the round, give the lock to others, and stop."""
        await super().stop()
        if self._may_hold_lock:
            self._may_hold_lock = False
            with suppress(ConduitError):  # it ends by itself
                await self._queue.unlock(LOCK, self._token)

    async def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                await self.run_once()
                self._trouble = 0
            except (ConduitError, SQLAlchemyError) as error:
                if not self._trouble:
                    _log.warning("the history isn't compared with the queue: %s", error)
                self._trouble = min(self._trouble + 1, 16)
            pause = min(self._every_s * 2**self._trouble, _LONGEST_PAUSE_S)
            await self._pause(pause * random.uniform(0.8, 1.0))

    # --- one round ----------------------------------------------------------------------------

    async def run_once(self) -> Healed:
        """Look for what is wrong, and put right what has been wrong for a while."""
        self._may_hold_lock = True
        if not await self._queue.lock(LOCK, self._token, _LOCK_MS):
            self._suspects.clear()  # another server looks after them
            return Healed()
        done = await self._heal(await self._gaps())
        if self._caught_up():
            await self._at_pace("unfinished", self._look_at_unfinished)
            await self._at_pace("newest", self._look_at_newest)
            await self._at_pace("all", self._look_at_next_page)
            done += await self._heal(await self._confirmed())
        self.metrics.rounds += 1
        return done

    async def _heal(self, job_ids: Sequence[str]) -> Healed:
        done = Healed()
        for first in range(0, len(job_ids), AT_ONCE):
            chosen = job_ids[first : first + AT_ONCE]
            some = await heal(
                self._queue,
                self._database,
                chosen,
                wall_clock(),
                may_be_lost=self._caught_up(),
            )
            self._publish(some.changes)
            done += some
        if done.healed or done.lost:
            _log.warning(
                "%d jobs' rows were put right by the queue, %d unfinished jobs are lost",
                *(done.healed, done.lost),
            )
        self.metrics.healed += done.healed
        self.metrics.lost += done.lost
        self.metrics.looked_at += done.looked_at
        return done

    async def _gaps(self) -> list[str]:
        """Jobs with events that have waited for too long for those before them."""
        parked = tables.parked_events
        query = (
            select(parked.c.job_id)
            .where(parked.c.parked_at <= wall_clock() - self._grace_ms)
            .distinct()
            .limit(AT_ONCE)
        )
        async with self._database.read() as connection:
            return list((await connection.scalars(query)).all())

    # --- who is suspect -----------------------------------------------------------------------

    async def _at_pace(self, what: str, look: Callable[[], Awaitable[None]]) -> None:
        """Look, unless the last look was so costly that it would be too soon."""
        started = time.monotonic()
        if started >= self._paces.get(what, 0.0):
            await look()
            ended = time.monotonic()
            self._paces[what] = ended + (ended - started) / _SHARE

    async def _look_at_unfinished(self) -> None:
        """Unfinished rows that nothing has touched for long: most are simply waiting."""
        job_ids = await unfinished_since(self._database, wall_clock() - self._untouched_ms)
        if not job_ids:
            return
        rows = await self._rows(job_ids)
        jobs = dict(zip(job_ids, await self._queue.get(job_ids), strict=True))
        right: list[str] = []
        for job_id in job_ids:
            if agree(rows.get(job_id), jobs[job_id]):
                right.append(job_id)
            else:
                self._suspect(job_id, life_of(rows.get(job_id)))
        async with self._database.begin() as connection:
            column = tables.jobs.c.applied_at
            await take_turn(connection)
            await bulk.set_number(connection, column, wall_clock(), "id", right)

    async def _look_at_newest(self) -> None:
        await self._compare((await self._queue.find(JobFilter(), limit=AT_ONCE)).items)

    async def _look_at_next_page(self) -> None:
        """Walk through all that the queue has, a page at a time, over and over."""
        try:
            page = await self._queue.find(JobFilter(), limit=AT_ONCE, cursor=self._cursor)
        except ValueError:
            self._cursor = None
            return
        self._cursor = page.next_cursor
        await self._compare(page.items)

    async def _compare(self, jobs: Sequence[Job]) -> None:
        rows = await self._rows([job.id for job in jobs])
        kept_since = await self._kept_since() if len(rows) < len(jobs) else 0
        for job in jobs:
            row = rows.get(job.id)
            if row is None and job.finished_at is not None and job.finished_at < kept_since:
                continue
            if row is None or life_of(row) != life_of(job) or row.status is not job.status:
                self._suspect(job.id, life_of(row))

    async def _rows(self, job_ids: Sequence[str]) -> dict[str, JobRow]:
        async with self._database.read() as connection:
            found = await bulk.select(connection, tables.jobs, "id", job_ids)
        return {row.id: job_row(row) for row in found}

    def _suspect(self, job_id: str, life: Life | None) -> None:
        known = self._suspects.get(job_id)
        if known is None or known.life != life:
            self._suspects[job_id] = _Suspect(life, time.monotonic())

    async def _confirmed(self) -> list[str]:
        """Suspects whose rows nothing has moved on since; the others are none any more."""
        until = time.monotonic() - self._grace_ms / 1000
        due = [job_id for job_id, suspect in self._suspects.items() if suspect.since <= until]
        if not due:
            return []
        rows = await self._rows(due)
        return [
            job_id for job_id in due if self._suspects.pop(job_id).life == life_of(rows.get(job_id))
        ]
