"""`SqliteQueue`: the queue protocol, each verb one piece of work for the writer or the reader."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Self, TypeVar

from conduit.core.crons import Tick, Ticked
from conduit.core.errors import JobNotFoundError
from conduit.core.events import Report
from conduit.core.model import (
    Artifact,
    CronInfo,
    FunctionInfo,
    Job,
    Lease,
    LogLine,
    NewJob,
    QueueInfo,
    WorkerInfo,
)
from conduit.queue.base import (
    ALIVE_MS,
    NONE_BEGUN,
    Action,
    Claim,
    Finished,
    Health,
    Held,
    JobFilter,
    JobPage,
    Note,
    Outcome,
    Registration,
    Retention,
    StoredEntry,
    Submitted,
    SweepReport,
)
from conduit.queue.gate import Gated
from conduit.queue.sqlite import (
    crons,
    lanes,
    looking,
    operating,
    registry,
    running,
    stream,
    submitting,
    sweeping,
)
from conduit.queue.sqlite.database import Database
from conduit.queue.sqlite.lanes import Check
from conduit.queue.sqlite.turns import Turns

T = TypeVar("T")


def _wall_clock() -> int:
    return time.time_ns() // 1_000_000


class SqliteQueue(Gated):
    """A queue in the file at `path`, made when it isn't there. `clock` answers milliseconds."""

    def __init__(self, path: Path, *, clock: Callable[[], int] | None = None) -> None:
        self._clock = clock or _wall_clock
        self._db = Database(path)
        self._turns: dict[tuple[object, ...], Turns] = {}  # by what a claim asks for
        self._check = Check()

    # --- life ---------------------------------------------------------------------------------

    remote = False

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        return self._db.loop

    def sibling(self) -> SqliteQueue:
        return SqliteQueue(self._db.path, clock=self._clock)

    async def open(self) -> None:
        await self._db.open()

    async def close(self) -> None:
        await self._db.close()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def now(self) -> int:
        return self._clock()

    async def health(self) -> Health:
        path = self._db.path

        def check(db: sqlite3.Connection) -> None:
            db.execute("INSERT OR REPLACE INTO meta (name, value) VALUES ('health', 1)")
            db.execute("DELETE FROM meta WHERE name = 'health'")

        await self._db.write(check)
        return Health(
            backend="sqlite",
            address=f"sqlite:///{path}",
            version=sqlite3.sqlite_version,
            durable=True,
        )

    async def _write(self, piece: Callable[[sqlite3.Connection, int], T]) -> T:
        """Run a piece in a transaction; its "now" is read inside, once the lock is held."""
        return await self._db.write(lambda db: piece(db, self._clock()))

    def _alive_since(self) -> int:
        return self._clock() - ALIVE_MS

    # --- submitting ---------------------------------------------------------------------------

    async def _submit(self, jobs: Sequence[NewJob]) -> list[Submitted]:
        return await self._write(partial(submitting.submit, jobs=jobs))

    async def _start(self, job: NewJob, worker_id: str, lease_ms: int) -> Job:
        return await self._write(
            partial(submitting.start, job=job, worker_id=worker_id, lease_ms=lease_ms)
        )

    # --- running ------------------------------------------------------------------------------

    async def claim(self, claim: Claim) -> list[Job]:
        turns = self._turns_of(claim)
        jobs: list[Job] = []
        more = True
        while more and not jobs:
            call = object()
            claiming = partial(running.claim, wanted=claim, turns=turns, call=call)
            jobs = await self._write(claiming)
            turns.kept, more = call, turns.more
        return jobs

    def _turns_of(self, claim: Claim) -> Turns:
        wanted = claim.queues, claim.weights, claim.functions
        if wanted not in self._turns:
            self._turns[wanted] = Turns(claim.queues, claim.weights, claim.functions)
        return self._turns[wanted]

    async def extend(
        self, leases: Sequence[Lease], lease_ms: int, begun: Mapping[Lease, int] = NONE_BEGUN
    ) -> list[Held]:
        return await self._write(
            partial(running.extend, leases=leases, lease_ms=lease_ms, begun=begun)
        )

    async def _finish(self, outcomes: Sequence[Outcome]) -> list[Finished]:
        return await self._write(partial(running.finish, outcomes=outcomes))

    async def _record(self, notes: Sequence[Note]) -> list[bool]:
        return await self._write(partial(running.record, notes=notes))

    async def sweep(self, retention: Retention, *, limit: int = 1000) -> SweepReport:
        return await self._write(
            partial(sweeping.sweep, retention=retention, limit=limit, check=self._check)
        )

    # --- waiting ------------------------------------------------------------------------------

    async def wait_for_jobs(self, queues: Sequence[str], timeout: float) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        wanted = [turns for turns in self._turns.values() if turns.serves(queues)]
        looked = min((max(turns.seen, turns.told) for turns in wanted), default=0)
        while not any(turns.more for turns in wanted):
            seen = self._db.version
            (ready, looked, paused), due = await self._db.read(
                lambda db, since=looked: (
                    lanes.news(db, wanted, since),
                    looking.next_due(db, queues),
                )
            )
            if ready:
                for turns in wanted:
                    turns.told, turns.told_paused = looked, paused
                return
            left = deadline - loop.time()
            if due is not None:
                left = min(left, (due - self._clock()) / 1000)
            if not await self._db.wait_for_change(seen, left):
                return

    async def wait_finished(self, job_ids: Sequence[str], timeout: float) -> list[Job]:
        deadline = asyncio.get_running_loop().time() + timeout
        while True:
            seen = self._db.version
            done, missing = await self._db.read(partial(looking.finished, job_ids=job_ids))
            if missing is not None:
                raise JobNotFoundError(missing)
            left = deadline - asyncio.get_running_loop().time()
            if done or not await self._db.wait_for_change(seen, left):
                return done

    async def wait_for_cancels(
        self, worker_id: str, timeout: float, *, known: Sequence[Lease] = ()
    ) -> list[Lease]:
        deadline = asyncio.get_running_loop().time() + timeout
        while True:
            seen = self._db.version
            asked = await self._db.read(partial(looking.cancels, worker_id=worker_id))
            fresh = [lease for lease in asked if lease not in known]
            left = deadline - asyncio.get_running_loop().time()
            if fresh or not await self._db.wait_for_change(seen, left):
                return fresh

    # --- operating ----------------------------------------------------------------------------

    async def cancel(self, job_ids: Sequence[str], reason: str) -> list[Action]:
        return await self._write(partial(operating.cancel, job_ids=job_ids, reason=reason))

    async def retry(self, job_ids: Sequence[str]) -> list[Action]:
        return await self._write(partial(operating.retry, job_ids=job_ids))

    async def delete(self, job_ids: Sequence[str]) -> list[Action]:
        return await self._write(partial(operating.delete, job_ids=job_ids))

    async def pause(self, queue: str) -> None:
        await self._write(partial(operating.pause, queue=queue))

    async def resume(self, queue: str) -> None:
        await self._write(partial(operating.resume, queue=queue))

    async def pause_function(self, name: str) -> None:
        await self._write(partial(operating.pause_function, name=name))

    async def resume_function(self, name: str) -> None:
        await self._write(partial(operating.resume_function, name=name))

    async def paused_functions(self) -> list[str]:
        return await self._db.read(operating.paused_functions)

    # --- looking ------------------------------------------------------------------------------

    async def get(self, job_ids: Sequence[str]) -> list[Job | None]:
        return await self._db.read(partial(looking.get, job_ids=job_ids))

    async def find(
        self, filter: JobFilter, *, limit: int = 50, cursor: str | None = None
    ) -> JobPage:
        return await self._db.read(partial(looking.find, wanted=filter, limit=limit, cursor=cursor))

    async def logs(self, job_id: str) -> list[LogLine]:
        return await self._db.read(partial(looking.logs, job_id=job_id))

    async def artifacts(self, job_id: str) -> list[Artifact]:
        return await self._db.read(partial(looking.artifacts, job_id=job_id))

    async def artifact(self, job_id: str, name: str) -> bytes | None:
        return await self._db.read(partial(looking.artifact, job_id=job_id, name=name))

    async def queues(self) -> list[QueueInfo]:
        return await self._db.read(partial(looking.queues, alive_since=self._alive_since()))

    # --- workers, functions, schedules, locks ----------------------------------------------------

    async def register(self, registration: Registration) -> None:
        await self._write(partial(registry.register, registration=registration))

    async def heartbeat(self, worker_id: str, running: int) -> bool:
        return await self._write(partial(registry.heartbeat, worker_id=worker_id, running=running))

    async def update_worker(self, worker: WorkerInfo) -> None:
        await self._write(partial(registry.update_worker, worker=worker))

    async def unregister(self, worker_id: str) -> None:
        await self._write(partial(registry.unregister, worker_id=worker_id))

    async def workers(self) -> list[WorkerInfo]:
        return await self._db.read(partial(registry.workers, alive_since=self._alive_since()))

    async def functions(self) -> list[FunctionInfo]:
        return await self._db.read(partial(registry.functions, alive_since=self._alive_since()))

    async def crons(self) -> list[CronInfo]:
        return await self._db.read(lambda db: crons.listed(db, self._clock()))

    async def _tick(self, ticks: Sequence[Tick]) -> list[Ticked]:
        return await self._write(partial(crons.tick, ticks=ticks))

    async def rewind_cron(self, name: str) -> bool:
        return await self._write(partial(crons.rewind, name=name))

    async def pause_cron(self, name: str, *, paused: bool) -> bool:
        return await self._write(partial(crons.pause, name=name, paused=paused))

    async def lock(self, name: str, token: str, ttl_ms: int) -> bool:
        return await self._write(partial(registry.lock, name=name, token=token, ttl_ms=ttl_ms))

    async def unlock(self, name: str, token: str) -> bool:
        return await self._db.write(partial(registry.unlock, name=name, token=token))

    # --- the event stream -----------------------------------------------------------------------

    async def _report(self, reports: Sequence[Report]) -> None:
        await self._write(partial(stream.report, reports=reports))

    async def read_events(
        self, group: str, consumer: str, *, limit: int = 100, timeout: float = 0
    ) -> list[StoredEntry]:
        deadline = asyncio.get_running_loop().time() + timeout
        while True:
            seen = self._db.version
            entries = await self._write(
                partial(stream.read, group=group, consumer=consumer, limit=limit)
            )
            left = deadline - asyncio.get_running_loop().time()
            if entries or left <= 0 or not await self._db.wait_for_change(seen, left):
                return entries

    async def ack(self, group: str, positions: Sequence[str]) -> int:
        return await self._db.write(partial(stream.ack, group=group, positions=positions))

    async def claim_stale(
        self, group: str, consumer: str, idle_ms: int, *, limit: int = 100
    ) -> list[StoredEntry]:
        return await self._write(
            partial(
                stream.claim_stale, group=group, consumer=consumer, idle_ms=idle_ms, limit=limit
            )
        )

    async def forget_consumers(self, group: str, idle_ms: int, *, only: str = "") -> None:
        """Nothing to do: a consumer is only remembered with the entries that it holds."""
