"""Extends leases from a thread and a connection of its own.

User code that blocks the event loop must not cost the worker its leases. Code that never lets go
of the interpreter lock for a whole lease still does; that is what process mode is for.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

from conduit.core.errors import QueueError
from conduit.core.model import Lease
from conduit.engine.outage import Outage, Voice
from conduit.queue.base import Held, Outcome, Queue

logger = logging.getLogger("conduit.engine")

BEATS_PER_LEASE = 3
STOP_TIMEOUT_S = 2.0
"""How long a heartbeat that is stopped may take, such as to give up on a store that is away."""


class Heartbeat:
    """`connect` makes the queue that it uses. `held` is asked for the leases of the moment, `begun`
    for how many milliseconds the functions of their jobs have been running, `on_answer` told of
    those not simply held, and `on_unknown` called when the queue doesn't know this worker.

    All are called in the heartbeat's thread.
    """

    def __init__(
        self,
        connect: Callable[[], Queue],
        worker_id: str,
        lease_ms: int,
        held: Callable[[], list[Lease]],
        begun: Callable[[], dict[Lease, int]],
        on_answer: Callable[[Lease, Held], None],
        on_unknown: Callable[[], None],
        voice: Voice | None = None,
    ) -> None:
        self._connect = connect
        self._worker_id = worker_id
        self._lease_ms = lease_ms
        self._held = held
        self._begun = begun
        self._on_answer = on_answer
        self._on_unknown = on_unknown
        self._voice = voice
        self._interval_s = lease_ms / 1000 / BEATS_PER_LEASE
        self._beating: asyncio.Task[None] | None = None
        self._queue: Queue | None = None
        self._ready = threading.Event()
        self._caller = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="conduit-heartbeat", daemon=True)

    def start(self) -> None:
        """Start beating. Raises `RuntimeError` when that can't be."""
        self._thread.start()
        self._ready.wait()
        if self._beating is None:
            raise RuntimeError("the heartbeat's thread can't run an event loop; see the log")

    async def stop(self) -> None:
        """Stop beating; leases end when they end."""
        beating = self._beating
        if beating is not None:
            with suppress(RuntimeError):  # its loop has closed
                beating.get_loop().call_soon_threadsafe(beating.cancel)
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await self._ended.wait()
        except TimeoutError:
            logger.warning("the heartbeat hangs in a call of the queue, and is left behind")

    def say_last(self, outcomes: Sequence[Outcome], seconds: float) -> None:
        """Report outcomes and sign off, from a third thread, as the worker's own loop is blocked.

        Takes so many seconds at the most. Raises what keeps it from being done.
        """
        beating = self._beating
        if beating is None or self._queue is None:
            return
        saying = self._say_last(self._queue, outcomes)
        asyncio.run_coroutine_threadsafe(saying, beating.get_loop()).result(seconds)

    async def _say_last(self, queue: Queue, outcomes: Sequence[Outcome]) -> None:
        if outcomes:
            await queue.finish(outcomes)
        await queue.unregister(self._worker_id)

    def _run(self) -> None:
        try:
            with suppress(asyncio.CancelledError):
                asyncio.run(self._main())
        except Exception:
            logger.exception("the heartbeat ended")
        finally:
            self._ready.set()
            with suppress(RuntimeError):  # the worker's loop has closed
                self._caller.call_soon_threadsafe(self._ended.set)

    async def _main(self) -> None:
        self._beating = asyncio.current_task()
        self._ready.set()
        outage = Outage(self._voice)
        while True:
            try:
                await self._beat_forever(outage)
            except QueueError as error:
                await outage.pause(error)
            except TimeoutError:
                await outage.pause(TimeoutError(f"no answer within {self._interval_s:g} s"))
            except Exception:
                logger.exception("the heartbeat failed; starting it again")
                await asyncio.sleep(1)

    async def _beat_forever(self, outage: Outage) -> None:
        async with self._connect() as queue:
            self._queue = queue
            while True:
                leases = self._held()
                if leases:
                    async with asyncio.timeout(self._interval_s):
                        answers = await queue.extend(leases, self._lease_ms, self._begun())
                    for lease, answer in zip(leases, answers, strict=True):
                        if answer is not Held.HELD:
                            self._on_answer(lease, answer)
                async with asyncio.timeout(self._interval_s):
                    known = await queue.heartbeat(self._worker_id, len(leases))
                if not known:
                    self._on_unknown()
                outage.over()
                await asyncio.sleep(self._interval_s)
