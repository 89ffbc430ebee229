"""How long to wait before asking a lost store again, and saying so once."""

from __future__ import annotations

import asyncio
import logging
import random

logger = logging.getLogger("conduit.engine")

FIRST_S = 0.1
CAP_S = 5.0


class Outage:
    """One caller's view of a store that comes and goes: grows its waits, logs the two edges.

    Full jitter over an exponential ceiling (Brooker, "Exponential Backoff And Jitter", AWS
    Architecture Blog, 2015), so that many workers don't come back in step.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._failures = 0

    async def pause(self, error: BaseException) -> None:
        """Note a failure and wait before the next try."""
        await asyncio.sleep(self.next_delay(error))

    def next_delay(self, error: BaseException) -> float:
        """Note a failure; how many seconds to wait before the next try."""
        if not self._failures:
            logger.warning("%s: %s; trying again until it answers", self._what, error)
        ceiling = min(CAP_S, FIRST_S * 2 ** min(self._failures, 10))
        self._failures += 1
        return random.uniform(FIRST_S / 2, ceiling)

    def over(self) -> None:
        """Note a success."""
        if self._failures:
            logger.warning("%s: back after %d failed tries", self._what, self._failures)
            self._failures = 0
