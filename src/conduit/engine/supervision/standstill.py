"""Notices that all places of this worker are held by jobs that wait for other jobs.

Nothing is asked of the queue before that is so, and has stayed the same for a while. Then what the
jobs wait for says whether it is a standstill; and those of the other workers, whether it will end.
"""

from __future__ import annotations

import asyncio
import logging
from itertools import islice

from msgspec import structs

from conduit.core.errors import QueueError
from conduit.core.model import Job, JobStatus, Lease, Standstill, StandstillWait, WorkerInfo
from conduit.core.standstill import deadlocks, in_words
from conduit.engine.attempts.attempt import Attempt
from conduit.engine.claims.capacity import Room
from conduit.engine.claims.slots import Slots
from conduit.queue.base import Queue

logger = logging.getLogger("conduit.engine")

CHECK_S = 2.0
LONGEST_PAUSE_S = 20.0
"""How rarely a standstill that will end is looked at again while nothing about it changes."""
MOST_JOBS = 200
"""So many of the jobs that are waited for are looked at."""
MOST_WAITS = 20
"""So many pairs of functions are told of."""

_Picture = frozenset[tuple[str, str]]
"""Who waits for whom."""


class StandstillWatch:
    """`worker` is what the queue knows of this worker, save for its standstills."""

    def __init__(self, queue: Queue, slots: Slots, worker: WorkerInfo) -> None:
        self._queue = queue
        self._slots = slots
        self._worker = worker
        self._picture: _Picture = frozenset()
        self._pause = CHECK_S
        self._due_at = 0.0
        self._noted = False  # whether the queue has been told of one
        self._said = False

    async def run(self) -> None:
        """Watch; returns only by being cancelled."""
        while True:
            await asyncio.sleep(CHECK_S)
            try:
                await self._check()
            except QueueError as error:  # whoever claims and reports tells of an outage
                logger.debug("standstills can't be looked for now: %s", error)

    async def _check(self) -> None:
        held = self._slots.rooms_that_wait()
        picture = frozenset(
            (attempt.job.id, awaited)
            for _, attempts in held
            for attempt in attempts
            for awaited in attempt.awaited()
        )
        now = asyncio.get_running_loop().time()
        if picture != self._picture:
            self._picture, self._said = picture, False
            self._pause, self._due_at = CHECK_S, now
            if self._noted:
                await self._note(())
        elif picture and now >= self._due_at:
            await self._examine(held)
            self._due_at = now + self._pause
            self._pause = min(2 * self._pause, LONGEST_PAUSE_S)

    async def _examine(self, held: list[tuple[Room, list[Attempt]]]) -> None:
        found = [await self._standstill(room, attempts) for room, attempts in held]
        standstills = tuple(each for each in found if each is not None)
        if standstills or self._noted:
            await self._note(standstills)
        if not standstills or self._said:
            return
        stuck = deadlocks(await self._queue.workers(), await self._queue.functions())
        for worker, standstill in stuck:
            if worker.id == self._worker.id:
                self._said = True
                logger.warning("%s", in_words(worker, standstill))

    async def _note(self, standstills: tuple[Standstill, ...]) -> None:
        worker = structs.replace(self._worker, standstills=standstills)
        await self._queue.update_worker(worker)
        self._noted = bool(standstills)

    async def _standstill(self, room: Room, attempts: list[Attempt]) -> Standstill | None:
        """What the jobs of a room wait for; None if any of it is on its way."""
        waiters = {
            awaited: attempt.job.function for attempt in attempts for awaited in attempt.awaited()
        }
        waits = await self._waits(dict(islice(waiters.items(), MOST_JOBS)))
        if not waits or await self._paused(waits):
            return None
        # Those that nobody has taken come first: they are what to do something about.
        ordered = sorted(waits, key=lambda wait: (wait.holder, wait.waiter, wait.awaited))
        return Standstill(
            places=room.size, functions=tuple(room.functions), waits=tuple(ordered[:MOST_WAITS])
        )

    async def _waits(self, waiters: dict[str, str]) -> set[StandstillWait]:
        """What is waited for, by the ids of it; nothing at all if any of it is on its way.

        What a blocked job waits for is looked at in its place.
        """
        waits: set[StandstillWait] = set()
        seen: set[str] = set()
        pending = dict(waiters)
        while pending and len(seen) < MOST_JOBS:
            seen.update(pending)
            blocking: dict[str, str] = {}
            for job_id, job in zip(pending, await self._queue.get(list(pending)), strict=True):
                waiter = pending[job_id]
                if job is not None and job.status is JobStatus.BLOCKED:
                    blocking.update(dict.fromkeys(job.after, waiter))
                elif job_id in waiters or job is None or not job.status.finished:
                    wait = None if job is None else self._wait_for(job, waiter)
                    if wait is None:
                        return set()
                    waits.add(wait)
            pending = {each: by for each, by in blocking.items() if each not in seen}
        return waits

    def _wait_for(self, job: Job, waiter: str) -> StandstillWait | None:
        """How a job is waited for; None if it is on its way."""
        wait = StandstillWait(waiter=waiter, awaited=job.function, queue=job.queue)
        if job.status is JobStatus.QUEUED:
            return wait
        if job.status is not JobStatus.RUNNING or job.worker_id is None:
            return None
        if job.worker_id != self._worker.id:
            return structs.replace(wait, holder=job.worker_id)
        attempt = self._slots.find(Lease(job.id, job.token or ""))
        if attempt is None or attempt.reported:
            return None
        if attempt.task is None:
            return wait  # it was claimed ahead, and is as good as queued
        return structs.replace(wait, holder=job.worker_id) if attempt.awaited() else None

    async def _paused(self, waits: set[StandstillWait]) -> bool:
        """Whether somebody has paused some of it, so that it is meant to stand still."""
        functions = await self._queue.paused_functions()
        queues = {info.name for info in await self._queue.queues() if info.paused}
        return any(wait.awaited in functions or wait.queue in queues for wait in waits)
