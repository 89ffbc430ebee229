"""What the tests of the SDK share."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from conduit.queue import open_queue
from conduit.queue.base import JobFilter
from conduit.sdk.worker import Worker

WARNINGS = ("-W", "always::ResourceWarning", "-W", "always::RuntimeWarning")
"""What is left open or never awaited is to be heard of."""

SHARED = "from tests.sdk.forking_service import *\nimport os, signal, sys, threading\n"
"""What the scripts that `run` runs begin with."""


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


def run(folder: Path, code: str) -> str:
    """Run a script to its end; what it said. Anything on stderr is a failure."""
    done = run_script(folder, SHARED + code)
    assert (done.stderr, done.returncode) == ("", 0)
    return done.stdout


async def check_accepted(folder: Path, url: str, count: int | None = None) -> None:
    """Every submit that was answered is there, and nothing else, in a file that is sound."""
    accepted = (folder / "accepted").read_text().split()
    assert len(set(accepted)) == len(accepted)
    assert count in (None, len(accepted))
    async with open_queue(url) as queue:
        for start in range(0, len(accepted), 1000):
            assert None not in await queue.get(accepted[start : start + 1000])
        assert (await queue.find(JobFilter(), limit=1)).total == len(accepted)
    if url.startswith("sqlite"):
        connection = sqlite3.connect(folder / "queue.db")
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        connection.close()
