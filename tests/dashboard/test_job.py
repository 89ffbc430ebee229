"""One job: what went wrong with it, and what is done about it."""

from __future__ import annotations

import re
from uuid import uuid4

from playwright.async_api import Locator, Page, expect

from tests.dashboard.conftest import Pages
from tests.dashboard.shop import Shop
from tests.dashboard.site import Client
from tests.dashboard.test_jobs import chip, rows, search_field


def status(page: Page, text: str) -> Locator:
    return page.get_by_role("main").locator("header").get_by_role("status").filter(has_text=text)


async def test_a_failed_job_is_found_read_retried_and_turns_green_without_a_reload(
    pages: Pages, client: Client
) -> None:
    supplier = f"Found & Co {uuid4().hex[:8]}"
    job_id = await client.submit("import_prices", supplier)
    await client.reaches(job_id, "failed")
    page = await pages.open("/")
    await page.evaluate("() => { window.neverReloaded = true }")

    await page.get_by_role("navigation").get_by_role("link", name="Jobs").click()
    await chip(page, "Failed").click()
    await search_field(page).fill(supplier)
    await expect(rows(page)).to_have_count(1)
    await rows(page).get_by_role("link", name="import_prices").click()

    error = page.get_by_role("region", name="Error")
    await expect(error).to_contain_text("FeedError")
    await expect(error).to_contain_text(f"{supplier}: the feed broke off at row 1201")
    await expect(error).to_contain_text("raise FeedError(")
    await expect(page.get_by_role("log")).to_contain_text("row 1201 of")
    await expect(status(page, "Failed")).to_be_visible()

    await page.get_by_role("button", name="Retry", exact=True).click()
    await expect(status(page, "Completed")).to_be_visible()
    await expect(page.get_by_role("region", name="Result")).to_contain_text("resumed")
    await expect(error).to_be_hidden()
    assert await page.evaluate("() => window.neverReloaded")
    assert (await client.reaches(job_id, "completed"))["generation"] == 2


async def test_a_running_job_is_watched_and_cancelled(pages: Pages, client: Client) -> None:
    job_id = await client.submit("send_newsletter", 2000, 400)
    await client.reaches(job_id, "running")
    page = await pages.open(f"/jobs/{job_id}")
    await expect(status(page, "Running")).to_be_visible()
    await expect(page.get_by_role("progressbar", name="Progress")).to_be_visible()
    await expect(page.get_by_role("log")).to_contain_text("sent to reader 5")  # it follows

    await page.get_by_role("button", name="Cancel", exact=True).click()
    asked = page.get_by_role("dialog", name="Cancel this job?")
    await asked.get_by_role("button", name="Keep as it is").click()
    await expect(asked).to_be_hidden()
    await expect(status(page, "Running")).to_be_visible()

    await page.get_by_role("button", name="Cancel", exact=True).click()
    await asked.get_by_role("button", name="Cancel the job").click()
    await expect(status(page, "Cancelled")).to_be_visible()
    assert (await client.reaches(job_id, "cancelled"))["status"] == "cancelled"


async def test_chained_errors_are_shown_with_their_cause(pages: Pages, shop: Shop) -> None:
    page = await pages.open(f"/jobs/{shop.stories.refund}")
    error = page.get_by_role("region", name="Error")
    await expect(error).to_contain_text("RefundError")
    await expect(error).to_contain_text("Caused by")
    await expect(error).to_contain_text("connection refused by ledger.internal:5432")
    for name in ("refund", "_open_ledger", "_connect"):
        await expect(error.get_by_text(name, exact=True).first).to_be_visible()


async def test_what_a_job_kept_is_shown(pages: Pages, shop: Shop) -> None:
    page = await pages.open(f"/jobs/{shop.stories.report}")
    for text in ("orders.csv", "summary.md", "2026-10-01"):
        await expect(page.get_by_role("main")).to_contain_text(text)
    for name in ("Checkpoint", "Metadata", "Steps"):
        await expect(page.get_by_role("region", name=name)).to_be_visible()
    await expect(page.get_by_role("img", name=re.compile("Attempt 2"))).to_be_visible()

    await page.goto(f"/jobs/{shop.stories.thumbnail}")
    picture = page.get_by_role("img", name="teapot.png")
    await expect(picture).to_be_visible()
    assert await picture.evaluate("(image) => image.naturalWidth") == 240
    async with page.expect_download() as download:
        await page.get_by_role("link", name="Download teapot.png").click()
    assert (await download.value).suggested_filename == "teapot.png"


