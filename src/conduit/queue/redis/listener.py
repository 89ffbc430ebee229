"""Hints from the server, over one subscribed connection: something to claim, an end, a cancel.

A hint only says that it is worth asking again. When the connection was lost, hints may have been
lost with it, so everyone who waits is woken once it is back.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from conduit.core.errors import QueueAccessError, QueueError, QueueUnavailableError
from conduit.queue.redis.connection import ANSWER_TIMEOUT_S, Server
from conduit.queue.redis.failures import CALL_ERRORS, translate
from conduit.queue.redis.pool import Pool

logger = logging.getLogger("conduit.queue")

RETRY_S = 1.0
RETRY_AT_ONCE_S = 0.1
"""The longest pause before a connection that worked is made anew; others have a longer one."""
PING_AFTER_S = 4.0
"""After so long a silence the server is asked whether it is there; a network may lose both ends."""


class Listener:
    """Calls back for each message; `on_gap` when some may have been missed."""

    def __init__(
        self, server: Server, on_message: Callable[[str, bytes], None], on_gap: Callable[[], None]
    ) -> None:
        self._server = server
        self._on_message = on_message
        self._on_gap = on_gap
        self._link: Any = None
        self._task: asyncio.Task[None] | None = None
        self._changing = asyncio.Lock()
        self._confirmed: dict[str, asyncio.Event] = {}  # the channels, and whether each is on
        self._trouble: BaseException | None = None
        self._refused = asyncio.Event()
        self._heard = False  # something, over the present connection

    async def subscribe(self, *channels: str) -> bool:
        """Listen to channels too; returns once the server does send. False: it did already.

        Raises `QueueUnavailableError` when the server doesn't say so in time, and
        `QueueAccessError` when it won't.
        """
        waited = [channel for channel in channels if not self._is_confirmed(channel)]
        if not waited:
            return False
        async with self._changing:
            new = [channel for channel in waited if channel not in self._confirmed]
            self._confirmed.update((channel, asyncio.Event()) for channel in new)
            if self._task is None:
                self._task = asyncio.create_task(self._listen_forever())
            elif self._link is not None and new:
                with suppress(*CALL_ERRORS):  # the listener connects anew
                    await self._link.send_command("SUBSCRIBE", *new)
        await self._until_confirmed(waited)
        return True

    async def _until_confirmed(self, channels: list[str]) -> None:
        self._refused.clear()
        refused = asyncio.ensure_future(self._refused.wait())
        confirmed = asyncio.ensure_future(self._all_on(channels))
        try:
            await asyncio.wait(
                {refused, confirmed},
                timeout=ANSWER_TIMEOUT_S,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if confirmed.done():
                return
        finally:
            refused.cancel()
            confirmed.cancel()
        if isinstance(self._trouble, QueueAccessError):
            raise self._trouble
        raise QueueUnavailableError(
            f"{self._server.address.shown} doesn't confirm a subscription: "
            f"{self._trouble or 'no answer'}"
        )

    async def _all_on(self, channels: list[str]) -> None:
        for channel in channels:
            await self._confirmed[channel].wait()

    def _is_confirmed(self, channel: str) -> bool:
        return channel in self._confirmed and self._confirmed[channel].is_set()

    async def close(self) -> None:
        """Stop listening."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        self._confirmed.clear()

    async def _listen_forever(self) -> None:
        while True:
            self._heard = False
            try:
                await self._listen()
            except Exception as error:
                self._trouble = translate(error, self._server.address.shown)
                if isinstance(self._trouble, QueueAccessError):
                    self._refused.set()
                if isinstance(self._trouble, QueueError):
                    logger.debug("hints are interrupted: %s", self._trouble)
                else:
                    logger.exception("a hint couldn't be understood; listening anew")
            pause = RETRY_AT_ONCE_S if self._heard else RETRY_S
            await asyncio.sleep(random.uniform(0, pause))

    async def _listen(self) -> None:
        async with self._server.apart() as (pool, link):
            try:
                async with asyncio.timeout(ANSWER_TIMEOUT_S), self._changing:
                    # No channel is added between these two.
                    await link.send_command("SUBSCRIBE", *self._confirmed)
                    self._link = link
                while True:
                    self._hear(*await self._next_message(pool, link))
            finally:
                self._link = None

    async def _next_message(self, pool: Pool, link: Any) -> list[Any]:
        """The next message. Raises when the connection is dead, or the server says nothing."""
        message = await link.read_response(timeout=PING_AFTER_S)
        if message is None:
            await link.send_command("PING")
            with pool.watching(link):
                message = await link.read_response(timeout=ANSWER_TIMEOUT_S)
        if message is None:
            raise TimeoutError("the server is silent")
        return message

    def _hear(self, kind: bytes, name: bytes, data: Any = None) -> None:
        """A message, or the answer to a SUBSCRIBE or a PING; `name` is the channel's."""
        self._heard = True
        if kind == b"message":
            self._on_message(name.decode(), data)
        elif kind == b"subscribe":
            confirmed = self._confirmed[name.decode()]
            if confirmed.is_set():  # connected anew
                self._on_gap()
            confirmed.set()
