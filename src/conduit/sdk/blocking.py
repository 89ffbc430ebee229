"""The `_sync` twins: one background event loop for all threads that have none of their own."""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import Coroutine
from queue import SimpleQueue
from typing import Any, NamedTuple, TypeVar

from conduit.engine.context import find_current_job

T = TypeVar("T")

THREAD_NAME = "conduit-sync"
CLOSING_S = 5.0


class _Running(NamedTuple):
    loop: asyncio.AbstractEventLoop
    stop: asyncio.Event
    thread: threading.Thread


class _BackgroundLoop:
    """An event loop in a daemon thread, started at its first use and shut down at exit."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: _Running | None = None

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine there; its answer, or its error, here."""
        running = self._started()
        if threading.current_thread() is running.thread:
            coroutine.close()
            raise RuntimeError(
                f"a _sync method was called on the thread {THREAD_NAME!r}, which would wait for "
                "itself; await the method without _sync"
            )
        answer = asyncio.run_coroutine_threadsafe(coroutine, running.loop)
        try:
            return answer.result()
        finally:
            answer.cancel()  # without effect unless an interrupt ended the wait

    def stop(self) -> None:
        """End the loop in good order, its connections closed."""
        with self._lock:
            running, self._running = self._running, None
        if running is not None:
            running.loop.call_soon_threadsafe(running.stop.set)
            running.thread.join(CLOSING_S)

    def _started(self) -> _Running:
        with self._lock:
            if self._running is None:
                started: SimpleQueue[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = (
                    SimpleQueue()
                )
                thread = threading.Thread(
                    target=lambda: asyncio.run(_serve(started)), name=THREAD_NAME, daemon=True
                )
                thread.start()
                self._running = _Running(*started.get(), thread)
            return self._running


async def _serve(
    started: SimpleQueue[tuple[asyncio.AbstractEventLoop, asyncio.Event]],
) -> None:
    stop = asyncio.Event()
    started.put((asyncio.get_running_loop(), stop))
    await stop.wait()


_background = _BackgroundLoop()


def run_blocking(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on the background loop and wait for it, from any thread.

    Also where an event loop is running, as in a notebook, which is blocked meanwhile. Not in an
    async task, though: `RuntimeError`, since it would block all jobs of its worker, perhaps the one
    that it waits for.
    """
    if find_current_job() is not None and _on_running_loop():
        coroutine.close()
        raise RuntimeError(
            "a _sync method was called in an async task, where it would block the worker's event "
            "loop; await the method without _sync"
        )
    return _background.run(coroutine)


def _on_running_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _start_afresh() -> None:
    global _background  # noqa: PLW0603  in a forked child: the parent's thread isn't here
    _background = _BackgroundLoop()


def _stop_at_exit() -> None:
    _background.stop()


atexit.register(_stop_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_afresh)
