"""From settings to the queue that a command talks to."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated
from urllib.parse import unquote, urlsplit, urlunsplit

from cyclopts import Parameter

from conduit.core.errors import QueueUnavailableError
from conduit.queue.base import Queue
from conduit.settings import load_settings

QueueUrl = Annotated[
    str | None,
    Parameter(
        name=("--queue-url", "--redis-url"),
        help="Where the queue is. Else CONDUIT_QUEUE_URL, pyproject.toml, or .conduit/queue.db.",
        show_default=False,
    ),
]


@asynccontextmanager
async def existing_queue(queue_url: str | None) -> AsyncGenerator[Queue]:
    """The queue that the settings name, opened.

    Looking at a queue must not make one: `QueueUnavailableError` when its file isn't there.
    """
    from conduit.queue import open_queue

    url = load_settings(queue_url=queue_url).queue_url
    path = queue_file(url)
    if path is not None and not path.exists():
        error = QueueUnavailableError(f"there is no queue at {path} yet")
        error.add_note(
            "start a worker once to make it (conduit run FILE), or name another queue with "
            "--queue-url or CONDUIT_QUEUE_URL"
        )
        raise error
    async with open_queue(url) as queue:
        yield queue


def queue_file(url: str) -> Path | None:
    """The file behind a SQLite URL; None for any other URL."""
    parts = urlsplit(url)
    if parts.scheme != "sqlite" or parts.netloc:
        return None
    return Path(unquote(parts.path).removeprefix("/"))


def masked(url: str) -> str:
    """The URL as it may be shown: without its password."""
    parts = urlsplit(url)
    user_info, at, host = parts.netloc.rpartition("@")
    if ":" not in user_info:
        return url
    user = user_info.partition(":")[0]
    return urlunsplit(parts._replace(netloc=f"{user}:***{at}{host}"))