async def test_numbers_keep_all_their_digits(pages: Pages, client: Client) -> None:
    job_id = await client.submit("large_number", 2**53 + 1)
    await client.reaches(job_id, "completed")
    page = await pages.open(f"/jobs/{job_id}", permissions=["clipboard-read", "clipboard-write"])
    kept = {
        "Arguments": '{\n  "number": 9007199254740993\n}',
        "Result": '{\n  "next": 9007199254740994,\n  "whole": 1.0\n}',
        "Metadata": '{\n  "before": 9007199254740992\n}',
        "Checkpoint": '{\n  "numbers": [\n    9007199254740993\n  ]\n}',
    }
    for name, text in kept.items():
        await expect(page.get_by_role("region", name=name).last).to_contain_text("900719925474099")
        await page.get_by_role("button", name=f"Copy {name}").click()
        assert await page.evaluate("() => navigator.clipboard.readText()") == text

    await page.get_by_role("button", name="Run again…").click()
    again = page.get_by_role("dialog", name="Run large_number again")
    await again.get_by_role("button", name="Submit").click()
    await expect(again).to_be_hidden()
    await expect(page).not_to_have_url(re.compile(job_id))
    await expect(page.get_by_role("region", name="Result").last).to_contain_text("9007199254740994")


async def test_a_family_of_jobs_is_walked_through(pages: Pages, shop: Shop) -> None:
    page = await pages.open(f"/jobs/{shop.stories.order}")
    await expect(page.get_by_role("heading", name="place_order", level=1)).to_be_visible()
    await page.get_by_role("main").get_by_role("link", name=re.compile("^charge")).click()
    await expect(page.get_by_role("heading", name="charge", level=1)).to_be_visible()
    await expect(page.get_by_role("main")).to_contain_text(shop.stories.order[:8])


def graph(page: Page) -> Locator:
    return page.get_by_role("list", name="Jobs of the graph")


def box(page: Page, name: str) -> Locator:
    return graph(page).get_by_role("link", name=re.compile(name))


async def test_a_blocked_job_says_what_it_waits_for_and_shows_its_graph(
    pages: Pages, shop: Shop
) -> None:
    page = await pages.open(f"/jobs/{shop.stories.workflow}")
    await expect(status(page, "Blocked")).to_be_visible()
    waits = page.get_by_role("main").locator("section").filter(has_text="Waits for 1 of 1 job")
    await expect(waits.get_by_role("link", name="reconcile")).to_be_visible()
    await expect(waits).to_contain_text("Running")

    await expect(box(page, "collect_sales")).to_have_count(3)
    await expect(box(page, "Running.*reconcile")).to_have_count(1)
    await expect(box(page, "Blocked.*publish_figures")).to_have_attribute("aria-current", "page")
    await expect(box(page, "Failed.*close_books")).to_have_count(1)
    await expect(box(page, "Cancelled.*send_mail")).to_have_count(1)

    many = graph(page).get_by_role("button", name=re.compile("send_mail.*8"))
    await many.click()
    await expect(box(page, "Blocked.*send_mail")).to_have_count(8)
    await page.get_by_role("button", name="Fold again").click()
    await expect(many).to_be_visible()


async def test_a_graph_is_walked_through_by_keys(pages: Pages, shop: Shop) -> None:
    page = await pages.open(f"/jobs/{shop.stories.workflow}")
    await box(page, "publish_figures").focus()
    await page.keyboard.press("ArrowLeft")
    await expect(box(page, "reconcile")).to_be_focused()
    await page.keyboard.press("ArrowLeft")
    await expect(box(page, "collect_sales").and_(page.locator(":focus"))).to_have_count(1)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="collect_sales", level=1)).to_be_visible()
    await expect(box(page, "reconcile")).to_be_visible()


async def test_a_graph_follows_its_jobs_without_a_reload(pages: Pages, client: Client) -> None:
    first = await client.submit("reconcile", "2026-11", 3600)
    last = await client.submit("publish_figures", "2026-11", after=[first])
    await client.reaches(first, "running")
    page = await pages.open(f"/jobs/{last}")
    await expect(box(page, "Running.*reconcile")).to_be_visible()

    await client.post(f"/jobs/{first}/cancel")
    await expect(box(page, "Cancelled.*reconcile")).to_be_visible()
    await expect(box(page, "Cancelled.*publish_figures")).to_be_visible()
    await expect(status(page, "Cancelled")).to_be_visible()
    await expect(page.get_by_role("main")).to_contain_text(f"job {first} that it waits for")


async def test_a_job_is_deleted_after_a_question(pages: Pages, client: Client) -> None:
    job_id = await client.submit("send_mail", "ada@example.org")
    await client.reaches(job_id, "completed")
    page = await pages.open(f"/jobs/{job_id}")
    pages.excuse("404")  # the page may hear of it and ask for the job before its own answer comes
    await page.get_by_role("button", name="Delete", exact=True).click()
    await page.get_by_role("button", name="Delete the job").click()

    await expect(page.get_by_role("heading", name="Jobs", level=1)).to_be_visible()
    assert (await client.http.get(f"/jobs/{job_id}")).status_code == 404
