"""Workers that are there, fall silent, are lost, or stop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from playwright.async_api import Locator, Page, expect

from tests.dashboard.conftest import Pages
from tests.dashboard.shop import Shop
from tests.dashboard.site import IdleWorker

UNTIL_LOST_MS = 150_000
"""A worker is taken for lost after a minute of silence, and servers look every 15 seconds."""


@pytest_asyncio.fixture(loop_scope="session")
async def idle(shop: Shop, tmp_path: Path) -> AsyncIterator[IdleWorker]:
    """A worker of the shop's queue without jobs."""
    worker = IdleWorker(tmp_path, shop.server.queue_url)
    await asyncio.to_thread(worker.start)
    yield worker
    worker.kill()


def present(page: Page) -> Locator:
    return card(page, "Workers")


def silent(page: Page) -> Locator:
    return card(page, "Workers not heard of")


def card(page: Page, place: str) -> Locator:
    return page.get_by_role("list", name=place, exact=True).locator("> li").filter(has_text="idle")


def gone(page: Page, how: str) -> Locator:
    rows = page.get_by_role("region", name="Workers that have gone").get_by_role("row")
    return rows.filter(has_text="idle").filter(has_text=how)


async def test_a_worker_that_falls_silent_is_told_of_comes_back_or_is_lost(
    pages: Pages, idle: IdleWorker
) -> None:
    page = await pages.open("/workers")
    await expect(present(page)).to_be_visible()

    idle.pause()
    await expect(silent(page)).to_contain_text("Silent")
    await expect(present(page)).to_have_count(0)

    idle.resume()
    await expect(present(page)).to_be_visible()
    await expect(silent(page)).to_have_count(0)

    idle.pause()
    await expect(gone(page, "Lost")).to_be_visible(timeout=UNTIL_LOST_MS)
    await expect(silent(page)).to_have_count(0)


async def test_a_worker_that_stops_is_told_apart_from_one_that_is_lost(
    pages: Pages, idle: IdleWorker
) -> None:
    page = await pages.open("/workers")
    await expect(present(page)).to_be_visible()

    await asyncio.to_thread(idle.stop)
    await expect(gone(page, "Stopped")).to_be_visible()
    await expect(present(page)).to_have_count(0)
