"""Brings news of jobs to the queue in batches: notes first, then outcomes.

A batch is whatever came up while the last one was on its way, so an idle worker reports at once
and a busy one reports by the hundred. What can't be delivered is held and tried again; a result
that the store refuses fails its own job and nobody else's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

from msgspec import structs

from conduit.core.errors import LeaseLostError, QueueError, QueueUnavailableError
from conduit.core.model import JobError, Lease, Reason
from conduit.core.transitions import OutcomeKind
from conduit.engine.backoff import Outage
from conduit.queue.base import Finished, Note, Outcome, Queue

logger = logging.getLogger("conduit.engine")

SOFT_DELAY_S = 0.1
"""How long progress and log lines may wait for company."""

MAX_BATCH = 500

_Recorded = tuple[Note, "asyncio.Future[None] | None"]
_Told = Callable[[Finished], None]
_Ended = tuple[Outcome, _Told]


class Reporter:
    """Belongs to the worker's loop; only `soon` may be called from other threads."""

    def __init__(self, queue: Queue, on_lost: Callable[[Lease], None]) -> None:
        self._queue = queue
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._soft: dict[Lease, Note] = {}
        self._notes: list[_Recorded] = []
        self._outcomes: list[_Ended] = []
        self._soft_came = asyncio.Event()
        self._urgent = asyncio.Event()
        self._outage = Outage("the queue doesn't take reports")
        self._stopping = False

    # --- what jobs call -----------------------------------------------------------------------

    def soon(self, note: Note) -> None:
        """Deliver within a tenth of a second, merged with the job's other such notes."""
        self._loop.call_soon_threadsafe(self._merge, note)

    async def record(self, note: Note) -> None:
        """Deliver now. Raises `LeaseLostError`, or `QueueError` when the store refuses the note."""
        future: asyncio.Future[None] = self._loop.create_future()
        self._notes.append((note, future))
        self._urgent.set()
        await future

    def finish(self, outcome: Outcome, told: _Told) -> None:
        """Deliver an outcome; `told` hears what the queue made of it."""
        self._outcomes.append((outcome, told))
        self._urgent.set()

    def _merge(self, note: Note) -> None:
        earlier = self._soft.get(note.lease)
        if earlier is None:
            self._soft[note.lease] = note
        else:
            newer = earlier if note.progress is None else note
            self._soft[note.lease] = structs.replace(
                earlier,
                progress=newer.progress,
                progress_message=newer.progress_message,
                logs=earlier.logs + note.logs,
            )
        self._soft_came.set()

    # --- life ---------------------------------------------------------------------------------

    async def run(self) -> None:
        """Deliver until `stop`. Not to be cancelled: a batch under way would be sent twice."""
        while not self._stopping:
            await self._wait_for_news()
            await self._deliver()

    def stop(self) -> None:
        """Let `run` end after what it is delivering."""
        self._stopping = True
        self._urgent.set()

    async def drain(self, timeout: float) -> bool:
        """Deliver what is held within `timeout` seconds; False when something is left."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while self._outcomes or self._notes or self._soft:
                    await self._deliver()
        return not self._outcomes

    async def _wait_for_news(self) -> None:
        soft = asyncio.ensure_future(self._soft_came.wait())
        urgent = asyncio.ensure_future(self._urgent.wait())
        try:
            await asyncio.wait({soft, urgent}, return_when=asyncio.FIRST_COMPLETED)
            if not urgent.done():
                await asyncio.wait({urgent}, timeout=SOFT_DELAY_S)
        finally:
            soft.cancel()
            urgent.cancel()

    async def _deliver(self) -> None:
        self._soft_came.clear()
        self._urgent.clear()
        soft, self._soft = self._soft, {}
        notes, self._notes = self._notes, []
        outcomes, self._outcomes = self._outcomes, []
        recorded: list[_Recorded] = [(note, None) for note in soft.values()]
        try:
            while recorded or notes:
                recorded, notes = recorded + notes, []
                await self._record(recorded[:MAX_BATCH])
                del recorded[:MAX_BATCH]
            while outcomes:
                await self._finish(outcomes[:MAX_BATCH])
                del outcomes[:MAX_BATCH]
        except BaseException as error:
            self._notes = recorded + notes + self._notes
            self._outcomes = outcomes + self._outcomes
            self._urgent.set()
            if not isinstance(error, QueueUnavailableError):
                raise
            await self._outage.pause(error)
        else:
            self._outage.over()

    # --- delivery -----------------------------------------------------------------------------

    async def _record(self, batch: list[_Recorded]) -> None:
        try:
            answers = await self._queue.record([note for note, _ in batch])
        except QueueUnavailableError:
            raise
        except QueueError as error:
            if len(batch) == 1:
                _refuse(batch[0], error)
                return
            for one in batch:
                await self._record([one])
            return
        for (note, future), held in zip(batch, answers, strict=True):
            if not held:
                self._on_lost(note.lease)
            if future is not None and not future.done():
                if held:
                    future.set_result(None)
                else:
                    future.set_exception(_lease_lost(note.lease))

    async def _finish(self, batch: list[_Ended]) -> None:
        try:
            answers = await self._queue.finish([outcome for outcome, _ in batch])
        except QueueUnavailableError:
            raise
        except QueueError as error:
            for outcome, told in batch:
                told(await self._finish_alone(outcome, error))
            return
        for (_, told), answer in zip(batch, answers, strict=True):
            told(answer)

    async def _finish_alone(self, outcome: Outcome, error: QueueError) -> Finished:
        """Deliver one outcome of a refused batch; fail the job if it is this one's fault."""
        for attempt in (outcome, _refused(outcome, error)):
            try:
                (answer,) = await self._queue.finish([attempt])
            except QueueUnavailableError:
                raise
            except QueueError as refusal:
                logger.error("job %s: outcome refused: %s", outcome.lease.job_id, refusal)
                continue
            return answer
        return Finished.STALE  # nothing more to do: the lease runs out and the job is rescued


def _refuse(recorded: _Recorded, error: QueueError) -> None:
    note, future = recorded
    if future is not None and not future.done():
        future.set_exception(error)
    else:
        logger.error("job %s: note refused: %s", note.lease.job_id, error)


def _refused(outcome: Outcome, error: QueueError) -> Outcome:
    return Outcome(
        lease=outcome.lease,
        kind=OutcomeKind.FAIL,
        reason=Reason.BAD_RESULT,
        error=JobError(type=type(error).__name__, message=str(error)[:4096]),
    )


def _lease_lost(lease: Lease) -> LeaseLostError:
    return LeaseLostError(
        f"job {lease.job_id} is no longer this worker's: its lease ran out, and nothing was written"
    )
