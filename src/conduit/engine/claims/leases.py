"""Brings what the queue says of held leases, that they are lost or to be cancelled, to the jobs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from conduit.core.errors import QueueUnavailableError
from conduit.core.model import Lease
from conduit.engine.attempts.attempt import Stop
from conduit.engine.claims.slots import Slots
from conduit.engine.outage import Outage, Voice
from conduit.queue.base import Held, Queue

IDLE_WAIT_S = 60.0


class LeaseWatch:
    """`on_unknown_cancel` is told of a cancel for a lease that has no job here."""

    def __init__(self, slots: Slots, on_unknown_cancel: Callable[[Lease], None]) -> None:
        self._slots = slots
        self._on_unknown_cancel = on_unknown_cancel
        self._loop = asyncio.get_running_loop()

    def on_answer(self, lease: Lease, held: Held) -> None:
        """What the heartbeat learnt of a lease, in its thread: flag now, act on the loop."""
        reason = Stop.LOST if held is Held.LOST else Stop.CANCEL
        self._slots.flag_thread(lease, reason)
        with suppress(RuntimeError):  # the loop has closed
            self._loop.call_soon_threadsafe(self._stop, lease, reason)

    async def listen(self, queue: Queue, worker_id: str, voice: Voice) -> None:
        """Pass on cancels as they are asked for; returns only by being cancelled."""
        outage = Outage(voice)
        known: list[Lease] = []
        while True:
            try:
                # A long wait after an outage would put off the news that it is over.
                patience = 0.0 if outage.lasts else IDLE_WAIT_S
                asked = await queue.wait_for_cancels(worker_id, patience, known=known)
                outage.over()
            except QueueUnavailableError as error:
                await outage.pause(error)
                continue
            for lease in asked:
                self._stop(lease, Stop.CANCEL)
            known = [lease for lease in known if self._slots.find(lease)] + asked

    def _stop(self, lease: Lease, reason: Stop) -> None:
        if not self._slots.stop(lease, reason) and reason is Stop.CANCEL:
            self._on_unknown_cancel(lease)
