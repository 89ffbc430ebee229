"""The `_sync` twins: one background event loop for all threads that have none of their own.

A signal handler runs in the midst of whatever the main thread does, a `_sync` call included, and a
finaliser in the midst of anything, in any thread. So nothing here waits for a lock that the very
same thread, or one that it interrupted, may have.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import sys
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from inspect import CORO_CREATED, getcoroutinestate
from queue import SimpleQueue
from typing import Any, Generic, NoReturn, TypeVar

from conduit.engine.context import find_current_job
from conduit.queue.forks import gate

T = TypeVar("T")

THREAD_NAME = "conduit-sync"
SERVING = (THREAD_NAME, "conduit-sqlite")
"""Threads that answer calls. A finaliser that runs there can't wait for an answer."""
CLOSING_S = 5.0


class _Call(Generic[T]):
    """A coroutine on its way to the loop, and its answer on the way back."""

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        self._coroutine = coroutine
        self._task: asyncio.Task[T] | None = None
        self._answer: SimpleQueue[Callable[[], T]] = SimpleQueue()
        self.answered = False

    def begin(self) -> None:
        """Called in the loop."""
        self._task = asyncio.get_running_loop().create_task(self._coroutine)
        self._task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[T]) -> None:
        if not task.cancelled():
            task.exception()  # seen, even if whoever waited was interrupted
        self._answer.put(task.result)

    def cancel(self) -> None:
        """Called in the loop, later."""
        if self._task is not None:
            self._task.cancel()

    def wait(self) -> T:
        """The answer, or its error. The one thing that is waited for, without any lock."""
        answer = self._answer.get()
        self.answered = True
        return answer()

    def abandon(self) -> None:
        """In a forked child: the answer goes to the parent."""
        self._answer.put(_refuse_answer)


def _refuse_answer() -> NoReturn:
    raise RuntimeError(
        "the process was forked by a signal handler while a _sync method waited for its answer, "
        "which the parent gets; end the child in the handler, with os._exit"
    )


class _LoopThread:
    """An event loop in a daemon thread. Raises `RuntimeError` where no thread can be started."""

    def __init__(self) -> None:
        started: SimpleQueue[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = SimpleQueue()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(_serve(started)), name=THREAD_NAME, daemon=True
        )
        self._thread.start()
        self._loop, self._stop = started.get()
        self._calls: set[_Call[Any]] = set()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine there; its answer, or its error, here."""
        call = _Call(coroutine)
        self._calls.add(call)
        try:
            self._loop.call_soon_threadsafe(call.begin)
            return call.wait()
        finally:
            self._calls.discard(call)
            if not call.answered:  # interrupted
                with suppress(RuntimeError):  # the loop has ended
                    self._loop.call_soon_threadsafe(call.cancel)

    def stop(self) -> None:
        """End the loop in good order, its connections closed."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(CLOSING_S)

    def abandon(self) -> None:
        """In a forked child, where the thread isn't."""
        for call in self._calls:
            call.abandon()


async def _serve(
    started: SimpleQueue[tuple[asyncio.AbstractEventLoop, asyncio.Event]],
) -> None:
    stop = asyncio.Event()
    started.put((asyncio.get_running_loop(), stop))
    await stop.wait()


class _Background:
    """The loop of this process: started at its first use, stopped at exit."""

    def __init__(self) -> None:
        self._starting = threading.RLock()
        self._started: list[_LoopThread] = []
        self._ended = False

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        if not self._ended:
            return self._loop().run(coroutine)
        own = _LoopThread()  # for a handler of the exit that comes after ours
        try:
            return own.run(coroutine)
        finally:
            own.stop()

    def _loop(self) -> _LoopThread:
        with self._starting:
            if not self._started:
                self._started.append(_LoopThread())
            return self._started[0]  # a second one is there if a signal handler came between

    def stop(self) -> None:
        self._ended = True
        while self._started:
            self._started.pop().stop()

    def abandon(self) -> None:
        for loop in self._started:
            loop.abandon()


_background = _Background()


def run_blocking(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on the background loop and wait for it, from any thread.

    Also where an event loop is running, as in a notebook, which is blocked meanwhile, in a signal
    handler and at exit. Raises `RuntimeError` where it would wait for itself, and where the
    interpreter is too far in its end.
    """
    try:
        _refuse_deadlock()
        with gate.lifted():
            return _background.run(coroutine)
    except RuntimeError as error:
        if getcoroutinestate(coroutine) == CORO_CREATED:
            coroutine.close()
        if threading.main_thread().is_alive():
            raise
        raise RuntimeError(
            f"a _sync method can't be called any more, for the interpreter is ending ({error}): "
            "call it before the main thread ends"
        ) from error


def _refuse_deadlock() -> None:
    if sys.is_finalizing():
        raise RuntimeError("all threads have ended")
    name = threading.current_thread().name
    if name in SERVING:
        raise RuntimeError(
            f"a _sync method was called on the thread {name!r}, which would wait for itself; await "
            "the method without _sync, and call none in a finaliser such as __del__"
        )
    if find_current_job() is not None and _on_running_loop():
        # It would block all jobs of its worker, perhaps the one that it waits for.
        raise RuntimeError(
            "a _sync method was called in an async task, where it would block the worker's event "
            "loop; await the method without _sync"
        )


def _on_running_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _start_afresh() -> None:
    """In a forked child: the parent's threads aren't here."""
    global _background
    inherited, _background = _background, _Background()
    inherited.abandon()


def _stop_at_exit() -> None:
    _background.stop()


atexit.register(_stop_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_afresh)
