"""The whole server on a free port, over a real queue and a real history."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from conduit.queue import Queue, open_queue
from conduit.server.db.database import Database
from conduit.server.service import ServerOptions, ServerService

API = "/api/v1"
Serve = Callable[..., Awaitable[ServerService]]
Call = Callable[..., Awaitable[httpx.Response]]


@pytest.fixture
def queue_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'queue.db'}"


@pytest.fixture
async def queue(queue_url: str) -> AsyncIterator[Queue]:
    """The queue, looked at and worked on from beside."""
    async with open_queue(queue_url) as queue:
        yield queue


@pytest.fixture(scope="session")
def empty_history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with tables, to be copied: making one takes longer than most tests."""
    path = tmp_path_factory.mktemp("history") / "history.db"

    async def make() -> None:
        async with Database(f"sqlite:///{path}"):
            pass

    asyncio.run(make())
    return path


@pytest.fixture
def history(tmp_path: Path, empty_history: Path) -> str:
    """The URL of a history in a file; `history_url` is of both kinds."""
    shutil.copy(empty_history, tmp_path / "history.db")
    return f"sqlite:///{tmp_path / 'history.db'}"


@pytest.fixture
async def serve(queue_url: str, history: str, tmp_path: Path) -> AsyncIterator[Serve]:
    """Starts servers; takes what `ServerOptions` takes."""
    async with AsyncExitStack() as stack:

        async def start(**options: Any) -> ServerService:
            url = options.get("queue_url", queue_url)
            defaults: dict[str, Any] = {"database_url": history, "queue_url": url, "port": 0}
            defaults["artifacts_url"] = (tmp_path / "artifacts").as_uri()
            given = ServerOptions(queue_shown=url, **defaults | options)
            service = ServerService(given)
            await service.start()
            stack.push_async_callback(service.stop)
            stack.push_async_callback(service.stop_now)
            return service

        yield start


@pytest.fixture
async def server(serve: Serve) -> ServerService:
    return await serve()


@pytest.fixture
async def api(server: ServerService) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the server's API."""
    async with client_of(server) as client:
        yield client


def client_of(server: ServerService, **options: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=f"{server.url}{API}", timeout=20, **options)


async def until(happened: Callable[[], Awaitable[bool]]) -> None:
    """Wait until it is so. The test's own timeout ends a wait in vain."""
    while not await happened():  # noqa: ASYNC110
        await asyncio.sleep(0.02)
