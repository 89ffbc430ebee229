"""Events that couldn't be applied are seen, and tried again."""

from __future__ import annotations

import time

import msgspec
from playwright.async_api import Locator, Page, expect

from conduit.core.api_requests import REPORT_KIND, ApiRequests, RouteRequests
from conduit.core.events import Report
from conduit.server.db.database import Database
from conduit.server.ingest import dead
from tests.dashboard.conftest import Pages
from tests.dashboard.shop import Shop
from tests.dashboard.site import Client


def letter(page: Page, reason: str) -> Locator:
    letters = page.get_by_role("list", name="Dead letters").get_by_role("listitem")
    return letters.filter(has_text=reason)


async def replay(page: Page, of: Locator) -> None:
    await of.get_by_role("button", name="Replay letter").click()
    await page.get_by_role("dialog").get_by_role("button", name="Replay it").click()


async def test_a_letter_that_can_be_applied_by_now_is_replayed(
    pages: Pages, shop: Shop, client: Client
) -> None:
    now = time.time_ns() // 1_000_000
    route = RouteRequests("GET", "/letters/{id}", 200, 3, 7.5, (0, 1, 2))
    told = ApiRequests(instance="i1", number=1, age_ms=0, routes=(route,))
    data = msgspec.Raw(msgspec.json.encode(told))
    report = Report(kind=REPORT_KIND, subject="post-office", at=now, data=data)
    kept = dead.letter("0-1", 0, report, "the disk was full", deliveries=5, now=now)
    async with Database(shop.server.database_url) as history, history.begin() as connection:
        await dead.bury(connection, [kept])

    page = await pages.open("/dead-letters")
    await expect(letter(page, "the disk was full")).to_contain_text("tried 5 times")
    await replay(page, letter(page, "the disk was full"))
    await expect(page.get_by_text("The event was applied", exact=True)).to_be_visible()
    await expect(letter(page, "the disk was full")).to_have_count(0)

    await page.get_by_role("radio", name="All").click()
    await expect(letter(page, "the disk was full")).to_contain_text("Replayed")
    apis = (await client.get("/apis"))["items"]
    assert [each["requests"] for each in apis if each["name"] == "post-office"] == [3]


async def test_a_letter_that_nobody_can_read_stays(pages: Pages) -> None:
    page = await pages.open("/dead-letters")
    damaged = letter(page, "Letter 1").first
    await replay(page, damaged)
    await expect(page.get_by_text("It still can't be read", exact=True)).to_be_visible()
    await expect(damaged).to_be_visible()
