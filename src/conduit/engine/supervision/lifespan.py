"""The context manager that a worker's author puts around its life."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from conduit.engine.attempts.function import WorkerSpec
from conduit.engine.executors.abandoned import disown

logger = logging.getLogger("conduit.engine")

HURRIED_S = 0.5
"""How long a lifespan that is cut short may take to end."""


class Lifespan:
    """Enters and leaves the context manager in one task, as cancel scopes and task groups ask.

    `torn_down` says whether the event loop ends under the worker.
    """

    def __init__(
        self,
        make: Callable[[], AbstractAsyncContextManager[Any]],
        torn_down: Callable[[], bool],
    ) -> None:
        self._make = make
        self._torn_down = torn_down
        self._over = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def belongs_to(self, spec: WorkerSpec) -> bool:
        """Whether it is that worker's."""
        return self._make is spec.lifespan

    async def enter(self) -> contextvars.Context:
        """Enter it; the context variables as it leaves them. Raises what it raises."""
        entered: asyncio.Future[contextvars.Context] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(self._live(entered), name="lifespan")
        try:
            await asyncio.wait({task, entered}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            entered.cancel()
            await self._cut_short(task)
            raise
        if not entered.done():
            task.result()
            raise RuntimeError("the lifespan ended before it began")
        self._task = task
        return entered.result()

    async def broken(self) -> None:
        """Until it ends though nobody left it: raises why, such as a crash in its task group."""
        if self._task is None:
            await asyncio.Event().wait()
        else:
            await asyncio.wait({self._task})
            self._task.result()

    async def leave(self, hurried: asyncio.Event, deadline: float) -> None:
        """Leave it, until `deadline` (the loop's time) or `hurried`. Raises what it raises."""
        task = self._task
        if task is None:
            return
        self._over.set()
        hurry = asyncio.ensure_future(hurried.wait())
        try:
            seconds = deadline - asyncio.get_running_loop().time()
            await asyncio.wait({task, hurry}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            hurry.cancel()
            if not task.done():
                await self._cut_short(task)
        if task.done() and not task.cancelled():
            task.result()

    async def _live(self, entered: asyncio.Future[contextvars.Context]) -> None:
        async with self._make():
            if not entered.done():
                entered.set_result(contextvars.copy_context())
            while not self._over.is_set():
                try:
                    await self._over.wait()
                except asyncio.CancelledError:
                    # When the loop ends, the worker is told so as well, and its jobs go first.
                    # Any other cancel is the lifespan's own: a task of its group has crashed.
                    if entered.cancelled() or self._over.is_set() or not self._torn_down():
                        raise

    async def _cut_short(self, task: asyncio.Task[None]) -> None:
        task.cancel()
        await asyncio.wait({task}, timeout=HURRIED_S)
        if not task.done():
            logger.warning("the lifespan doesn't end, and is left behind")
            disown(task)
            self._task = None
