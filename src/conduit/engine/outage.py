"""How long to wait before asking a lost store again, and saying so once."""

from __future__ import annotations

import asyncio
import logging
import random
import threading
import time

from conduit.core.errors import QueueAccessError

logger = logging.getLogger("conduit.engine")

FIRST_S = 0.1
CAP_S = 5.0


class Voice:
    """Tells of outages for all duties of a worker: of the first to fail and the last to be back.

    That the store refuses this user is told as well where an outage began otherwise: it doesn't
    pass until somebody does something. Works from any thread.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failing: set[Outage] = set()
        self._since = 0.0
        self._told_of_refusal = False

    def failing(self, outage: Outage, error: BaseException) -> None:
        """One duty has met the outage, or meets it still."""
        refused = isinstance(error, QueueAccessError)
        with self._lock:
            if not self._failing:
                self._since, self._told_of_refusal = time.monotonic(), False
            news = not self._failing or (refused and not self._told_of_refusal)
            self._told_of_refusal = self._told_of_refusal or refused
            self._failing.add(outage)
        if news:
            words = str(error).rstrip(".")
            logger.warning("the queue is unavailable: %s; trying again until it answers", words)

    def back(self, outage: Outage) -> None:
        """One duty has got an answer again."""
        with self._lock:
            self._failing.discard(outage)
            over, lasted = not self._failing, time.monotonic() - self._since
        if over:
            logger.warning("the queue answers again after %.1f s", lasted)


class Outage:
    """One caller's view of a store that comes and goes: grows its waits, tells `voice` the edges.

    Full jitter over an exponential ceiling (Brooker, "Exponential Backoff And Jitter", AWS
    Architecture Blog, 2015), so that many workers don't come back in step.
    """

    def __init__(self, voice: Voice | None = None) -> None:
        self._voice = voice or Voice()
        self._failures = 0

    @property
    def lasts(self) -> bool:
        """Whether the last try failed."""
        return self._failures > 0

    async def pause(self, error: BaseException) -> None:
        """Note a failure and wait before the next try."""
        await asyncio.sleep(self.next_delay(error))

    def next_delay(self, error: BaseException) -> float:
        """Note a failure; how many seconds to wait before the next try."""
        self._voice.failing(self, error)
        ceiling = min(CAP_S, FIRST_S * 2 ** min(self._failures, 10))
        self._failures += 1
        return random.uniform(FIRST_S / 2, ceiling)

    def over(self) -> None:
        """Note a success."""
        if self._failures:
            self._failures = 0
            self._voice.back(self)
