"""Signing in, being sent away, and coming back to where one was."""

from __future__ import annotations

import hashlib
import re

from playwright.async_api import expect
from sqlalchemy import update

from conduit.server.db import tables
from conduit.server.db.database import Database
from tests.dashboard.conftest import Pages
from tests.dashboard.shop import Shop, sign_in
from tests.dashboard.site import ADMIN_KEY, READER_KEY, Client


async def test_a_stranger_signs_in_and_lands_where_they_wanted_to_go(pages: Pages) -> None:
    page = await pages.open("/jobs?status=failed", signed_in=False)
    pages.excuse("401")
    await expect(page).to_have_url(re.compile("/sign-in"))

    key = page.get_by_label("API key")
    await key.fill("a-key-that-nobody-ever-made")
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_text("The server doesn't know this key")).to_be_visible()
    await expect(key).to_have_attribute("type", "password")

    await key.fill(ADMIN_KEY)
    await key.press("Enter")
    await expect(page).to_have_url(re.compile(r"/jobs\?status=.*failed"))
    await expect(page.get_by_role("heading", name="Jobs", level=1)).to_be_visible()

    (cookie,) = await page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    assert await page.evaluate("() => document.cookie") == ""
    stored = await page.evaluate("() => JSON.stringify([localStorage, sessionStorage])")
    assert ADMIN_KEY not in stored
    assert cookie["value"] not in stored


async def test_whoever_signs_out_is_out(pages: Pages) -> None:
    page = await pages.open("/sign-in", signed_in=False)
    pages.excuse("401")
    await page.get_by_label("API key").fill(READER_KEY)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("heading", name="Overview", level=1)).to_be_visible()

    await page.get_by_role("button", name=re.compile("Sign out rita")).click()
    await expect(page.get_by_label("API key")).to_be_visible()
    assert await page.context.cookies() == []
    await page.goto("/jobs")
    await expect(page.get_by_label("API key")).to_be_visible()


async def test_an_expired_session_leads_to_the_sign_in_and_back(pages: Pages) -> None:
    page = await pages.open("/workers")
    pages.excuse("401")
    await expect(page.get_by_role("heading", name="Workers", level=1)).to_be_visible()
    await page.context.clear_cookies()  # what a browser does when they are over

    await page.keyboard.press("g")  # unless the page has found out by itself
    await page.keyboard.press("q")
    await expect(page).to_have_url(re.compile(r"/sign-in\?next=.*(queues|workers)"))
    await page.get_by_label("API key").fill(ADMIN_KEY)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page).to_have_url(re.compile(r"/(queues|workers)$"))
    await expect(
        page.get_by_role("heading", name=re.compile("Queues|Workers"), level=1)
    ).to_be_visible()


async def test_who_was_looking_when_the_session_ended_comes_back_to_the_same_page(
    pages: Pages, shop: Shop, client: Client
) -> None:
    cookie = await sign_in(shop.url)
    page = await pages.open("/jobs?status=failed&limit=100", cookie=cookie)
    pages.excuse("401")
    await expect(page.get_by_role("heading", name="Jobs", level=1)).to_be_visible()
    looked_at = page.url
    token = tables.sessions.c.token_hash == hashlib.sha256(cookie.encode()).digest()
    async with Database(shop.server.database_url) as history, history.begin() as connection:
        ended = await connection.execute(update(tables.sessions).where(token).values(expires_at=1))
    assert ended.rowcount == 1

    await client.submit("close_books", 1066)  # of which the page wants to know more
    await expect(page.get_by_label("API key")).to_be_visible()
    await page.get_by_label("API key").fill(ADMIN_KEY)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("heading", name="Jobs", level=1)).to_be_visible()
    assert page.url == looked_at


async def test_nobody_is_led_to_another_site_by_signing_in(pages: Pages) -> None:
    page = await pages.open("/sign-in?next=//example.org/", signed_in=False)
    pages.excuse("401")
    await page.get_by_label("API key").fill(ADMIN_KEY)
    await page.get_by_role("button", name="Sign in").click()

    await expect(page.get_by_role("heading", name="Overview", level=1)).to_be_visible()
