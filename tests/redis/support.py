"""What tests on real Redis servers share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from conduit.core.errors import QueueUnavailableError
from conduit.core.events import Event
from conduit.engine.worker import WorkerService
from conduit.queue import open_queue
from conduit.queue.base import Queue
from conduit.queue.redis.keys import FIXED, Keys
from tests.engine.bench import Bench
from tests.servers.redis import RedisServer


class RedisBench(Bench):
    """A bench whose queue is on a server."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.queue: Queue = open_queue(url)
        self._workers: list[WorkerService] = []
        self._events: list[Event] = []


async def until(happened: Callable[[], Awaitable[bool]]) -> None:
    """Wait until it is so; the test's own timeout ends a wait in vain."""
    while not await happened():  # noqa: ASYNC110
        await asyncio.sleep(0.02)


async def once_back(call: Callable[[], Awaitable[Any]]) -> Any:
    """The answer to a call, asked again while the server is away."""
    while True:
        with suppress(QueueUnavailableError):
            return await call()
        await asyncio.sleep(0.05)


async def execute(server: RedisServer, *words: str | int) -> Any:
    """The server's answer to a command, asked beside the event loop."""
    return await asyncio.to_thread(server.execute, *words)


def commands_run(server: RedisServer) -> int:
    """How many commands the server has carried out so far, those inside scripts too."""
    return int(server.info()["total_commands_processed"])


class Store:
    """What lies on the server under one namespace."""

    def __init__(self, server: RedisServer, namespace: str) -> None:
        self._server = server
        self._keys = Keys(namespace)

    def names(self) -> set[str]:
        found = self._server.execute("KEYS", f"{self._keys.prefix}*".replace("{", "\\{"))
        return {str(key).removeprefix(self._keys.prefix) for key in found}

    def lifetimes(self) -> set[int]:
        return {int(self._server.execute("PTTL", self._keys.prefix + key)) for key in self.names()}

    def sizes(self) -> dict[str, int]:
        """How much each key holds."""
        count = {"hash": "HLEN", "set": "SCARD", "zset": "ZCARD", "list": "LLEN", "stream": "XLEN"}
        return {
            key: int(self._server.execute(count[kind], self._keys.prefix + key))
            for key in self.names()
            if (kind := FIXED.get(key, "list")) in count
        }
