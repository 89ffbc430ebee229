"""Pictures of every page: `python -m tests.dashboard.screenshots`, or `make screenshots`.

Opens the shop with a week behind it, visits each page in both themes, the most important ones also
as a phone shows them, and writes them to docs/images/.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import math
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
JOBS = 60_000
_COLOURS = 256


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
        View("job-blocked", f"/jobs/{stories.workflow}", on_phone=True),
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
    """A PNG of a third of the size: its most frequent colours as they are, all others near them."""
    picture = Image.open(io.BytesIO(data)).convert("RGB")
    counts = picture.getcolors(picture.width * picture.height) or []
    colours: list[Any] = [colour for _, colour in sorted(counts, reverse=True)]
    kept = colours[:_COLOURS]
    place = {colour: index for index, colour in enumerate(kept)}
    for colour in colours[_COLOURS:]:
        place[colour] = min(range(len(kept)), key=lambda index: math.dist(colour, kept[index]))
    raw = picture.tobytes()
    pixels = zip(raw[0::3], raw[1::3], raw[2::3], strict=True)
    indexed = Image.frombytes("P", picture.size, bytes(place[pixel] for pixel in pixels))
    indexed.putpalette([part for colour in kept for part in colour])
    out = io.BytesIO()
    indexed.save(out, "PNG", optimize=True)
    return out.getvalue()


async def take_all(folder: Path, only: list[str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        redis = RedisServer(Path(name))
        redis.start()
        try:
            async with (
                opened(Path(name), redis.url, jobs=JOBS, tidy=True) as shop,
                launched() as browser,
            ):
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
