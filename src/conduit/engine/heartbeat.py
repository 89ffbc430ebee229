"""Extends leases from a thread and a connection of its own.

User code that blocks the event loop must not cost the worker its leases. Code that never lets go
of the interpreter lock for a whole lease still does; that is what process mode is for.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable

from conduit.core.errors import QueueError
from conduit.core.model import Lease
from conduit.engine.backoff import Outage
from conduit.queue import open_queue
from conduit.queue.base import Held

logger = logging.getLogger("conduit.engine")


class Heartbeat:
    """`held` is asked for the leases of the moment, `on_answer` told of those not simply held.

    Both are called in the heartbeat's thread.
    """

    def __init__(
        self,
        url: str,
        worker_id: str,
        lease_ms: int,
        held: Callable[[], list[Lease]],
        on_answer: Callable[[Lease, Held], None],
    ) -> None:
        self._url = url
        self._worker_id = worker_id
        self._lease_ms = lease_ms
        self._held = held
        self._on_answer = on_answer
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="conduit-heartbeat", daemon=True)

    def start(self) -> None:
        """Start beating."""
        self._thread.start()
        self._ready.wait()

    def stop(self) -> None:
        """Stop beating; leases end when they end."""
        if self._loop is not None and self._stop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()

    def _run(self) -> None:
        asyncio.run(self._main())

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._ready.set()
        outage = Outage("leases can't be extended")
        while not self._stop.is_set():
            try:
                await self._beat_forever(self._stop, outage)
            except QueueError as error:
                await outage.pause(error)
            except Exception:
                logger.exception("the heartbeat failed; starting it again")
                await asyncio.sleep(1)

    async def _beat_forever(self, stop: asyncio.Event, outage: Outage) -> None:
        async with open_queue(self._url) as queue:
            while True:
                leases = self._held()
                if leases:
                    answers = await queue.extend(leases, self._lease_ms)
                    for lease, answer in zip(leases, answers, strict=True):
                        if answer is not Held.HELD:
                            self._on_answer(lease, answer)
                await queue.heartbeat(self._worker_id, len(leases))
                outage.over()
                try:
                    await asyncio.wait_for(stop.wait(), self._lease_ms / 3000)
                except TimeoutError:
                    continue
                return
