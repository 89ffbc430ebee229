"""The list of jobs: found, selected, acted on, and kept up to date."""

from __future__ import annotations

import re
from urllib.parse import quote
from uuid import uuid4

from playwright.async_api import Locator, Page, expect

from tests.dashboard.conftest import Pages
from tests.dashboard.site import Client, all_reach


def rows(page: Page) -> Locator:
    """Those of the table, its head aside."""
    return page.get_by_role("table", name="Jobs").locator("tbody").get_by_role("row")


def chip(page: Page, status: str) -> Locator:
    return page.get_by_role("group", name="Status").get_by_role("button", name=re.compile(status))


def search_field(page: Page) -> Locator:
    return page.get_by_role("searchbox", name="Search these jobs")


async def test_filters_stand_in_the_address_and_survive_a_reload(
    pages: Pages, client: Client
) -> None:
    supplier = f"Filters & Co {uuid4().hex[:8]}"
    await client.reaches(await client.submit("import_prices", supplier), "failed")
    page = await pages.open("/jobs")

    await chip(page, "Failed").click()
    await expect(page).to_have_url(re.compile(r"status=failed"))
    await page.get_by_role("search").get_by_role("button", name="Queue").click()
    await page.get_by_role("menuitemcheckbox", name="default").click()
    await page.keyboard.press("Escape")
    await search_field(page).fill(supplier)
    await expect(rows(page)).to_have_count(1)
    await expect(page).to_have_url(re.compile(r"queue=default.*"))

    await page.reload()
    await expect(rows(page)).to_have_count(1)
    await expect(rows(page).first).to_contain_text("FeedError")
    await expect(search_field(page)).to_have_value(supplier)
    await expect(chip(page, "Failed")).to_have_attribute("aria-pressed", "true")

    await chip(page, "Failed").click()
    await chip(page, "Completed").click()
    await expect(page.get_by_text("No jobs match")).to_be_visible()
    await page.get_by_role("button", name="Clear all filters").click()
    await expect(rows(page).nth(5)).to_be_visible()
    await expect(search_field(page)).to_have_value("")


async def test_many_jobs_are_retried_at_once_after_their_number_was_confirmed(
    pages: Pages, client: Client
) -> None:
    supplier = f"Bulk & Co {uuid4().hex[:8]}"
    failed = [await client.submit("import_prices", supplier) for _ in range(3)]
    await all_reach(client, failed, "failed")
    page = await pages.open(f"/jobs?status=failed&q={supplier.replace('&', '%26')}")
    await expect(rows(page)).to_have_count(3)

    await page.get_by_role("checkbox", name="Select all on this page").check()
    selected = page.get_by_role("region", name="Selected jobs")
    await expect(selected).to_contain_text("3 selected")
    await selected.get_by_role("button", name="Retry").click()
    asked = page.get_by_role("dialog", name="Retry 3 jobs?")
    await asked.get_by_role("button", name="Keep as it is").click()
    await expect(asked).to_be_hidden()
    assert [job["status"] for job in await all_reach(client, failed, "failed")] == ["failed"] * 3

    await selected.get_by_role("button", name="Retry").click()
    await asked.get_by_role("button", name="Retry 3 jobs").click()
    await expect(page.get_by_role("region", name=re.compile("Notifications"))).to_contain_text("3")
    await expect(selected).to_be_hidden()
    await all_reach(client, failed, "completed")
    await chip(page, "Failed").click()
    await expect(rows(page).filter(has_text="Completed")).to_have_count(3)


async def test_new_jobs_are_announced_and_move_nothing_until_asked_for(
    pages: Pages, client: Client
) -> None:
    page = await pages.open("/jobs?function=foreign_words")
    await expect(rows(page).first).to_be_visible()
    before = await rows(page).count()

    await client.submit("foreign_words")
    announced = page.get_by_role("button", name="1 new")
    await expect(announced).to_be_visible()
    await expect(rows(page)).to_have_count(before)
    await announced.click()
    await expect(rows(page)).to_have_count(before + 1)


async def test_a_row_follows_its_job(pages: Pages, client: Client) -> None:
    job_id = await client.submit("send_newsletter", 30)
    await client.reaches(job_id, "running")
    page = await pages.open(f"/jobs?q={job_id}")
    await expect(rows(page)).to_contain_text("Running")
    await expect(rows(page).get_by_role("progressbar")).to_be_visible()

    await client.post(f"/jobs/{job_id}/cancel", {})
    await expect(rows(page)).to_contain_text("Cancelled")


