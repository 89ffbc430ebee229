"""Tasks that don't end although they are cancelled, and are no longer waited for."""

from __future__ import annotations

import asyncio
from asyncio.tasks import _unregister_task  # pyright: ignore[reportPrivateUsage]
from typing import Any


def disown(task: asyncio.Task[Any]) -> None:
    """Let the event loop end without this task.

    `asyncio.run` cancels every task that it knows and waits for it, for ever if it goes on all the
    same. asyncio offers `_unregister_task` to other makers of tasks (see "Extending" in its
    documentation); a task that it doesn't know any more still runs as long as the loop does.
    """
    if not task.done():
        _unregister_task(task)
        # Its end with the loop has been told of already, in our words.
        task._log_destroy_pending = False  # pyright: ignore[reportAttributeAccessIssue]
