"""The event loop that services run on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run`, on uvloop where that is installed (the extra `uvloop`).

    Threads of `asyncio.to_thread` that hang don't keep it.
    """
    threads = ThreadPoolExecutor(thread_name_prefix="asyncio")
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        loop = runner.get_loop()
        loop.set_default_executor(threads)
        try:
            return runner.run(main)
        finally:
            threads.shutdown(wait=False)
            # The one that the loop has is waited for when it closes.
            loop.set_default_executor(ThreadPoolExecutor())


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # an extra, and not made for every platform
        return None
    return uvloop.new_event_loop
