"""A browser that reports what no page may do: fail, run a job's script, ask another machine."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from playwright.async_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    async_playwright,
)

from tests.dashboard import chromium

WIDE = (1280, 800)
PHONE = (390, 844)
PATIENCE_MS = 30_000
"""How long something on a page is waited for before that counts as a failure."""

_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    # Nothing but this machine has an address.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


@asynccontextmanager
async def launched() -> AsyncIterator[Browser]:
    """A Chromium without a window."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium.find(), args=_ARGUMENTS, chromium_sandbox=False
        )
        try:
            yield browser
        finally:
            await browser.close()


class Watch:
    """Notes what goes wrong on the pages of a context."""

    def __init__(self, context: BrowserContext, origin: str) -> None:
        self._origin = urlsplit(origin).netloc
        self._excused: list[str] = []
        self._seen: list[str] = []
        context.on("console", self._console)
        context.on("weberror", lambda error: self._seen.append(f"exception: {error.error}"))
        context.on("request", self._request)

    def excuse(self, *texts: str) -> None:
        """Expect messages with one of these texts, such as that of a request that is refused."""
        self._excused += texts

    @property
    def faults(self) -> list[str]:
        """What went wrong and wasn't to be expected."""
        return [seen for seen in self._seen if not any(text in seen for text in self._excused)]

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            where = message.location.get("url", "")
            self._seen.append(f"{message.type}: {message.text} ({where})")

    def _request(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "blob") and parts.netloc != self._origin:
            self._seen.append(f"request to elsewhere: {request.url}")


async def hacked(page: Page) -> bool:
    """Whether a script that a job planted has run."""
    return await page.evaluate("() => 'hacked' in window")


async def sideways(page: Page) -> int:
    """By how many pixels the page is wider than its window."""
    return await page.evaluate(
        "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )


def session_cookie(url: str, token: str) -> Any:
    """The cookie that a sign-in leaves in the browser."""
    return {
        "name": "conduit_session",
        "value": token,
        "url": url,
        "httpOnly": True,
        "sameSite": "Strict",
    }


async def settled(page: Page) -> None:
    """Wait until all that the page shows has been loaded, and fonts and pictures, too."""
    await page.wait_for_function(
        """() => document.querySelector("h1") !== null
            && document.querySelector("[aria-busy=true]") === null
            && [...document.images].every((image) => image.complete)"""
    )
    await page.evaluate("() => document.fonts.ready.then(() => undefined)")


async def at_rest(page: Page) -> None:
    """Wait until colours and places are what they come to, as after the theme was changed."""
    await page.evaluate(
        """async () => {
            await new Promise(requestAnimationFrame);
            const moving = document.getAnimations().filter((each) => each instanceof CSSTransition);
            await Promise.allSettled(moving.map((each) => each.finished));
        }"""
    )
