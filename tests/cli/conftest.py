"""The real command in a real process, in a folder of its own, on a real SQLite queue."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
import subprocess
import sys
import termios
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from textwrap import dedent
from typing import IO, Any, TypeVar
from uuid import uuid4

import pytest

from conduit.core.model import Job, JobStatus, NewJob
from conduit.queue import Queue, open_queue

COMMAND = (sys.executable, "-m", "conduit")
PATIENCE_S = 40.0

T = TypeVar("T")


_ABOUT_TERMINALS = ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES")
"""Variables of whoever runs the tests, which would tell the command of another terminal."""


class Run:
    """A command that was started and goes on."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.seen = ""

    def until(self, text: str) -> str:
        """Read its messages until one holds `text`; everything read so far."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.seen += line
            if text in line:
                return self.seen
        raise AssertionError(f"the command ended without saying {text!r}:\n{self.seen}")

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self) -> int:
        """Wait for its end; the exit code. What it said is in `seen`."""
        self.output()
        return self.process.returncode

    def output(self) -> str:
        """Wait for its end; its data."""
        data, rest = self.process.communicate(timeout=PATIENCE_S)
        self.seen += rest
        return data

    def stop(self) -> int:
        self.send(signal.SIGTERM)
        return self.end()

    def hurry(self) -> int:
        """Send two signals: distinct ones, as two of a kind can arrive as one, in any order."""
        self.send(signal.SIGINT)
        self.send(signal.SIGTERM)
        return self.end()


class Cli:
    """Calls the command in `folder`, free of the settings of whoever runs the tests."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runs: list[Run] = []

    def environment(self, **extra: str) -> dict[str, str]:
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("CONDUIT_") and name not in _ABOUT_TERMINALS
        }
        return kept | extra

    def __call__(
        self, *arguments: str, stdout: int | IO[Any] = subprocess.PIPE, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *arguments],
            cwd=self.folder,
            env=self.environment(**environment),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )

    def start(self, *arguments: str, command: Sequence[str] = COMMAND, **environment: str) -> Run:
        process = subprocess.Popen(
            [*command, *arguments],
            cwd=self.folder,
            env=self.environment(**environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.runs.append(Run(process))
        return self.runs[-1]

    def on_terminal(
        self, *arguments: str, answer: str = "", columns: int = 80, **environment: str
    ) -> tuple[int, str]:
        """Run on a terminal at which `answer` is typed; the exit code, and what is seen there."""
        ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (24, columns))
        with subprocess.Popen(
            [*COMMAND, *arguments],
            cwd=self.folder,
            env=self.environment(TERM="xterm-256color", **environment),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        ) as process:
            os.close(theirs)
            with os.fdopen(ours, "r+b", buffering=0) as terminal:
                terminal.write(answer.encode())
                seen = bytearray()
                with suppress(OSError):  # how Linux reports that the other side has closed
                    while piece := terminal.read(4096):
                        seen += piece
            return process.wait(PATIENCE_S), seen.decode()

    def write(self, name: str, source: str) -> Path:
        path = self.folder / name
        path.write_text(dedent(source), "utf-8")
        return path

    def submit(self, function: str, *, queue: str = "default", url: str | None = None) -> str:
        """Submit a job without arguments; its id."""
        return self.with_queue(lambda store: _submit(store, function, queue), url=url)

    def value(self, function: str, *, queue: str = "default", url: str | None = None) -> Any:
        """What a job without arguments returns, once a worker has run it."""

        async def run(store: Queue) -> Job:
            job_id = await _submit(store, function, queue)
            done = await store.wait_finished([job_id], PATIENCE_S)
            assert done, f"{function} hasn't ended after {PATIENCE_S:.0f} s"
            return done[0]

        job = self.with_queue(run, url=url)
        assert job.status is JobStatus.COMPLETED, job.error
        return json.loads(job.result or b"null")

    def with_queue(self, work: Callable[[Queue], Awaitable[T]], *, url: str | None = None) -> T:
        """Do something with a queue; that of the folder is made if need be."""
        url = url or f"sqlite:///{self.folder / '.conduit/queue.db'}"

        async def do() -> T:
            async with open_queue(url) as queue:
                return await work(queue)

        return asyncio.run(do())


async def _submit(store: Queue, function: str, queue: str) -> str:
    job = NewJob(id=str(uuid4()), function=function, queue=queue)
    (submitted,) = await store.submit([job])
    return submitted.job_id


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[Cli]:
    cli = Cli(tmp_path)
    yield cli
    for run in cli.runs:
        if run.process.poll() is None:
            run.process.kill()
        run.process.communicate(timeout=PATIENCE_S)
