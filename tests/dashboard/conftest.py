"""A server, workers and a browser, all real, started once for the tests of each process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, expect

from tests.dashboard import browser as browsers
from tests.dashboard import past, seed
from tests.dashboard.browser import PATIENCE_MS, WIDE, Watch, hacked
from tests.dashboard.site import ADMIN_KEY, API, Client, ConduitServer, Shop
from tests.servers.redis import RedisServer

expect.set_options(timeout=PATIENCE_MS)

PAST = 400
"""How many jobs the shop's history begins with."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """These tests share a loop, as the browser does, and the first one waits for everything."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.timeout(180))
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@dataclass(frozen=True)
class Site:
    """The shop, open and with its stories told."""

    server: ConduitServer
    shop: Shop
    stories: seed.Stories
    cookie: str

    @property
    def url(self) -> str:
        """Where the dashboard is."""
        return self.server.url


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Chromium; each test has a context of its own in it."""
    async with browsers.launched() as browser:
        yield browser


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def site(
    redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Site]:
    """The server and the workers that tests share. None of them stops it."""
    folder = tmp_path_factory.mktemp("site")
    queue_url = f"{redis_server.url}?namespace=site-{uuid4().hex[:12]}"
    database_url = f"sqlite:///{folder / 'history.db'}"
    now = time.time_ns() // 1_000_000
    talkative = await past.make_history(database_url, now, PAST)
    server, shop = ConduitServer(folder, queue_url, database_url), Shop(folder, queue_url)
    try:
        await asyncio.gather(asyncio.to_thread(server.start), asyncio.to_thread(shop.start))
        async with Client(server.url) as client:
            stories = await seed.play(server, shop, client, talkative)
        yield Site(server, shop, stories, await sign_in(server.url))
    finally:
        shop.kill()
        server.kill()


async def sign_in(url: str, key: str = ADMIN_KEY) -> str:
    """The token of a new session."""
    async with httpx.AsyncClient() as client:
        answer = await client.post(f"{url}{API}/session", json={"key": key})
        return answer.raise_for_status().cookies["conduit_session"]


@pytest_asyncio.fixture(loop_scope="session")
async def client(site: Site) -> AsyncIterator[Client]:
    """Talks to the shared server beside the browser."""
    async with Client(site.url) as client:
        yield client


class Pages:
    """Opens pages of a server, each in a context of its own. What they do wrong fails the test."""

    def __init__(self, browser: Browser, site: Site) -> None:
        self._browser = browser
        self._site = site
        self._contexts: list[tuple[BrowserContext, Watch]] = []

    async def open(
        self,
        path: str = "/",
        *,
        url: str | None = None,
        signed_in: bool = True,
        size: tuple[int, int] = WIDE,
        **options: Any,
    ) -> Page:
        """Open a page of the shared server, or of that at `url`; takes what `new_context` takes."""
        url = url or self._site.url
        context = await self._browser.new_context(
            base_url=url,
            viewport={"width": size[0], "height": size[1]},
            reduced_motion="reduce",
            **options,
        )
        context.set_default_timeout(PATIENCE_MS)
        self._contexts.append((context, Watch(context, url)))
        if signed_in:
            await context.add_cookies([session_cookie(url, self._site.cookie)])
        page = await context.new_page()
        await page.goto(path)
        return page

    def excuse(self, *texts: str) -> None:
        """Expect messages with one of these texts on all pages that are open."""
        for _, watch in self._contexts:
            watch.excuse(*texts)

    async def close(self) -> list[str]:
        """Close all; what went wrong on them."""
        faults: list[str] = []
        for context, watch in self._contexts:
            faults += [
                f"a job's script ran on {page.url}" for page in context.pages if await hacked(page)
            ]
            await context.close()
            faults += watch.faults
        return faults


def session_cookie(url: str, token: str) -> Any:
    """The cookie that a sign-in leaves in the browser."""
    return {
        "name": "conduit_session",
        "value": token,
        "url": url,
        "httpOnly": True,
        "sameSite": "Strict",
    }


@pytest_asyncio.fixture(loop_scope="session")
async def pages(browser: Browser, site: Site) -> AsyncIterator[Pages]:
    """Opens pages, signed in unless told otherwise."""
    pages = Pages(browser, site)
    yield pages
    assert await pages.close() == []
