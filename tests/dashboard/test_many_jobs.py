"""A hundred thousand jobs in the table."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
import pytest_asyncio
from playwright.async_api import expect

from tests.dashboard import past
from tests.dashboard.browser import settled
from tests.dashboard.conftest import Pages
from tests.dashboard.shop import sign_in
from tests.dashboard.site import Client, ConduitServer
from tests.servers.redis import RedisServer

MANY = 100_000


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def archive(
    redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[ConduitServer]:
    """A server whose history is long, and whose queue is empty."""
    folder = tmp_path_factory.mktemp("archive")
    database_url = f"sqlite:///{folder / 'history.db'}"
    await past.make_history(database_url, time.time_ns() // 1_000_000, MANY - 1)
    queue_url = f"{redis_server.url}?namespace=archive-{uuid4().hex[:12]}"
    server = ConduitServer(folder, queue_url, database_url)
    await asyncio.to_thread(server.start)
    yield server
    server.kill()


async def test_a_hundred_thousand_jobs_can_be_paged_through(
    archive: ConduitServer, pages: Pages
) -> None:
    page = await pages.open("/jobs", url=archive.url, cookie=await sign_in(archive.url))
    await settled(page)
    async with Client(archive.url) as client:
        failed = await client.total(status="failed")

    await expect(page.get_by_text(f"{MANY:,}").first).to_be_visible()
