"""Brings news of jobs to the queue in batches: notes first, then outcomes.

A batch is whatever came up while the last one was on its way, so an idle worker reports at once
and a busy one reports by the hundred. What can't be delivered is held and tried again. What the
store refuses, for whatever reason, fails its own job and nobody else's.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from msgspec import structs

from conduit.core.errors import LeaseLostError, QueueUnavailableError
from conduit.core.model import JobError, Lease, Reason
from conduit.core.transitions import OutcomeKind
from conduit.engine.executors.messages import qualified_name
from conduit.engine.outage import Outage, Voice
from conduit.engine.text import MAX_MESSAGE, clean
from conduit.queue.base import Finished, Note, Outcome, Queue

logger = logging.getLogger("conduit.engine")

SOFT_DELAY_S = 0.1
"""How long progress and log lines may wait for company."""

HURRIED_PAUSE_S = 0.2
"""The longest pause between two tries when the worker is about to end."""

MAX_BATCH = 500

_News = TypeVar("_News", Note, Outcome)
_Recorded = tuple[Note, "asyncio.Future[None] | None"]
_Told = Callable[[Finished], None]
_Ended = tuple[Outcome, _Told]


class Reporter:
    """Belongs to the worker's loop; only `soon` may be called from other threads.

    `began_ms_ago` says for how long the function of a job has been running, which is told with all
    news of the job.
    """

    def __init__(
        self,
        queue: Queue,
        on_lost: Callable[[Lease], None],
        began_ms_ago: Callable[[Lease], int | None],
        voice: Voice | None = None,
    ) -> None:
        self._queue = queue
        self._on_lost = on_lost
        self._began_ms_ago = began_ms_ago
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._soft: dict[Lease, Note] = {}
        self._soft_timer: asyncio.TimerHandle | None = None
        self._notes: list[_Recorded] = []
        self._outcomes: list[_Ended] = []
        # The batch under way. It stays here until it is delivered, whatever cuts a delivery off.
        self._sent_notes: list[_Recorded] = []
        self._sent_outcomes: list[_Ended] = []
        self._news = asyncio.Event()
        self._outage = Outage(voice)
        self._stopping = asyncio.Event()
        self._closed = False

    # --- what jobs call -----------------------------------------------------------------------

    def soon(self, note: Note) -> None:
        """Deliver within a tenth of a second, merged with the job's other such notes."""
        if threading.get_ident() == self._thread:
            self._merge(note)
        else:
            with suppress(RuntimeError):  # the loop has closed
                self._loop.call_soon_threadsafe(self._merge, note)

    async def record(self, note: Note) -> None:
        """Deliver now. Raises `LeaseLostError`, or what the store refuses the note with."""
        if self._closed:
            raise lease_lost(note.lease)
        future: asyncio.Future[None] = self._loop.create_future()
        self._notes.append((note, future))
        self._news.set()
        await future

    def finish(self, outcome: Outcome, told: _Told) -> None:
        """Deliver an outcome; `told` hears what the queue made of it."""
        self._outcomes.append((outcome, told))
        self._news.set()

    def _merge(self, note: Note) -> None:
        if self._closed:
            return
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
        if self._soft_timer is None:
            self._soft_timer = self._loop.call_later(SOFT_DELAY_S, self._news.set)

    # --- life ---------------------------------------------------------------------------------

    async def run(self) -> None:
        """Deliver until `stop`, and then what is held. May be cancelled and run again."""
        while not (self._stopping.is_set() and self._is_empty()):
            await self._news.wait()
            self._news.clear()
            try:
                await self._deliver()
            except QueueUnavailableError as error:
                self._news.set()
                await self._pause(error)
            except BaseException:
                self._news.set()
                raise
            else:
                self._outage.over()

    def stop(self) -> None:
        """Let `run` end when it has delivered what is held."""
        self._stopping.set()
        self._news.set()

    def close(self) -> int:
        """Refuse what is held and all that comes; how many outcomes are lost by that."""
        self._closed = True
        self._cancel_soft_timer()
        for note, future in self._sent_notes + self._notes:
            if future is not None and not future.done():
                future.set_exception(lease_lost(note.lease))
        lost = len(self._sent_outcomes) + len(self._outcomes)
        for held in (self._notes, self._outcomes, self._sent_notes, self._sent_outcomes):
            held.clear()
        self._soft.clear()
        return lost

    def _is_empty(self) -> bool:
        return not (
            self._notes or self._outcomes or self._soft or self._sent_notes or self._sent_outcomes
        )

    async def _pause(self, error: QueueUnavailableError) -> None:
        """Wait before the next try; a stop makes that short."""
        delay = self._outage.next_delay(error)
        with suppress(TimeoutError):
            async with asyncio.timeout(delay):
                await self._stopping.wait()
                await asyncio.sleep(HURRIED_PAUSE_S)

    # --- delivery -----------------------------------------------------------------------------

    async def _deliver(self) -> None:
        again = bool(self._sent_notes or self._sent_outcomes)
        if not again:
            self._take()
        while self._sent_notes:
            done = await self._record(self._sent_notes[:MAX_BATCH])
            del self._sent_notes[:done]
        while self._sent_outcomes:
            done = await self._finish(self._sent_outcomes[:MAX_BATCH])
            del self._sent_outcomes[:done]
        if again:
            self._news.set()  # of what came up meanwhile, which this batch hasn't taken along

    def _take(self) -> None:
        """Make all that is held the batch under way."""
        self._cancel_soft_timer()
        soft, self._soft = self._soft, {}
        self._sent_notes = [(note, None) for note in soft.values()] + self._notes
        self._notes = []
        self._sent_outcomes, self._outcomes = self._outcomes, []

    def _cancel_soft_timer(self) -> None:
        if self._soft_timer is not None:
            self._soft_timer.cancel()
            self._soft_timer = None

    async def _record(self, batch: list[_Recorded]) -> int:
        """Deliver notes; how many are dealt with. A refused batch is tried by halves."""
        try:
            answers = await self._queue.record([self._dated(note) for note, _ in batch])
        except QueueUnavailableError:
            raise
        except Exception as error:
            if len(batch) > 1:
                return await self._record(batch[: len(batch) // 2])
            _refuse(batch[0], error)
            return 1
        for (note, future), held in zip(batch, answers, strict=True):
            if not held:
                self._on_lost(note.lease)
            if future is not None and not future.done():
                if held:
                    future.set_result(None)
                else:
                    future.set_exception(lease_lost(note.lease))
        return len(batch)

    async def _finish(self, batch: list[_Ended]) -> int:
        """Deliver outcomes; how many are dealt with. A refused batch is tried by halves."""
        try:
            answers = await self._queue.finish([self._dated(outcome) for outcome, _ in batch])
        except QueueUnavailableError:
            raise
        except Exception as error:
            if len(batch) > 1:
                return await self._finish(batch[: len(batch) // 2])
            answers = [await self._fail_instead(batch[0][0], error)]
        for (_, told), answer in zip(batch, answers, strict=True):
            told(answer)
        return len(batch)

    def _dated(self, news: _News) -> _News:
        """With the age of the job's begin as it is now, however long the news were held."""
        return structs.replace(news, began_ms_ago=self._began_ms_ago(news.lease))

    async def _fail_instead(self, outcome: Outcome, error: Exception) -> Finished:
        """Fail the job whose outcome the store refuses."""
        logger.error("job %s: outcome refused: %r", outcome.lease.job_id, error)
        failure = Outcome(
            lease=outcome.lease,
            kind=OutcomeKind.FAIL,
            reason=Reason.BAD_RESULT,
            error=JobError(
                type=type(error).__name__,
                message=clean(str(error), MAX_MESSAGE),
                qualified_name=qualified_name(type(error)),
            ),
        )
        try:
            (answer,) = await self._queue.finish([self._dated(failure)])
        except QueueUnavailableError:
            raise
        except Exception:
            logger.exception("job %s: its failure was refused too", outcome.lease.job_id)
            return Finished.STALE  # nothing more to do: the lease runs out and the job is rescued
        return answer


def _refuse(recorded: _Recorded, error: Exception) -> None:
    note, future = recorded
    if future is not None and not future.done():
        future.set_exception(error)
    else:
        logger.error("job %s: note refused: %r", note.lease.job_id, error)


def lease_lost(lease: Lease) -> LeaseLostError:
    """What a job hears that isn't this worker's any more."""
    return LeaseLostError(
        f"job {lease.job_id} is no longer this worker's: its lease ran out, and nothing was written"
    )
