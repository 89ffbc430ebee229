"""Who waits here for what, and what the listener has heard of it."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from uuid import uuid4

from conduit.core.model import Job
from conduit.queue.redis.connection import Server
from conduit.queue.redis.listener import Listener
from conduit.queue.redis.packing import long
from conduit.queue.redis.records import ended_from

MAX_ENDED = 1000
FRESH_S = 1.0


class Hints:
    """The waits of one queue object. `client` is its name in the server's lists of who to tell."""

    def __init__(self, server: Server) -> None:
        self.client = uuid4().hex
        self.due: int | None = None
        """When the next scheduled job comes due: milliseconds, -1 for never; None if unasked."""
        self._keys = server.keys
        self._wake, self._done = self._keys.name("wake"), self._keys.name("done", self.client)
        self._listener = Listener(server, self._hear, self._missed)
        self._changed = asyncio.Event()
        self._woken: set[str] = set()  # subscriptions with jobs since a claim or a wait
        self._gap = False
        self._watched: set[str] = set()  # jobs that the server will tell of
        self._ended: dict[str, tuple[Job, float]] = {}  # those it told of just now, and when
        self._cancels: defaultdict[str, int] = defaultdict(int)

    async def close(self) -> None:
        """Stop listening."""
        await self._listener.close()
        self.due = None
        self._missed()

    async def listen_for_jobs(self, subscriptions: Sequence[str]) -> bool:
        """Begin to listen; True when this is the beginning, or was broken off.

        Only who waits for jobs does: that nobody hears it tells the server that nobody is idle.
        """
        return await self._listener.subscribe(*(self._wake + each for each in subscriptions))

    async def listen_for_ends(self) -> None:
        """Begin to listen to the ends of watched jobs."""
        await self._listener.subscribe(self._done)

    # --- jobs to claim ---------------------------------------------------------------------------

    def claiming(self, subscription: str) -> None:
        """A claim sees what has woken its subscription until now."""
        self._woken.discard(subscription)

    def claimed(self, due: int, more: str | None = None) -> None:
        """A claim was answered; the subscription `more` has something to be claimed at once."""
        self.due = due
        if more is not None:
            self._woken.add(more)

    async def woken(self, subscriptions: Sequence[str], timeout: float) -> bool:
        """Wait for news of these since their last claims, or the last such wait."""
        news = await self._until(
            lambda: self._gap or not self._woken.isdisjoint(subscriptions), timeout
        )
        self._woken.difference_update(subscriptions)
        self._gap = False
        return news

    # --- jobs that end ---------------------------------------------------------------------------

    def take_ended(self, job_ids: Iterable[str]) -> list[Job]:
        """Those of the jobs that we were told the end of, whole.

        Not for long: somebody may have retried a job since.
        """
        told = [self._ended.pop(job_id) for job_id in job_ids if job_id in self._ended]
        since = asyncio.get_running_loop().time() - FRESH_S
        return [job for job, heard_at in told if heard_at >= since]

    def to_ask(self, job_ids: Iterable[str]) -> list[str]:
        """Those of the jobs about which the server has to be asked."""
        return [job_id for job_id in job_ids if job_id not in self._watched]

    def watching(self, job_ids: Iterable[str]) -> None:
        """The server is about to be asked to tell of these."""
        self._watched.update(job_ids)

    def forget(self, job_ids: Iterable[str]) -> None:
        """The server wasn't asked to tell of these after all; others who rely on that ask it."""
        self._watched.difference_update(job_ids)
        self._changed.set()

    async def any_ended(self, job_ids: Sequence[str], timeout: float) -> bool:
        """Wait until the end of one of the jobs was heard of; False after `timeout` seconds."""
        return await self._until(lambda: not self._watched.issuperset(job_ids), timeout)

    def _hear_end(self, message: bytes) -> None:
        stored_id, job = ended_from(message)
        job_id = long(stored_id)
        self._watched.discard(job_id)
        if job is not None:
            self._ended[job_id] = job, asyncio.get_running_loop().time()
            if len(self._ended) > MAX_ENDED:  # whoever waited for the oldest has given up
                del self._ended[next(iter(self._ended))]

    # --- cancels ---------------------------------------------------------------------------------

    async def listen_for_cancels(self, worker_id: str) -> int:
        """How many cancels this worker was told of so far."""
        await self._listener.subscribe(self._keys.name("cancel_asked", worker_id))
        return self._cancels[worker_id]

    async def cancel_asked(self, worker_id: str, seen: int, timeout: float) -> bool:
        """Wait for another one; False after `timeout` seconds."""
        return await self._until(lambda: self._cancels[worker_id] != seen, timeout)

    # --- what is heard ---------------------------------------------------------------------------

    def _hear(self, channel: str, message: bytes) -> None:
        if channel.startswith(self._wake):
            self._woken.add(channel.removeprefix(self._wake))
        elif channel == self._done:
            self._hear_end(message)
        else:
            self._cancels[channel.removeprefix(self._keys.name("cancel_asked"))] += 1
        self._changed.set()

    def _missed(self) -> None:
        """Something may have been said while nobody listened."""
        self._gap = True
        self._watched.clear()
        self._ended.clear()
        for worker_id in self._cancels:
            self._cancels[worker_id] += 1
        self._changed.set()

    async def _until(self, true: Callable[[], bool], timeout: float) -> bool:
        try:
            async with asyncio.timeout(max(0.0, timeout)):
                while not true():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return False
        return True
