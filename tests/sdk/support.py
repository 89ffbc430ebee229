"""What the tests of the SDK share."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from conduit.sdk.worker import Worker

WARNINGS = ("-W", "always::ResourceWarning", "-W", "always::RuntimeWarning")
"""What is left open or never awaited is to be heard of."""


@contextmanager
def running_in_thread(worker: Worker) -> Iterator[None]:
    """Run a worker in an event loop of its own, for tests that have none."""
    started = threading.Event()
    stop: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def serve() -> None:
        stopped = asyncio.Event()
        async with worker:
            stop.append((asyncio.get_running_loop(), stopped))
            started.set()
            await stopped.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert started.wait(20)
    try:
        yield
    finally:
        loop, stopped = stop[0]
        loop.call_soon_threadsafe(stopped.set)
        thread.join()


def run_script(folder: Path, code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a script as users do: a process of its own, with nothing left open unnoticed."""
    script = folder / "script.py"
    script.write_text(code)
    return subprocess.run(
        [sys.executable, *WARNINGS, str(script)],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
