"""What jobs may say and keep, shown safely and plainly."""

from __future__ import annotations

from playwright.async_api import Locator, Page, expect

from tests.dashboard import seed
from tests.dashboard.bad_service import ARABIC, HEBREW, HOSTILE, HOSTILE_NAME
from tests.dashboard.browser import hacked, settled, sideways
from tests.dashboard.conftest import Pages
from tests.dashboard.past import MANY_LINES
from tests.dashboard.shop import Shop
from tests.dashboard.site import Client


async def direction(text: Locator) -> str:
    """In which direction the browser lays it out."""
    return await text.evaluate("(element) => getComputedStyle(element).direction")


async def elements(page: Page) -> int:
    """How many the page is made of."""
    return await page.evaluate("() => document.getElementsByTagName('*').length")


async def test_html_of_a_job_is_text_wherever_it_stands(pages: Pages, shop: Shop) -> None:
    page = await pages.open(f"/jobs/{shop.oddities.hostile}")
    await expect(page.get_by_role("heading", level=1)).to_contain_text(HOSTILE_NAME)
    await expect(page.get_by_text(HOSTILE).first).to_be_visible()
    await settled(page)
    assert await page.locator("main img[src=x], main script").count() == 0
    assert not await hacked(page)

    for path in ("/jobs?status=failed", "/functions", "/"):
        await page.goto(path)
        await settled(page)
        await expect(page.get_by_text(HOSTILE_NAME).first).to_be_attached()
        assert not await hacked(page)


async def test_a_result_of_a_mebibyte_is_cut_and_can_be_downloaded(
    pages: Pages, shop: Shop
) -> None:
    page = await pages.open(f"/jobs/{shop.oddities.large}")
    result = page.get_by_role("region", name="Result")
    await expect(result).to_contain_text(f"show more of {seed.LARGEST:,} characters")
    assert len(await page.get_by_role("main").inner_text()) < 20_000

    async with page.expect_download() as download:
        await page.get_by_role("button", name="Download result").click()
    path = await (await download.value).path()
    assert path.stat().st_size == seed.LARGEST + 2  # and its quotes


async def test_deep_json_opens_step_by_step(pages: Pages, shop: Shop) -> None:
    page = await pages.open(f"/jobs/{shop.oddities.deep}")
    result = page.get_by_role("region", name="Result")
    closed = result.locator("button[aria-expanded=false]")
    await expect(closed).to_have_count(1)
    for _ in range(seed.DEPTH):
        if await closed.count() == 0:
            break
        await closed.click()
    await expect(result).to_contain_text("the bottom")
    assert await sideways(page) == 0


async def test_text_from_right_to_left_is_laid_out_so(pages: Pages, shop: Shop) -> None:
    page = await pages.open(f"/jobs/{shop.oddities.foreign}")
    for text in (HEBREW, ARABIC):
        for place in (page.get_by_role("log"), page.get_by_role("region", name="Result")):
            line = place.get_by_text(text)
            await expect(line).to_be_visible()
            assert await direction(line) == "rtl"


async def test_fifty_thousand_lines_can_be_read_to_their_end(pages: Pages, shop: Shop) -> None:
    page = await pages.open(f"/jobs/{shop.stories.talkative}")
    log = page.get_by_role("log")
    await expect(log).to_be_visible()
    await expect(page.get_by_text(f"{MANY_LINES:,} lines")).to_be_visible()

    await log.press("End")
    await expect(log).to_contain_text(f"page {MANY_LINES} of {MANY_LINES}")
    assert await elements(page) < 5_000


async def test_the_page_of_a_deleted_job_says_so(pages: Pages, client: Client) -> None:
    job_id = await client.submit("send_mail", "ada@example.org")
    await client.reaches(job_id, "completed")
    (await client.http.delete(f"/jobs/{job_id}")).raise_for_status()

    page = await pages.open("/jobs")
    pages.excuse("404")
    await page.goto(f"/jobs/{job_id}")
    await expect(page.get_by_role("alert")).to_be_visible()
    await expect(page.get_by_role("main")).to_contain_text(job_id[:8])
    await expect(page.get_by_role("main").get_by_role("link").first).to_be_visible()
