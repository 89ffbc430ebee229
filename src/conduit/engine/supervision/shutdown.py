"""The one way in which a worker ends, whoever or whatever ends it.

    asked ──▶ jobs finish ──▶ hand back ──▶ deliver, sign off ──▶ close
            shutdown_timeout    DEAF_S        what is left of STOP_GRACE_S

A second request, the crash of a duty and the end of the event loop all skip to handing back. From
there on each step has its time and is done whatever became of the one before it. All of it ends
within `shutdown_timeout` and `STOP_GRACE_S`; time that jobs don't take, a queue that is away gets.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

from conduit.core.errors import QueueError
from conduit.engine.attempts.reporter import Reporter
from conduit.engine.claims.slots import Slots
from conduit.engine.claims.unanswered import release_orphans
from conduit.engine.process.exits import STOP_GRACE_S
from conduit.engine.supervision.lifespan import Lifespan
from conduit.queue.base import Queue

logger = logging.getLogger("conduit.engine")
run_logger = logging.getLogger("conduit.run")

DEAF_S = 1.2
"""How long a job that is told to stop may take to do so before it is left behind; worker processes
get a second of it before they are killed."""
DELIVERY_TIMEOUT_S = 1.0
"""How long at least a stopping worker tries to deliver what it holds, and to sign off, when the
store is away."""
CLOSE_TIMEOUT_S = 0.5
"""How long at least leaving the lifespan may take, and closing what the worker has opened."""
MOST_NAMES = 5


class StopSequence:
    """Ends one worker. `asked` and `hurried` say how far its end has been asked for."""

    def __init__(self, queue: Queue, worker_id: str, shutdown_timeout: float) -> None:
        self.asked = asyncio.Event()
        self.hurried = asyncio.Event()
        self._queue = queue
        self._worker_id = worker_id
        self._shutdown_timeout = shutdown_timeout
        self._over_at: float | None = None
        self._deadline = 0.0  # for all that is to be said to the queue

    def ask(self) -> None:
        """Stop in good order."""
        if self._over_at is None:
            self._over_at = _in(self._shutdown_timeout + STOP_GRACE_S)
        self.asked.set()

    def hurry(self) -> None:
        """Stop without waiting for jobs."""
        self.asked.set()
        self.hurried.set()
        over_at = _in(STOP_GRACE_S)
        self._over_at = over_at if self._over_at is None else min(self._over_at, over_at)

    def _until(self, rest: float, *, at_least: float) -> float:
        """When only `rest` of the time to end is left; `at_least` so many seconds from now."""
        if self._over_at is None:  # a duty has crashed, or the loop is torn down
            self._over_at = _in(STOP_GRACE_S)
        return max(self._over_at - rest, _in(at_least))

    def say_what_runs(self, slots: Slots, how_long: str) -> None:
        """Log what the worker waits for before it ends."""
        running = slots.running()
        if running and not self.hurried.is_set():
            run_logger.info(
                "%s still %s (%s), %s",
                _jobs(len(running)),
                "runs" if len(running) == 1 else "run",
                _names(running),
                how_long,
            )

    async def hand_back(self, slots: Slots, claiming: asyncio.Task[None] | None = None) -> None:
        """Release what the worker holds, without cost for the jobs; leave behind what is deaf."""
        deadline = _in(DEAF_S)
        slots.close()
        slots.release_running()
        if claiming is not None:
            # A claim under way is let through: the jobs it leases have to be handed back as well.
            await _within(deadline, lambda: asyncio.wait({claiming}))
        await _within(deadline, slots.until_ended)
        slots.leave_all_behind()
        if slots.handed_back:
            run_logger.info("handed back %s", _jobs(slots.handed_back))

    async def deliver(
        self, reporter: Reporter, reporting: asyncio.Task[None], after: list[asyncio.Task[None]]
    ) -> None:
        """End the duties in `after`, and bring the last outcomes to the queue."""
        deadline = self._deadline = self._until(2 * CLOSE_TIMEOUT_S, at_least=DELIVERY_TIMEOUT_S)
        for duty in after:
            duty.cancel()
        reporter.stop()
        await _within(deadline, lambda: asyncio.wait({reporting, *after}))
        reporting.cancel()
        # Was it cancelled with the loop, or did it crash? Else this returns at once.
        await _within(deadline, reporter.run)
        lost = reporter.close()
        if lost:
            logger.error(
                "the queue is away: the results of %d jobs could not be delivered; unless they "
                "arrive after all, those jobs run again",
                lost,
            )

    async def hand_back_orphans(self) -> None:
        """Release what a claim leased whose answer was cut off, as far as that can be known."""
        await _within(self._deadline, self._find_and_release)

    async def sign_off(self) -> None:
        """Tell the queue that this worker has ended."""
        if not await _within(self._deadline, self._unregister):
            logger.warning(
                "worker %s could not sign off: the queue did not answer in time", self._worker_id
            )

    async def _unregister(self) -> None:
        await self._queue.unregister(self._worker_id)

    async def leave(self, lifespan: Lifespan) -> None:
        """Leave the lifespan. Raises what it raises."""
        deadline = self._until(2 * CLOSE_TIMEOUT_S, at_least=CLOSE_TIMEOUT_S)
        await lifespan.leave(self.hurried, deadline)

    async def let_go(self, resources: AsyncExitStack) -> None:
        """Close what the worker has opened."""
        await _within(self._until(CLOSE_TIMEOUT_S, at_least=CLOSE_TIMEOUT_S), resources.aclose)

    async def _find_and_release(self) -> None:
        await release_orphans(self._queue, self._worker_id, lambda _: False)


def _jobs(count: int) -> str:
    return "1 job" if count == 1 else f"{count} jobs"


def _names(functions: list[str]) -> str:
    names = sorted(set(functions))
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more


def _in(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds


async def _within(deadline: float, step: Callable[[], Awaitable[Any]]) -> bool:
    """Take one step of the sequence; False if the time runs out. Nothing comes of its failing.

    A cancel doesn't cut the sequence short: it comes when the loop is ended under the worker, and
    then there is as much to hand back as ever.
    """
    task = asyncio.current_task()
    assert task is not None
    seen = task.cancelling()
    while True:
        try:
            async with asyncio.timeout_at(deadline):
                await step()
        except TimeoutError:
            return False
        except asyncio.CancelledError:
            if task.cancelling() == seen:
                return True  # it wasn't this task that was cancelled: the step ended so by itself
            seen = task.cancelling()
            continue
        except QueueError as error:
            logger.warning("one step of a worker's end failed: %s", error)
        except Exception:
            logger.exception("one step of a worker's end failed")
        return True