async def test_views_are_saved_renamed_and_deleted(pages: Pages) -> None:
    page = await pages.open("/jobs")
    views = page.get_by_role("button", name=re.compile("^View: "))
    await views.click()
    await page.get_by_role("menuitemcheckbox", name="Failing now").click()
    await expect(page).to_have_url(re.compile("status=failed"))
    await expect(views).to_have_accessible_name("View: Failing now")

    await page.goto("/jobs?status=running&function=send_newsletter")
    await views.click()
    await page.get_by_role("menuitem", name="Save this view").click()
    await page.get_by_role("textbox", name="Name").fill("Letters <b>under way</b>")
    await page.get_by_role("button", name="Save", exact=True).click()
    await expect(views).to_have_accessible_name("View: Letters <b>under way</b>")

    await page.goto("/jobs")
    await views.click()
    await page.get_by_role("menuitemcheckbox", name="Letters").click()
    await expect(page).to_have_url(re.compile("status=running.*function=send_newsletter"))

    await views.click()
    await page.get_by_role("menuitem", name="Rename this view").click()
    await page.get_by_role("textbox", name="Name").fill("Mail")
    await page.get_by_role("button", name="Save", exact=True).click()
    await expect(views).to_have_accessible_name("View: Mail")

    await views.click()
    await page.get_by_role("menuitem", name="Delete this view").click()
    await page.get_by_role("button", name="Delete the view").click()
    await page.reload()
    await views.click()
    await expect(page.get_by_role("menuitemcheckbox", name="Mail")).to_be_hidden()


async def test_columns_are_chosen_and_remembered(pages: Pages) -> None:
    page = await pages.open("/jobs")
    head = page.get_by_role("columnheader", name="Priority")
    await expect(head).to_be_hidden()
    await page.get_by_role("button", name="Columns").click()
    await page.get_by_role("menuitemcheckbox", name="Priority").click()
    await expect(head).to_be_visible()
    await page.reload()
    await expect(head).to_be_visible()


async def test_the_list_is_worked_with_by_keyboard(pages: Pages) -> None:
    page = await pages.open("/jobs?status=completed")
    await expect(rows(page).nth(2)).to_be_visible()
    marked = page.locator("tr[data-marked]")

    await page.keyboard.press("/")
    await expect(search_field(page)).to_be_focused()
    await page.keyboard.type("j")  # text, while in the field
    await expect(search_field(page)).to_have_value("j")
    await search_field(page).fill("")
    await page.keyboard.press("Escape")
    await expect(search_field(page)).not_to_be_focused()

    for key in "jjk":
        await page.keyboard.press(key)
    await expect(marked).to_have_count(1)
    first = await rows(page).first.get_attribute("data-job")
    await expect(marked).to_have_attribute("data-job", first or "")
    await page.keyboard.press("x")
    await expect(page.get_by_role("region", name="Selected jobs")).to_contain_text("1 selected")
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(re.compile(re.escape(f"/jobs/{quote(first or '', safe='')}")))


async def test_the_shortcuts_are_listed_and_lead_elsewhere(pages: Pages) -> None:
    page = await pages.open("/jobs")
    await expect(rows(page).first).to_be_visible()
    await page.keyboard.press("?")
    help_ = page.get_by_role("dialog", name="Keyboard shortcuts")
    for text in ("Next row", "Select the row", "Search", "Go to Queues"):
        await expect(help_.get_by_role("listitem").filter(has_text=text).first).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(help_).to_be_hidden()

    await page.keyboard.press("g")
    await page.keyboard.press("q")
    await expect(page.get_by_role("heading", name="Queues", level=1)).to_be_visible()


async def test_theme_and_time_zone_are_chosen_and_remembered(pages: Pages) -> None:
    page = await pages.open("/jobs", timezone_id="Asia/Tokyo", color_scheme="light")
    time = rows(page).first.get_by_role("time").first
    there = await time.get_attribute("title")
    await page.get_by_role("button", name="Time zone: local. Switch to UTC").click()
    await expect(time).not_to_have_attribute("title", there or "")
    await expect(time).to_have_attribute("title", re.compile("UTC"))

    await page.get_by_role("button", name=re.compile("^Theme")).click()
    await page.get_by_role("menuitemcheckbox", name="Dark").click()
    await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    await page.reload()
    await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    await expect(time).to_have_attribute("title", re.compile("UTC"))
