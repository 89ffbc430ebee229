"""Servers that go away, come back, or are of another version."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from playwright.async_api import Route, expect

from tests.dashboard.conftest import Pages
from tests.dashboard.shop import Shop
from tests.dashboard.site import Client, ConduitServer


@pytest_asyncio.fixture(loop_scope="session")
async def second_server(shop: Shop, tmp_path: Path) -> AsyncIterator[ConduitServer]:
    """Another server of the same queue and history, to be killed at will."""
    server = ConduitServer(tmp_path, shop.server.queue_url, shop.server.database_url)
    await asyncio.to_thread(server.start)
    yield server
    server.kill()


async def test_a_lost_server_is_seen_and_what_it_missed_is_shown_once_it_is_back(
    second_server: ConduitServer, pages: Pages, client: Client
) -> None:
    job_id = await client.submit("send_newsletter", 60)
    await client.reaches(job_id, "running")
    page = await pages.open(f"/jobs/{job_id}", url=second_server.url)
    pages.excuse("ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE_CHUNKED_ENCODING", "ERR_EMPTY_RESPONSE")
    pages.excuse("ERR_CONNECTION_RESET", "ERR_NETWORK", "ERR_CONTENT_LENGTH_MISMATCH")
    status = page.get_by_role("status")
    await expect(status.filter(has_text="Live")).to_be_visible()

    await asyncio.to_thread(second_server.kill)
    await expect(status.filter(has_text="Reconnecting")).to_be_visible()
    await client.post(f"/jobs/{job_id}/cancel", {"reason": "nobody is looking"})
    await client.reaches(job_id, "cancelled")
    await expect(page.get_by_role("heading", level=1)).to_be_visible()  # what was there stays

    await asyncio.to_thread(second_server.start)
    await expect(status.filter(has_text="Live")).to_be_visible()
    await expect(page.get_by_role("main")).to_contain_text("nobody is looking")


async def test_a_server_of_another_version_is_told_of(pages: Pages) -> None:
    page = await pages.open("/queues")

    async def newer(route: Route) -> None:
        answer = await route.fetch()
        await route.fulfill(response=answer, json={**await answer.json(), "version": "99.0.0"})

    await page.route("**/health", newer)
    await page.reload()
    await expect(page.get_by_role("alert").filter(has_text="99.0.0")).to_be_visible()
    await page.unroute("**/health", newer)
    await page.evaluate("() => { window.before = true }")
    await page.get_by_role("button", name="Load anew").click()
    await page.wait_for_function("() => !('before' in window)")
    await expect(page.get_by_role("heading", name="Queues", level=1)).to_be_visible()
    await expect(page.get_by_role("alert")).to_have_count(0)
