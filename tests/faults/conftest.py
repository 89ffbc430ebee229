"""Worker processes to be killed, stopped and ended, and the journal of what their jobs did."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from conduit.core.model import Job
from conduit.queue import Queue, open_queue

SERVICE = Path(__file__).parent / "fire_service.py"


class Effect(NamedTuple):
    """One line of the journal."""

    phase: str
    job_id: str
    attempt: int
    fence: int
    pid: int


class Field:
    """A folder with a queue, a journal, and the processes on it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "queue.db"
        self.url = f"sqlite:///{self.path}"
        self.journal = folder / "journal"
        self.journal.touch()
        self._folder = folder
        self._workers: list[subprocess.Popen[bytes]] = []

    def start_worker(self, **environment: str) -> subprocess.Popen[bytes]:
        """A worker process of its own, as `conduit run` starts it."""
        with (self._folder / f"worker-{len(self._workers)}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "conduit", "run", str(SERVICE), "--queue-url", self.url],
                env={**os.environ, "FIRE_JOURNAL": str(self.journal), **environment},
                stdout=log,
                stderr=log,
            )
        self._workers.append(process)
        return process

    def logs(self) -> str:
        """All that the workers have printed."""
        return "\n".join(path.read_text() for path in sorted(self._folder.glob("worker-*.log")))

    def effects(self) -> list[Effect]:
        """The journal so far."""
        lines = (line.split() for line in self.journal.read_text().splitlines())
        return [Effect(p, job, int(a), int(f), int(pid)) for p, job, a, f, pid in lines]

    def effects_by_job(self) -> dict[str, list[Effect]]:
        """The journal so far, by job."""
        found: dict[str, list[Effect]] = defaultdict(list)
        for effect in self.effects():
            found[effect.job_id].append(effect)
        return found

    async def until(self, happened: Callable[[list[Effect]], bool]) -> None:
        """Wait until the journal shows it. The test's own timeout ends a wait in vain."""
        while not happened(self.effects()):  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    def let_leases_lapse(self) -> None:
        """Let all leases be over, as they will be some seconds after their holders have died."""
        with closing(sqlite3.connect(self.path, timeout=30)) as connection, connection:
            connection.execute("UPDATE leases SET expires = 0")

    def end(self) -> None:
        """End every process that is left."""
        for process in self._workers:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait()


@pytest.fixture
def field(tmp_path: Path) -> Generator[Field]:
    """A fresh field."""
    made = Field(tmp_path)
    yield made
    made.end()


@pytest.fixture
async def queue(field: Field) -> AsyncGenerator[Queue]:
    """The field's queue, seen from the test."""
    async with open_queue(field.url) as opened:
        yield opened


async def finished(queue: Queue, job_id: str) -> Job:
    """The job, once it is finished."""
    while not (done := await queue.wait_finished([job_id], 60)):
        pass
    return done[0]
