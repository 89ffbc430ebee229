"""What holds for each page: it is accessible in both themes, fits a phone, and reports no error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.dashboard.browser import PHONE, WIDE, at_rest, settled, sideways
from tests.dashboard.conftest import Pages
from tests.dashboard.shop import Shop

AXE = Path(__file__).parents[2] / "dashboard" / "node_modules" / "axe-core" / "axe.min.js"

PAGES = {
    "overview": "/",
    "jobs": "/jobs",
    "jobs, none of them": "/jobs?q=nothing-has-this-in-it",
    "job": "/jobs/{order}",
    "job, failed": "/jobs/{refund}",
    "job, running": "/jobs/{newsletter}",
    "job, blocked": "/jobs/{workflow}",
    "job, with files": "/jobs/{report}",
    "job, hostile": "/jobs/{hostile}",
    "functions": "/functions",
    "function": "/functions/place_order",
    "no such function": "/functions/nothing_is_called_this",
    "queues": "/queues",
    "schedules": "/schedules",
    "workers": "/workers",
    "apis": "/apis",
    "events": "/events",
    "dead letters": "/dead-letters",
    "no such page": "/nowhere",
}


async def assert_no_barriers(page: Page) -> None:
    """Let axe look for what keeps people out of the page."""
    await at_rest(page)
    await page.evaluate(AXE.read_text("utf-8"))  # not a script tag: the page's policy forbids those
    found: list[dict[str, Any]] = await page.evaluate(
        """async () => (await axe.run(document, {
            resultTypes: ["violations"],
            runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
        })).violations"""
    )
    barriers = [
        f"{each['id']}: {node['html'][:200]}\n{node['failureSummary']}"
        for each in found
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ]
    assert not barriers, "\n\n".join(barriers)


@pytest.mark.parametrize("name", PAGES)
async def test_it_is_accessible_and_fits_a_phone(name: str, pages: Pages, shop: Shop) -> None:
    path = PAGES[name].format_map(vars(shop.stories) | vars(shop.oddities))
    page = await pages.open(path, color_scheme="light")
    if name == "no such function":
        pages.excuse("404")
    await settled(page)
    await expect(page.get_by_role("heading", level=1)).to_be_visible()
    await assert_no_barriers(page)

    await page.emulate_media(color_scheme="dark", reduced_motion="reduce")
    await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    await assert_no_barriers(page)
    assert await sideways(page) == 0

    await page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    assert await sideways(page) == 0, f"wider than a phone; at {WIDE[0]} it fits"


async def test_the_sign_in_is_accessible_and_fits_a_phone(pages: Pages) -> None:
    page = await pages.open("/sign-in", signed_in=False, size=PHONE, color_scheme="light")
    pages.excuse("401")
    await expect(page.get_by_label("API key")).to_be_visible()

    await assert_no_barriers(page)
    await page.emulate_media(color_scheme="dark", reduced_motion="reduce")
    await assert_no_barriers(page)
    assert await sideways(page) == 0
