"""The claim loop: fetches as many jobs as there is room for, and waits when there are none."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager, suppress

from conduit.core.errors import QueueUnavailableError
from conduit.core.model import Job, Lease
from conduit.engine.attempt import Attempt, Stop
from conduit.engine.backoff import Outage, Voice
from conduit.engine.fairness import QueueOrder
from conduit.engine.function import WorkerSpec
from conduit.engine.orphans import release_orphans
from conduit.engine.pace import Pace
from conduit.engine.slots import Slots
from conduit.queue.base import Claim, Queue

IDLE_WAIT_S = 60.0


class Claimer:
    """Claims jobs for the slots of one worker."""

    def __init__(
        self,
        queue: Queue,
        spec: WorkerSpec,
        worker_id: str,
        pace: Pace,
        attempt: Callable[[Job], Attempt],
        voice: Voice,
    ) -> None:
        self._queue = queue
        self._spec = spec
        self._worker_id = worker_id
        self._pace = pace
        self._attempt = attempt
        self._voice = voice
        self._order = QueueOrder(spec.queues)
        self._turns = deque(spec.functions)
        self._room = asyncio.Event()
        self._stopping = asyncio.Event()
        self._under_way = False
        self._in_doubt = False  # whether a claim without an answer has leased something
        self._starting: set[str] = set()
        self._early_cancels: set[Lease] = set()

    def stop(self) -> None:
        """Claim no more. A claim under way is let through: its jobs have to be handed back."""
        self._stopping.set()
        self._room.set()

    def on_room(self) -> None:
        """Told that a job has ended."""
        self._room.set()

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
            room = self._free(slots)
            if room <= 0:
                self._room.clear()
                if self._free(slots) <= 0:
                    await self._room.wait()
                continue
            try:
                await self._hand_back_unheard_of(slots)
                claimed = await self._fetch(room)
                self._accept(claimed, slots)
                outage.over()
                if len(claimed) < room:
                    await self._unless_stopping(
                        self._queue.wait_for_jobs(self._order.names, IDLE_WAIT_S)
                    )
            except QueueUnavailableError as error:
                await self._unless_stopping(outage.pause(error))

    async def _fetch(self, room: int) -> list[Job]:
        self._early_cancels.clear()
        self._under_way = True
        try:
            return await self._queue.claim(self._claim(room))
        except Exception:
            self._under_way = False
            self._in_doubt = True
            raise

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

    async def _unless_stopping(self, wait: Awaitable[None]) -> None:
        """Wait for something, but no longer than until the worker is to stop."""
        waiting = asyncio.ensure_future(wait)
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait({waiting, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if waiting.done():
                waiting.result()
        finally:
            stopping.cancel()
            waiting.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await waiting

    def _claim(self, room: int) -> Claim:
        return Claim(
            worker_id=self._worker_id,
            queues=self._order.next(),
            functions=self._functions_in_turn(),
            limit=room,
            lease_ms=self._spec.lease_ms,
        )

    def _functions_in_turn(self) -> tuple[str, ...]:
        """Every function, another one first each time, so that small claims are fair as well."""
        self._turns.rotate(-1)
        return tuple(self._turns)

    def _free(self, slots: Slots) -> int:
        """How many jobs to claim now: as many as can run, and while jobs are short, some ahead.

        Fetching ahead goes in gulps: a claim for one job costs nearly as much as one for a hundred.
        """
        concurrency, ahead, held = self._spec.concurrency, self._pace.ahead, slots.held
        free = concurrency + ahead - held
        return free if free >= ahead // 2 or held < concurrency else 0
