"""Where jobs wait: the protocol in `base`, a folder per backend, and the way from URL to queue."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

from conduit.core.errors import ConfigurationError
from conduit.queue.base import Queue
from conduit.queue.forks import gate as fork_gate  # `gate` is a module here

__all__ = ["Queue", "Source", "held", "open_queue", "queue_here"]

Source = str | Queue
"""Where jobs wait: a URL, or a queue that somebody handed over."""


def queue_here(source: Source) -> Queue:
    """The queue that was handed over where it is open in the running event loop, else another.

    The other one isn't opened yet. Raises `ConfigurationError` for a URL that can't be.
    """
    if isinstance(source, str):
        return open_queue(source)
    return source if source.loop is asyncio.get_running_loop() else source.sibling()


@asynccontextmanager
async def held(queue: Queue) -> AsyncGenerator[Queue]:
    """Open a queue for a while; one that is open already is its owner's, and stays open."""
    if queue.loop is not None:
        yield queue
    else:
        async with queue:
            yield queue


def open_queue(url: str) -> Queue:
    """The queue at a URL, not opened yet: `async with open_queue(url) as queue`.

    `sqlite:///relative.db`, `sqlite:////absolute.db`; `redis://host:6379/0` and its kin, see
    `conduit.queue.redis.address`. Raises `ConfigurationError` for a scheme that no backend serves.
    """
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise ConfigurationError(f"{url!r} can't be read as a queue's URL: {error}") from None
    if parts.scheme.partition("+")[0] in ("redis", "rediss"):
        with fork_gate.undisturbed():
            from conduit.queue.redis import RedisQueue

        return RedisQueue(url)
    if parts.scheme == "sqlite":
        with fork_gate.undisturbed():
            from conduit.queue.sqlite import SqliteQueue

        path = unquote(parts.path).removeprefix("/")
        if parts.netloc or not path:
            raise ConfigurationError(
                f"{url!r} isn't a queue file: write sqlite:///folder/queue.db, "
                "or sqlite:////folder/queue.db for an absolute path"
            )
        return SqliteQueue(Path(path))
    raise ConfigurationError(
        f"no queue speaks {parts.scheme or url!r}: use a URL such as "
        "sqlite:///.conduit/queue.db or redis://localhost:6379/0"
    )
