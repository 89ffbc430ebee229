"""Log lines that a test waits for, from whatever thread they come."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager

from tests.engine.bench import PATIENCE


class Heard(logging.Handler):
    """Keeps the lines that have some words in them; `then` is called at each, in its thread."""

    def __init__(self, words: str, then: Callable[[], None] = lambda: None) -> None:
        super().__init__()
        self._words = words
        self._then = then
        self._lines: list[str] = []
        self._came = threading.Condition()

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line."""
        message = record.getMessage()
        if self._words not in message:
            return
        with self._came:
            self._lines.append(message)
            self._came.notify_all()
        self._then()

    @contextmanager
    def on(self, logger: str) -> Generator[None]:
        """Listen while this is entered."""
        listened = logging.getLogger(logger)
        listened.addHandler(self)
        try:
            yield
        finally:
            listened.removeHandler(self)

    async def lines(self, number: int) -> list[str]:
        """The lines so far, once there are so many."""
        await asyncio.to_thread(self._until, number)
        return list(self._lines)

    def _until(self, number: int) -> None:
        with self._came:
            assert self._came.wait_for(lambda: len(self._lines) >= number, PATIENCE)
