"""A queue of each kind, and what is needed to learn a lesson from it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from textwrap import dedent

import pytest

from conduit import Worker
from conduit.cli.connect import queue_file
from conduit.core.model import Job
from conduit.queue import Queue, open_queue
from conduit.queue.redis import RedisQueue
from conduit.queue.sqlite import SqliteQueue
from tests.cli.conftest import Cli, cli  # noqa: F401
from tests.servers.process import free_port

KINDS = ["sqlite", "redis"]


@pytest.fixture(params=KINDS)
def queue_url(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> str:
    """An empty queue of its own for the test, also for programs that look into their settings."""
    if request.param == "redis":
        server, namespace = map(request.getfixturevalue, ("redis_url", "namespace"))
        url = f"{server}?namespace={namespace}"
    else:
        url = f"sqlite:///{tmp_path / 'queue.db'}"
    monkeypatch.setenv("CONDUIT_QUEUE_URL", url)
    return url


@pytest.fixture(params=KINDS)
def unreachable_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a queue that can't be had."""
    if request.param == "redis":
        return f"redis://127.0.0.1:{free_port()}"
    (tmp_path / "file").touch()
    return f"sqlite:///{tmp_path / 'file'}/queue.db"


@pytest.fixture
async def queue(queue_url: str) -> AsyncIterator[Queue]:
    """The queue, looked at from beside."""
    async with open_queue(queue_url) as queue:
        yield queue


@pytest.fixture
def worker(queue_url: str) -> Worker:
    return Worker("test", shutdown_timeout=5)


OpenAhead = Callable[[timedelta], Awaitable[Queue]]


@pytest.fixture
async def open_ahead(queue_url: str) -> AsyncIterator[OpenAhead]:
    """Opens the queue as it will be met in some time, by those who still have it then."""
    async with AsyncExitStack() as opened:

        async def open_it(ahead: timedelta) -> Queue:
            def clock() -> int:
                return time.time_ns() // 1_000_000 + ahead // timedelta(milliseconds=1)

            path = queue_file(queue_url)
            queue = SqliteQueue(path, clock=clock) if path else RedisQueue(queue_url, clock=clock)
            return await opened.enter_async_context(queue)

        yield open_it


async def job_of(queue: Queue, job_id: str) -> Job:
    """The job as the queue has it now."""
    (job,) = await queue.get([job_id])
    assert job is not None
    return job


async def until(happened: Callable[[], Awaitable[bool]]) -> None:
    """Wait until it is so. The test's own timeout ends a wait in vain."""
    while not await happened():  # noqa: ASYNC110
        await asyncio.sleep(0.02)


LAUNCHER = """
    import asyncio, dataclasses, sys
    from conduit.engine.supervision.runner import run_services
    from conduit.engine.worker import WorkerService
    from service import worker

    spec = dataclasses.replace(worker.spec(), lease_ms=1500)
    sys.exit(asyncio.run(run_services([WorkerService(spec, sys.argv[1])])))
"""

StartBriefly = Callable[[], subprocess.Popen[bytes]]


@pytest.fixture
def start_briefly(cli: Cli, queue_url: str) -> Iterator[StartBriefly]:  # noqa: F811
    """Starts the worker of service.py under leases that lapse soon after it is killed."""
    started: list[subprocess.Popen[bytes]] = []
    cli.write("launcher.py", dedent(LAUNCHER))

    def start() -> subprocess.Popen[bytes]:
        command = [sys.executable, "launcher.py", queue_url]
        started.append(subprocess.Popen(command, cwd=cli.folder))
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait()
