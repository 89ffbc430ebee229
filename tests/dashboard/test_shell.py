"""What every page has around it."""

from __future__ import annotations

from playwright.async_api import expect

from tests.dashboard.conftest import Pages


async def test_the_page_at_the_root_opens(pages: Pages) -> None:
    page = await pages.open("/")

    await expect(page).to_have_title("Conduit")
