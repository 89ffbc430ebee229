"""How smooth the jobs page is: `python -m benchmarks.dashboard_smoothness [--rows 500]`.

A history of 100,000 jobs, the jobs page with 500 rows of them in Chromium, and a worker whose jobs
are on that page and change ten times a second each. Chromium scrolls down and up as a finger would.
Measured are the gaps between frames, as `requestAnimationFrame` sees them, and tasks of the page
that take 50 ms or more, which are what a page can do something about: a frame that is late without
one was waiting for the machine. A frame is bare if a place in the midst of the window, which has a
row in it for the whole of the way, had none yet. The processor's time of the page's main thread is
that of its own work, however busy the machine is: 16 ms for a frame are what it has.

The page at rest, and scrolled with nothing changing, stand beside it. Needs a built dashboard
(`make dashboard`) and Chromium (`python -m tests.dashboard.chromium`).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import uuid_utils
from playwright.async_api import CDPSession, Page

from benchmarks import measure, redis_server
from benchmarks.server_lag import process
from conduit.core.model import NewJob
from conduit.queue import Queue, open_queue
from tests.dashboard import past
from tests.dashboard.browser import PATIENCE_MS, WIDE, launched, session_cookie, settled
from tests.dashboard.shop import sign_in
from tests.dashboard.site import ConduitServer

REST_S = 5
PIXELS_PER_S = 3000
LATE_MS = 50

_COUNT_CHANGES = """
window.changes = 0;
window.EventSource = class extends EventSource {
    constructor(...given) {
        super(...given);
        this.addEventListener("job", () => { window.changes += 1; });
    }
};
"""
_BEGIN = """
() => {
    const gaps = [], tasks = [], before = window.changes;
    const observer = new PerformanceObserver((list) => {
        for (const task of list.getEntries()) tasks.push(task.duration);
    });
    observer.observe({ type: "longtask" });
    let last, running = true, bare = 0;
    const at = (part) => document.elementFromPoint(innerWidth / 2, innerHeight * part);
    const isBare = (part) => !at(part)?.closest("[data-job]");
    const frame = (now) => {
        if (last !== undefined) gaps.push(now - last);
        last = now;
        if (isBare(0.5) || isBare(0.75)) bare += 1;
        if (running) requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
    window.finish = () => {
        running = false;
        observer.disconnect();
        return { gaps, tasks, bare, changes: window.changes - before };
    };
}
"""


@dataclass(frozen=True)
class Seen:
    """What was measured while something went on."""

    gaps: list[float]
    """Milliseconds from frame to frame."""
    tasks: list[float]
    """Milliseconds of each task of the page that took 50 or more."""
    bare: int
    """How many frames had no row where one belongs."""
    changes: int
    """How many changes of jobs the page was told of."""
    busy_ms: float = 0
    """The processor's time that the page's main thread took."""


def scrolled(pixels: int) -> dict[str, object]:
    """The gesture that goes down by so many pixels, or up where they are negative."""
    return {
        "x": WIDE[0] // 2,
        "y": WIDE[1] // 2,
        "yDistance": -pixels,
        "speed": PIXELS_PER_S,
        "gestureSourceType": "touch",
        "preventFling": True,
    }


async def busy_ms(chromium: CDPSession) -> float:
    """The processor's time that the page's main thread has taken so far."""
    metrics = (await chromium.send("Performance.getMetrics"))["metrics"]
    return 1000 * next(each["value"] for each in metrics if each["name"] == "TaskDuration")


async def watch(page: Page, *, scroll: bool) -> Seen:
    """Measure while the page is scrolled to its end and back, or left alone."""
    chromium = await page.context.new_cdp_session(page)
    await chromium.send("Performance.enable", {"timeDomain": "threadTicks"})
    pixels = await page.evaluate("() => document.documentElement.scrollHeight - innerHeight")
    before = await busy_ms(chromium)
    await page.evaluate(_BEGIN)
    if scroll:
        for distance in (pixels, -pixels):
            await chromium.send("Input.synthesizeScrollGesture", scrolled(distance))
    else:
        await asyncio.sleep(REST_S)
    seen = await page.evaluate("() => window.finish()")
    busy = await busy_ms(chromium) - before
    await chromium.detach()
    return Seen(**seen, busy_ms=busy)


async def submit(queue: Queue, count: int) -> None:
    """Submit jobs that take their time, with arguments as real ones have."""
    names = ("Ada", "Grace", "Edsger", "Barbara")
    jobs = [
        NewJob(
            id=str(uuid_utils.uuid7()),
            function="paced",
            args=f'{{"order":"A-{number}","customer":"{names[number % 4]}"}}'.encode(),
        )
        for number in range(count)
    ]
    await queue.submit(jobs)


def show(what: str, seen: Seen) -> None:
    """One row of the table."""
    p50, p95, p99 = (measure.percentile(seen.gaps, each) for each in (0.5, 0.95, 0.99))
    late = sum(gap > LATE_MS for gap in seen.gaps)
    print(
        f"| {what} | {len(seen.gaps)} | {p50:.0f} | {p95:.0f} | {p99:.0f} | {max(seen.gaps):.0f}"
        f" | {late} ({late / len(seen.gaps):.1%}) | {seen.bare} | {len(seen.tasks)}"
        f" | {max(seen.tasks, default=0):.0f} | {seen.busy_ms / len(seen.gaps):.1f}"
        f" | {seen.changes} | {os.getloadavg()[0]:.1f} |",
        flush=True,
    )


async def measured(folder: Path, jobs: int, rows: int) -> None:
    """Open everything, and measure."""
    database_url = f"sqlite:///{folder / 'history.db'}"
    await past.make_history(database_url, time.time_ns() // 1_000_000, jobs)
    with redis_server.running(folder / "redis") as queue_url:
        server = ConduitServer(folder, queue_url, database_url)
        await asyncio.to_thread(server.start)
        try:
            async with launched() as browser, open_queue(queue_url) as queue:
                context = await browser.new_context(
                    base_url=server.url, viewport={"width": WIDE[0], "height": WIDE[1]}
                )
                context.set_default_timeout(PATIENCE_MS)
                await context.add_init_script(_COUNT_CHANGES)
                await context.add_cookies([session_cookie(server.url, await sign_in(server.url))])
                page = await context.new_page()
                await submit(queue, rows)
                await page.goto(f"/jobs?limit={rows}")
                await settled(page)
                show("at rest", await watch(page, scroll=False))
                show("scrolled", await watch(page, scroll=True))
                service = str(Path(__file__).with_name("paced_service.py"))
                with process(folder, "run", service, "--queue-url", queue_url):
                    await page.wait_for_function("() => window.changes > 100")
                    show("scrolled, jobs running", await watch(page, scroll=True))
                    show("at rest, jobs running", await watch(page, scroll=False))
        finally:
            server.kill()


def main(jobs: int, rows: int) -> None:
    """Print the table."""
    print(f"{jobs:,} jobs, {rows} rows, {measure.machine()}\n")
    print(
        "| the page | frames | p50 ms | p95 ms | p99 ms | max ms | over 50 ms | bare | long tasks"
        " | longest, ms | main thread, ms of processor /frame | changes told | load |"
    )
    print("|---" * 13 + "|")
    with tempfile.TemporaryDirectory() as name:
        asyncio.run(measured(Path(name), jobs, rows))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=100_000, help="how many the history has")
    parser.add_argument("--rows", type=int, default=500, help="how many are on the page")
    given = parser.parse_args()
    main(given.jobs, given.rows)
