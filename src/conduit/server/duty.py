"""The life of what the server does all the time: one task, begun, supervised and ended."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from contextlib import suppress

STOP_S = 10.0
"""For how long a stop waits for what is under way."""


class Duty(ABC):
    """Work that goes on until it's stopped, in a task of its own."""

    name: str

    def __init__(self) -> None:
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin; stores that are away are waited for."""
        self._task = asyncio.create_task(self._run(), name=self.name)

    async def wait(self) -> None:
        """Until stopped; raise what it crashed of."""
        assert self._task is not None
        await asyncio.wait({self._task})
        if not self._task.cancelled():
            self._task.result()

    async def stop(self) -> None:
        """Finish what is under way, unless a store is away, and stop. Twice is fine."""
        self._stopping.set()
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=STOP_S)
        await self.stop_now()

    async def stop_now(self) -> None:
        """Stop in the middle: what isn't done is done later, or by another server."""
        self._stopping.set()
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError, Exception):  # `wait` tells of its crash
                await self._task

    @abstractmethod
    async def _run(self) -> None:
        """Do the work, until `_stopping` is set."""

    async def _pause(self, seconds: float) -> None:
        """Let time pass, or less where a stop comes in between."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
