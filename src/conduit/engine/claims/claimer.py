"""The claim loop: fetches as many jobs as there are places for, and waits when there are none."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager, suppress

from conduit import telemetry
from conduit.core.errors import QueueUnavailableError
from conduit.core.model import Job, Lease
from conduit.engine.attempts.attempt import Attempt, Stop
from conduit.engine.attempts.function import WorkerSpec
from conduit.engine.claims.capacity import Room
from conduit.engine.claims.slots import Slots
from conduit.engine.claims.unanswered import release_orphans
from conduit.engine.outage import Outage, Voice
from conduit.queue.base import Claim, Queue

IDLE_WAIT_S = 60.0


class Claimer:
    """Claims jobs for the rooms of one worker."""

    def __init__(
        self,
        queue: Queue,
        spec: WorkerSpec,
        worker_id: str,
        rooms: Sequence[Room],
        attempt: Callable[[Job], Attempt],
        voice: Voice,
    ) -> None:
        self._queue = queue
        self._spec = spec
        self._worker_id = worker_id
        self._rooms = rooms
        self._attempt = attempt
        self._voice = voice
        self._queues, self._weights = tuple(spec.queues), tuple(spec.queues.values())
        self._vacated = asyncio.Event()
        self._stopping = asyncio.Event()
        self._under_way = False
        self._in_doubt = False  # whether a claim without an answer has leased something
        self._starting: set[str] = set()
        self._early_cancels: set[Lease] = set()

    def stop(self) -> None:
        """Claim no more. A claim under way is let through: its jobs have to be handed back."""
        self._stopping.set()
        self._vacated.set()

    def on_vacated(self) -> None:
        """Told that a job has ended."""
        self._vacated.set()

    def cancel_early(self, lease: Lease) -> None:
        """Cancel a job whose claim may still be on its way here."""
        if self._under_way:
            self._early_cancels.add(lease)

    @contextmanager
    def starting(self, job_id: str) -> Generator[None]:
        """While a job is started by other means than a claim, its lease is no orphan."""
        self._starting.add(job_id)
        try:
            yield
        finally:
            self._starting.discard(job_id)

    @property
    def was_cut_off(self) -> bool:
        """Whether a claim got no answer, so that nobody knows what it has leased."""
        return self._under_way or self._in_doubt

    async def run(self, slots: Slots) -> None:
        """Claim until `stop`."""
        outage = Outage(self._voice)
        while not self._stopping.is_set():
            if not any(room.free() for room in self._rooms):
                await self._until_free(self._rooms)
                continue
            try:
                await self._hand_back_unheard_of(slots)
                full = [room for room in self._rooms if not room.free()]
                more = await self._claim_for([room for room in self._rooms if room.free()], slots)
                outage.over()
                if not more:
                    news = [self._queue.wait_for_jobs(self._queues, IDLE_WAIT_S)]
                    await self._unless_stopping(*news, *([self._until_free(full)] if full else []))
            except QueueUnavailableError as error:
                await self._unless_stopping(outage.pause(error))

    async def _until_free(self, rooms: Sequence[Room]) -> None:
        """Wait until a room has a place, or the worker is to stop."""
        while not self._stopping.is_set() and not any(room.free() for room in rooms):
            self._vacated.clear()
            await self._vacated.wait()

    async def _claim_for(self, rooms: Sequence[Room], slots: Slots) -> bool:
        """Claim for each of the rooms; whether there may be more to be had."""
        more = False
        for number, claim in enumerate([self._claim(room) for room in rooms]):
            if number and self._stopping.is_set():
                break
            claimed = await self._fetch(claim)
            self._accept(claimed, slots)
            more = more or len(claimed) >= claim.limit
        return more

    async def _fetch(self, claim: Claim) -> list[Job]:
        self._early_cancels.clear()
        self._under_way = True
        asked = time.monotonic()
        try:
            jobs = await self._queue.claim(claim)
        except Exception:
            self._under_way = False
            self._in_doubt = True
            raise
        if telemetry.listeners:
            telemetry.tell(
                telemetry.Claim(
                    worker=self._worker_id,
                    jobs=tuple(map(telemetry.job_ref, jobs)),
                    limit=claim.limit,
                    took_s=time.monotonic() - asked,
                )
            )
        return jobs

    async def _hand_back_unheard_of(self, slots: Slots) -> None:
        """Release what a claim has leased whose answer was lost: its jobs would wait for the end
        of their leases, and be charged for it."""
        if not self._in_doubt:
            return

        def known(lease: Lease) -> bool:
            return lease.job_id in self._starting or slots.find(lease) is not None

        await release_orphans(self._queue, self._worker_id, known, running=slots.held)
        self._in_doubt = False

    def _accept(self, claimed: list[Job], slots: Slots) -> None:
        attempts = [self._attempt(job) for job in claimed]
        if self._early_cancels:
            for attempt in attempts:
                if attempt.lease in self._early_cancels:
                    attempt.flag(Stop.CANCEL)
        slots.accept(attempts)
        self._under_way = False

    async def _unless_stopping(self, *waits: Awaitable[None]) -> None:
        """Wait for the first of some things, but no longer than until the worker is to stop."""
        waiting = [asyncio.ensure_future(wait) for wait in waits]
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait({*waiting, stopping}, return_when=asyncio.FIRST_COMPLETED)
            for each in waiting:
                if each.done():
                    each.result()
        finally:
            stopping.cancel()
            for each in waiting:
                each.cancel()
                with suppress(asyncio.CancelledError, Exception):
                    await each

    def _claim(self, room: Room) -> Claim:
        return Claim(
            worker_id=self._worker_id,
            queues=self._queues,
            weights=self._weights,
            functions=room.functions,
            limit=room.free(),
            lease_ms=self._spec.lease_ms,
        )
