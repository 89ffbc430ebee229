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

from redis import exceptions as redis_errors
from redis.asyncio.client import PubSub

from conduit.core.errors import QueueError, QueueUnavailableError
from conduit.queue.redis.connection import ANSWER_TIMEOUT_S, Server

logger = logging.getLogger("conduit.queue")

RETRY_S = 1.0


class Listener:
    """Calls back for each message; `on_gap` when some may have been missed."""

    def __init__(
        self, server: Server, on_message: Callable[[str, bytes], None], on_gap: Callable[[], None]
    ) -> None:
        self._server = server
        self._on_message = on_message
        self._on_gap = on_gap
        self._pubsub: PubSub | None = None
        self._task: asyncio.Task[None] | None = None
        self._changing = asyncio.Lock()
        self._confirmed: dict[str, asyncio.Event] = {}  # the channels, and whether each is on
        self._trouble: object = "no answer"

    async def subscribe(self, *channels: str) -> bool:
        """Listen to channels too; returns once the server does send. False: it did already.

        Raises `QueueUnavailableError` when the server doesn't say so in time.
        """
        waited = [channel for channel in channels if not self._is_confirmed(channel)]
        if not waited:
            return False
        async with self._changing:
            new = [channel for channel in waited if channel not in self._confirmed]
            self._confirmed.update((channel, asyncio.Event()) for channel in new)
            if self._task is None:
                self._task = asyncio.create_task(self._listen_forever())
            elif self._pubsub is not None and new:
                with suppress(redis_errors.RedisError, OSError):  # the listener connects anew
                    await self._pubsub.subscribe(*new)
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                for channel in waited:
                    await self._confirmed[channel].wait()
        except TimeoutError:
            raise QueueUnavailableError(
                f"{self._server.address.shown} doesn't confirm a subscription: {self._trouble}"
            ) from None
        return True

    def _is_confirmed(self, channel: str) -> bool:
        return channel in self._confirmed and self._confirmed[channel].is_set()

    async def close(self) -> None:
        """Stop listening."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _listen_forever(self) -> None:
        while True:
            try:
                await self._listen()
            except (QueueError, redis_errors.RedisError, OSError) as error:
                self._trouble = error
                logger.debug("hints are interrupted: %s", error)
                await asyncio.sleep(random.uniform(0, RETRY_S))

    async def _listen(self) -> None:
        client = await self._server.connect_apart()
        try:
            async with client.pubsub() as pubsub:
                async with self._changing:  # no channel is added between these two
                    await pubsub.subscribe(*self._confirmed)
                    self._pubsub = pubsub
                while True:
                    message: dict[str, Any] | None = await pubsub.get_message(timeout=None)
                    if message is not None:
                        self._hear(message)
        finally:
            self._pubsub = None
            await client.aclose(close_connection_pool=True)

    def _hear(self, message: dict[str, Any]) -> None:
        channel = message["channel"].decode()
        if message["type"] == "message":
            self._on_message(channel, message["data"])
        elif message["type"] == "subscribe":
            confirmed = self._confirmed[channel]
            if confirmed.is_set():  # connected anew
                self._on_gap()
            confirmed.set()
