"""A queue file, and other processes at it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest

from conduit.queue import Queue, open_queue
from tests.cli.conftest import cli  # noqa: F401  the real command, as in the tests of the command line

SCRIPT = Path(__file__).with_name("other_process.py")


class Others:
    """Starts processes on the queue's file; what is left of them ends with the test."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._started: list[subprocess.Popen[str]] = []

    def start(self, role: str, *arguments: str) -> subprocess.Popen[str]:
        """A process in one of the roles of `other_process.py`."""
        process = subprocess.Popen(
            [sys.executable, str(SCRIPT), role, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._started.append(process)
        return process

    async def run(self, role: str, *arguments: str) -> str:
        """Wait for a process to play its role to the end; what it said."""
        process = self.start(role, *arguments)
        said, _ = await asyncio.to_thread(process.communicate)
        assert process.returncode == 0
        return said.strip()

    async def lock(self, mode: str = "write") -> subprocess.Popen[str]:
        """A process that has the file locked until `unlock`."""
        process = self.start("lock", self.url, mode)
        assert await asyncio.to_thread(line_of, process) == "locked"
        return process

    async def unlock(self, locker: subprocess.Popen[str]) -> None:
        """End the lock, and the process."""
        await asyncio.to_thread(locker.communicate)
        assert locker.returncode == 0

    def end(self) -> None:
        """Kill every process that is left."""
        for process in self._started:
            if process.poll() is None:
                process.kill()
            process.communicate()


def line_of(process: subprocess.Popen[str]) -> str:
    """The next line that a process says; empty when it has ended."""
    assert process.stdout is not None
    return process.stdout.readline().rstrip()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "queue.db"


@pytest.fixture
def url(path: Path) -> str:
    return f"sqlite:///{path}"


@pytest.fixture
async def queue(url: str) -> AsyncGenerator[Queue]:
    """The queue in the file, opened."""
    async with open_queue(url) as queue:
        yield queue


@pytest.fixture
def others(url: str) -> Generator[Others]:
    others = Others(url)
    yield others
    others.end()
