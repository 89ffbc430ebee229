"""Daemon threads for plain functions.

`concurrent.futures` joins its threads at exit, so one deaf job would keep a worker from ever
ending; and it gives a slot back only when the thread does. Here a job can be abandoned: its thread
goes on alone, its result goes nowhere, and the next job gets another thread.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any

_Work = tuple[contextvars.Context, Callable[[], Any], asyncio.Future[Any]]


class ThreadPool:
    """Grows to as many threads as run at once; the worker's concurrency is what bounds it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._inbox: SimpleQueue[_Work | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._idle = 0
        self._threads = 0

    async def run(self, call: Callable[[], Any]) -> Any:
        """Run `call` in a thread with a copy of the caller's context variables.

        Cancelling abandons the thread. Any exception of `call` is raised here.
        """
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._inbox.put((contextvars.copy_context(), call, future))
        with self._lock:
            if self._idle:
                self._idle -= 1
            else:
                self._threads += 1
                name = f"{self._name}-{self._threads}"
                threading.Thread(target=self._work_forever, name=name, daemon=True).start()
        ok, value = await future
        if ok:
            return value
        raise value

    def close(self) -> None:
        """Let idle threads end; busy ones end after their job."""
        for _ in range(self._threads):
            self._inbox.put(None)

    def _work_forever(self) -> None:
        while (work := self._inbox.get()) is not None:
            context, call, future = work
            try:
                answer = (True, context.run(call))
            except BaseException as error:
                # As a value: a Future refuses StopIteration, and SystemExit mustn't end the thread.
                answer = (False, error)
            with self._lock:
                self._idle += 1
            with suppress(RuntimeError):  # the loop is gone, and nobody waits any more
                future.get_loop().call_soon_threadsafe(_settle, future, answer)
            del work, context, call, future, answer


def _settle(future: asyncio.Future[Any], answer: tuple[bool, Any]) -> None:
    if not future.done():
        future.set_result(answer)
