"""A function is run from the form of its signature; functions, queues and schedules are paused."""

from __future__ import annotations

import pytest
from playwright.async_api import Page, expect

from tests.dashboard.browser import PHONE, WIDE
from tests.dashboard.conftest import Pages
from tests.dashboard.shop import Shop, sign_in
from tests.dashboard.site import READER_KEY, Client


async def open_form(pages: Pages, function: str) -> Page:
    page = await pages.open(f"/functions/{function}")
    await page.get_by_role("button", name="Run now").click()
    await expect(page.get_by_role("dialog", name=f"Run {function}")).to_be_visible()
    return page


async def test_a_function_is_run_and_its_job_followed_to_the_end(
    pages: Pages, client: Client
) -> None:
    page = await open_form(pages, "send_mail")

    await page.get_by_label("to", exact=True).fill("form@example.org")
    await page.get_by_label("urgent").select_option("true")
    await page.get_by_role("button", name="Options").click()
    await page.get_by_label("Priority").fill("5")
    await page.get_by_role("button", name="Run", exact=True).click()

    told = page.get_by_role("dialog").get_by_role("status")
    await expect(told.get_by_text("Completed")).to_be_visible()
    await expect(told).to_contain_text("250 OK")
    link = await told.get_by_role("link").get_attribute("href")
    assert link is not None
    job = await client.get(link)
    assert job["args"] == {"to": "form@example.org", "urgent": True}
    assert job["priority"] == 5


async def test_what_is_wrong_is_said_at_its_field(pages: Pages) -> None:
    page = await open_form(pages, "place_order")
    pages.excuse("422")
    order = page.get_by_label("order", exact=True)
    run = page.get_by_role("button", name="Run", exact=True)

    await order.fill('{"id": }')
    await run.click()
    await expect(page.get_by_text("Isn't JSON")).to_be_visible()

    await order.fill('{"id": "S-1"}')
    await run.click()
    await expect(page.get_by_text("'cents' is a required property")).to_be_visible()
    await expect(order).to_have_attribute("aria-invalid", "true")


@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
async def test_a_long_name_leaves_room_for_what_can_be_done(
    pages: Pages, client: Client, size: tuple[int, int]
) -> None:
    name = "figures-of-the-quarter-for-all-the-branches-of-the-north"
    await client.post(f"/queues/{name}/pause")
    page = await pages.open("/queues", size=size)
    resume = page.get_by_role("button", name=f"Resume {name}")
    await expect(page.get_by_role("link", name=name)).to_be_in_viewport(ratio=0.9)
    await expect(resume).to_be_in_viewport(ratio=1)
    await resume.click()
    await expect(resume).to_have_count(0)


async def test_a_queue_is_paused_once_that_was_confirmed_and_resumed(
    pages: Pages, client: Client
) -> None:
    page = await pages.open("/queues")
    row = page.get_by_role("row").filter(has_text="reports")

    await row.get_by_role("button", name="Pause").click()
    await page.get_by_role("button", name="Pause the queue").click()
    await expect(row.get_by_text("Paused")).to_be_visible()
    try:
        (queue,) = (q for q in (await client.get("/queues"))["items"] if q["name"] == "reports")
        assert queue["paused"]
    finally:
        await client.post("/queues/reports/resume")
    # Somebody else has resumed it: the page follows.
    await expect(row.get_by_role("button", name="Pause")).to_be_visible()
    await expect(row.get_by_text("Paused")).to_have_count(0)


async def test_a_function_is_paused_once_that_was_confirmed_and_resumed(
    pages: Pages, client: Client
) -> None:
    page = await pages.open("/functions/make_label")
    main = page.get_by_role("main")

    await main.get_by_role("button", name="Pause make_label").click()
    asked = page.get_by_role("dialog", name="Pause the function make_label?")
    await asked.get_by_role("button", name="Keep as it is").click()
    await expect(asked).to_be_hidden()
    await expect(main.get_by_text("Paused")).to_have_count(0)

    await page.keyboard.press("p")
    await asked.get_by_role("button", name="Pause the function").click()
    await expect(main.get_by_text("Paused")).to_be_visible()
    try:
        waiting = await client.submit("make_label", "sku-1")
        after = await client.submit("make_thumbnail", "desk")  # of the same queue
        await client.reaches(after, "completed")
        assert (await client.reaches(waiting, "queued", "completed"))["status"] == "queued"
        await main.get_by_role("button", name="Resume make_label").click()
        await expect(main.get_by_role("button", name="Pause make_label")).to_be_visible()
        await client.reaches(waiting, "completed")
    finally:
        await client.post("/functions/make_label/resume")


async def test_a_schedule_is_paused_once_that_was_confirmed_and_resumed(
    pages: Pages, client: Client
) -> None:
    page = await pages.open("/schedules")
    row = page.get_by_role("row").filter(has_text="clean_up")

    await row.get_by_role("button", name="Pause").click()
    asked = page.get_by_role("dialog", name="Pause the schedule")
    await asked.get_by_text("Its ticks pass").click()  # which isn't a click on the row
    await asked.get_by_role("button", name="Pause the schedule").click()
    await expect(row.get_by_text("Paused")).to_be_visible()
    try:
        await row.get_by_role("button", name="Resume").click()
        await expect(row.get_by_text("Paused")).to_have_count(0)
    finally:
        crons = (await client.get("/crons"))["items"]
        (name,) = (cron["name"] for cron in crons if cron["function"] == "clean_up")
        await client.post(f"/crons/{name}/resume")


async def test_a_schedule_is_triggered(pages: Pages) -> None:
    page = await pages.open("/schedules")
    row = page.get_by_role("row").filter(has_text="daily_report")

    await expect(row).to_contain_text("At 09:00, Monday to Friday")
    await row.get_by_role("button", name="Trigger").click()
    await expect(row.get_by_text("Completed")).to_be_visible()
    await expect(row).to_contain_text("by hand")


async def test_an_event_is_published_to_all_that_handle_it(pages: Pages) -> None:
    page = await pages.open("/events")

    await page.get_by_role("button", name="Fill in order.placed").click()
    await expect(page.get_by_label("Arguments, as JSON")).to_have_value(
        '{\n  "order_id": "",\n  "cents": 0\n}'
    )
    await page.get_by_role("button", name="Publish").click()
    for handler in ("count_sale", "send_receipt"):
        job = page.get_by_role("status").get_by_role("link").filter(has_text=handler)
        await expect(job).to_contain_text("Completed")


async def test_a_reader_is_told_why_they_may_not_act(pages: Pages, shop: Shop) -> None:
    cookie = await sign_in(shop.url, READER_KEY)
    page = await pages.open("/functions/send_mail", cookie=cookie)
    run = page.get_by_role("button", name="Run now")

    await expect(run).to_be_disabled()
    await run.hover()
    await expect(page.get_by_role("tooltip")).to_contain_text("a key with the role operate")
    await run.click(force=True)
    await expect(page.get_by_role("dialog")).to_have_count(0)
