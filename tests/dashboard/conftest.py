"""A server, workers and a browser, all real, started once for the tests of each process."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, expect

from tests.containers.dockerfile import REPOSITORY
from tests.dashboard import browser as browsers
from tests.dashboard.browser import PATIENCE_MS, WIDE, Watch, hacked, session_cookie
from tests.dashboard.shop import Shop, opened
from tests.dashboard.site import Client
from tests.servers.redis import RedisServer

sys.path.insert(0, str(REPOSITORY / "dashboard"))
import bundle

expect.set_options(timeout=PATIENCE_MS)

PAST = 400
"""How many jobs the shop's history begins with."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """These tests share a loop, as the browser does, and the first one waits for everything."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents and pytest_asyncio.is_async_test(item):
            item.add_marker(pytest.mark.timeout(300))
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Chromium; each test has a context of its own in it."""
    if not bundle.is_current():
        pytest.fail("the dashboard isn't built of the sources that are here: run `make dashboard`")
    async with browsers.launched() as browser:
        yield browser


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shop(
    redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Shop]:
    """The shop that tests share. None of them closes it."""
    async with opened(tmp_path_factory.mktemp("shop"), redis_server.url, jobs=PAST) as shop:
        yield shop


@pytest_asyncio.fixture(loop_scope="session")
async def client(shop: Shop) -> AsyncIterator[Client]:
    """Talks to the shared server beside the browser."""
    async with Client(shop.url) as client:
        yield client


class Pages:
    """Opens pages of a server, each in a context of its own. What they do wrong fails the test."""

    def __init__(self, browser: Browser, shop: Shop) -> None:
        self._browser = browser
        self._shop = shop
        self._contexts: list[tuple[BrowserContext, Watch]] = []

    async def open(
        self,
        path: str = "/",
        *,
        url: str | None = None,
        signed_in: bool = True,
        cookie: str | None = None,
        size: tuple[int, int] = WIDE,
        **options: Any,
    ) -> Page:
        """Open a page of the shared server, or of that at `url`; takes what `new_context` takes."""
        url = url or self._shop.url
        context = await self._browser.new_context(
            base_url=url,
            viewport={"width": size[0], "height": size[1]},
            reduced_motion="reduce",
            **options,
        )
        context.set_default_timeout(PATIENCE_MS)
        self._contexts.append((context, Watch(context, url)))
        if signed_in:
            await context.add_cookies([session_cookie(url, cookie or self._shop.cookie)])
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


@pytest_asyncio.fixture(loop_scope="session")
async def pages(browser: Browser, shop: Shop) -> AsyncIterator[Pages]:
    """Opens pages, signed in unless told otherwise."""
    pages = Pages(browser, shop)
    yield pages
    assert await pages.close() == []
