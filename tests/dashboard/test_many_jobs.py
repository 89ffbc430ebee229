"""A hundred thousand jobs in the table."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from tests.dashboard import past
from tests.dashboard.conftest import Pages
from tests.dashboard.shop import sign_in
from tests.dashboard.site import Client, ConduitServer
from tests.dashboard.test_jobs import chip, rows
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


async def drawn(page: Page) -> int:
    """How many rows the page has in it."""
    return await page.locator("tr[data-job]").count()


async def test_a_hundred_thousand_jobs_can_be_paged_through(
    archive: ConduitServer, pages: Pages
) -> None:
    page = await pages.open("/jobs", url=archive.url, cookie=await sign_in(archive.url))
    part = page.get_by_role("navigation", name="Parts of the list")
    await expect(part).to_contain_text(f"1 to 50 of {MANY:,}")
    assert await drawn(page) == 50
    first = await rows(page).first.get_attribute("data-job")

    for number in (2, 3):
        await part.get_by_role("button", name="Next").click()
        await expect(part).to_contain_text(f"{number * 50 - 49} to {number * 50} of {MANY:,}")
    await expect(rows(page).first).not_to_have_attribute("data-job", first or "")
    await part.get_by_role("button", name="First page").click()
    await expect(rows(page).first).to_have_attribute("data-job", first or "")

    async with Client(archive.url) as client:
        failed = await client.total(status="failed")
    await chip(page, "Failed").click()
    await expect(part).to_contain_text(f"of {failed:,}")


async def test_of_a_long_page_only_what_is_seen_is_drawn(
    archive: ConduitServer, pages: Pages
) -> None:
    page = await pages.open("/jobs?limit=500", url=archive.url, cookie=await sign_in(archive.url))
    part = page.get_by_role("navigation", name="Parts of the list")
    await expect(part).to_contain_text(f"1 to 500 of {MANY:,}")
    table = page.get_by_role("table", name="Jobs")
    await expect(table).to_have_attribute("aria-rowcount", "501")
    height = await rows(page).nth(3).evaluate("(row) => row.offsetHeight")
    for index in (501, 250, 2):
        await page.evaluate("(top) => window.scrollTo(0, top)", index * height)
        await expect(page.locator(f"tr[aria-rowindex='{index}']")).to_be_visible()
        assert await drawn(page) < 150


async def test_all_that_match_are_selected_over_all_pages(
    archive: ConduitServer, pages: Pages
) -> None:
    page = await pages.open(
        "/jobs?status=failed", url=archive.url, cookie=await sign_in(archive.url)
    )
    async with Client(archive.url) as client:
        failed = await client.total(status="failed")
    await page.get_by_role("checkbox", name="Select all on this page").check()
    selected = page.get_by_role("region", name="Selected jobs")
    await selected.get_by_role("button", name=f"Select all {failed:,} that match").click()
    await expect(selected).to_contain_text(f"All {failed:,} selected")
    await selected.get_by_role("button", name="Delete").click()
    asked = page.get_by_role("dialog", name=f"Delete {failed:,} jobs?")
    await asked.get_by_role("button", name="Keep as it is").click()
    await expect(asked).to_be_hidden()
