"""Pictures of every page: `python -m tests.dashboard.screenshots`, or `make screenshots`.

Opens the shop with a week behind it, visits each page in both themes, the most important ones also
as a phone shows them, and writes them to docs/images/.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import tempfile
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from playwright.async_api import Browser, Page

from tests.dashboard.browser import (
    PATIENCE_MS,
    PHONE,
    WIDE,
    at_rest,
    launched,
    session_cookie,
    settled,
)
from tests.dashboard.shop import Shop, opened
from tests.servers.redis import RedisServer

IMAGES = Path(__file__).parents[2] / "docs" / "images"
THEMES = ("light", "dark")
JOBS = 20_000
_COLOURS = 128
"""In each picture's palette: a third of the size, and nobody sees the difference."""


@dataclass(frozen=True)
class View:
    """One page to take a picture of."""

    name: str
    path: str
    on_phone: bool = False
    signed_in: bool = True


def views(shop: Shop) -> list[View]:
    stories = shop.stories
    return [
        View("overview", "/", on_phone=True),
        View("jobs", "/jobs", on_phone=True),
        View("job", f"/jobs/{stories.order}", on_phone=True),
        View("job-failed", f"/jobs/{stories.refund}", on_phone=True),
        View("job-running", f"/jobs/{stories.newsletter}"),
        View("job-report", f"/jobs/{stories.report}"),
        View("functions", "/functions", on_phone=True),
        View("function", "/functions/charge"),
        View("queues", "/queues"),
        View("schedules", "/schedules"),
        View("workers", "/workers"),
        View("apis", "/apis"),
        View("events", "/events"),
        View("dead-letters", "/dead-letters"),
        View("sign-in", "/sign-in", signed_in=False),
    ]


async def take(browser: Browser, shop: Shop, view: View, theme: str, *, phone: bool) -> bytes:
    """A picture of a page, as PNG."""
    width, height = PHONE if phone else WIDE
    context = await browser.new_context(
        base_url=shop.url,
        viewport={"width": width, "height": height},
        color_scheme=theme,
        reduced_motion="reduce",
        timezone_id="Europe/Zurich",
        locale="en-GB",
    )
    context.set_default_timeout(PATIENCE_MS)
    if view.signed_in:
        await context.add_cookies([session_cookie(shop.url, shop.cookie)])
    page: Page = await context.new_page()
    await page.goto(view.path)
    await settled(page)
    await at_rest(page)
    data = await page.screenshot(animations="disabled", caret="hide")
    await context.close()
    return data


def small(data: bytes) -> bytes:
    """A PNG with a palette, as small as it gets."""
    picture = Image.open(io.BytesIO(data)).convert("RGB")
    picture = picture.quantize(_COLOURS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    out = io.BytesIO()
    picture.save(out, "PNG", optimize=True)
    return out.getvalue()


async def take_all(folder: Path, only: list[str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        redis = RedisServer(Path(name))
        redis.start()
        try:
            async with opened(Path(name), redis.url, jobs=JOBS) as shop, launched() as browser:
                for view in views(shop):
                    if not only or view.name in only:
                        await _take_each(browser, shop, view, folder)
        finally:
            redis.stop()


async def _take_each(browser: Browser, shop: Shop, view: View, folder: Path) -> None:
    for theme in THEMES:
        for phone in (False, True) if view.on_phone else (False,):
            data = small(await take(browser, shop, view, theme, phone=phone))
            path = folder / f"{view.name}{'-phone' if phone else ''}-{theme}.png"
            path.write_bytes(data)
            print(f"{path.name} {len(data) // 1024} KiB", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=IMAGES)
    parser.add_argument("only", nargs="*", help="names of pages; all, if none is given")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    asyncio.run(take_all(options.folder, options.only))


if __name__ == "__main__":
    main()
