"""The server's one connection to the queue, which comes and goes.

The server starts without it and serves the history; whoever needs the queue meanwhile is told that
it is away, at once and in the same words everywhere.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from conduit.core.errors import ConduitError, QueueAccessError, QueueUnavailableError
from conduit.queue import open_queue
from conduit.queue.base import Queue

T = TypeVar("T")

FIRST_TRY_S = 3.0
ANSWER_S = 5.0
"""For how long one question may take, so that no request hangs on a queue that says nothing."""
PATIENT_S = 30.0
"""The same where the queue itself has to say what became of it, or has much to look through."""
SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 5.0

_log = logging.getLogger(__name__)


class QueueLink:
    """A connection to the queue at `url`, opened when that is possible. `shown` is for people."""

    def __init__(self, url: str, shown: str) -> None:
        self._url = url
        self.shown = shown
        self.fault: ConduitError | None = None
        """What the last question failed of; None while the queue answers."""
        self._queue: Queue | None = None
        self._opened = asyncio.Event()
        self._opening: asyncio.Task[None] | None = None

    # --- life ---------------------------------------------------------------------------------

    async def start(self) -> None:
        """Try once, and go on trying beside the caller.

        Raises what waiting doesn't mend: a wrong URL or password, another program's data.
        """
        try:
            async with asyncio.timeout(FIRST_TRY_S):
                await self._open()
        except QueueAccessError:
            raise
        except (QueueUnavailableError, TimeoutError) as error:
            self._note(self._as_unavailable(error))
            self._opening = asyncio.create_task(self._open_in_time(), name="queue link")

    async def close(self) -> None:
        """Let go of the queue."""
        if self._opening is not None:
            self._opening.cancel()
            with suppress(asyncio.CancelledError):
                await self._opening
        queue, self._queue = self._queue, None
        self._opened.clear()
        if queue is not None:
            await queue.close()

    async def _open(self) -> None:
        queue = open_queue(self._url)
        try:
            await queue.open()
        except BaseException:
            await queue.close()
            raise
        self._queue = queue
        self._opened.set()
        self._note(None)

    async def _open_in_time(self) -> None:
        pause = SHORTEST_PAUSE_S
        while not self._opened.is_set():
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(pause * 2, LONGEST_PAUSE_S)
            try:
                await self._open()
            except ConduitError as error:
                self._note(error)

    # --- questions ----------------------------------------------------------------------------

    async def opened(self) -> Queue:
        """The queue, once it has been reached for the first time."""
        await self._opened.wait()
        assert self._queue is not None
        return self._queue

    async def ask(
        self, question: Callable[[Queue], Awaitable[T]], *, patience_s: float = ANSWER_S
    ) -> T:
        """The queue's answer. Raises `QueueUnavailableError` when it is away or takes too long."""
        if self._queue is None:
            raise self.fault or QueueUnavailableError(f"{self.shown} isn't connected")
        try:
            async with asyncio.timeout(patience_s):
                answer = await question(self._queue)
        except (QueueUnavailableError, TimeoutError) as error:
            fault = self._as_unavailable(error)
            self._note(fault)
            raise fault from error
        self._note(None)
        return answer

    def _as_unavailable(self, error: Exception) -> QueueUnavailableError:
        if isinstance(error, QueueUnavailableError):
            return error
        return QueueUnavailableError(f"{self.shown} didn't answer in time")

    def _note(self, fault: ConduitError | None) -> None:
        """Keep how it stands; a change is told once."""
        if fault is not None and self.fault is None:
            _log.warning("the queue is out of reach, and what needs it answers 503: %s", fault)
        elif fault is None and self.fault is not None:
            _log.warning("the queue answers again")
        self.fault = fault
