"""What happens in the shop before anybody looks: jobs of every kind, submitted over HTTP."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

import httpx
from redis import Redis

from conduit.queue.redis.keys import Keys
from tests.dashboard.bad_service import HOSTILE, HOSTILE_NAME
from tests.dashboard.site import Client, ConduitServer, Workers, all_reach, until

MEBIBYTE = 1024 * 1024
DEPTH = 60
LARGEST = MEBIBYTE - 2  # and its quotes
CUSTOMERS = ("Ada", "Grace", "Edsger", "Barbara")


@dataclass(frozen=True)
class Stories:
    """The ids of jobs worth a look."""

    order: str
    """Completed; with children, grandchildren and an event."""
    declined: str
    """Completed at its third attempt."""
    refund: str
    """Failed twice, with a chained traceback."""
    report: str
    """Completed at its second attempt; steps, checkpoint, metadata, a table and a text."""
    thumbnail: str
    """Completed; an image."""
    newsletter: str
    """Running for an hour, with progress and log lines."""
    timed_out: str
    cancelled: str
    scheduled: str
    """For tomorrow, with a key and metadata."""
    workflow: str
    """Blocked: it waits for one that runs for an hour, and that one came after three."""
    talkative: str
    """Completed long ago, with 50,000 log lines."""


@dataclass(frozen=True)
class Oddities:
    """The ids of jobs that are hard to show."""

    hostile: str
    """Failed; HTML wherever text may stand."""
    large: str
    """Completed, with a result of 1 MiB."""
    deep: str
    foreign: str


async def play(server: ConduitServer, workers: Workers, client: Client, talkative: str) -> Stories:
    """Submit everything, and wait until each job is where it should be."""
    submit = client.submit
    orders = [
        await submit("place_order", kwargs={"order": _order(number)})
        for number in (1001, 1002, 1007)
    ]
    refunds = [await submit("refund", f"S-{number}", 4990) for number in (1003, 1004)]
    report = await submit("monthly_report", "2026-10")
    thumbnails = [await submit("make_thumbnail", name) for name in ("teapot", "lamp", "chair")]
    newsletter = await submit("send_newsletter", 600, metadata={"campaign": "advent"})
    cancelled = await submit("send_newsletter", 10)
    timed_out = await submit("look_up_address", "8001")
    closed = await submit("close_books", 1066)
    prices = await submit("import_prices", "Acme & Söhne")
    scheduled = await submit(
        "send_mail", "ada@example.org", delay=86_400, key="reminder:ada", metadata={"tag": "later"}
    )
    workflow = await _month_end(client)
    for number in range(12):
        await submit("send_mail", f"{CUSTOMERS[number % 4].lower()}@example.org")
    await client.post("/events/order.placed", {"arguments": {"order_id": "S-2000", "cents": 1990}})
    _plant_undecodable_event(server.queue_url)
    await _ask(workers.url)
    await client.reaches(cancelled, "running")
    await client.post(f"/jobs/{cancelled}/cancel", {"reason": "sent to the wrong readers"})
    await all_reach(client, [*orders, *thumbnails, report], "completed")
    await all_reach(client, [*refunds, timed_out, closed, prices], "failed")
    await all_reach(client, [cancelled], "cancelled")
    await client.reaches(newsletter, "running")
    (declined,) = (await client.get("/jobs", function="charge", q="S-1007"))["items"]
    await until(lambda: client.get("/dead-letters"), lambda page: page["items"])
    await until(lambda: client.get("/apis"), lambda page: page["items"])
    return Stories(
        order=orders[0],
        declined=declined["id"],
        refund=refunds[0],
        report=report,
        thumbnail=thumbnails[0],
        newsletter=newsletter,
        timed_out=timed_out,
        cancelled=cancelled,
        scheduled=scheduled,
        workflow=workflow,
        talkative=talkative,
    )


async def _month_end(client: Client) -> str:
    """Submit jobs that wait for others; the id of one that is blocked."""
    submit = client.submit
    towns = [await submit("collect_sales", town) for town in ("Basel", "Bern", "Zürich")]
    books = await submit("reconcile", "2026-10", after=towns)
    figures = await submit("publish_figures", "2026-10", after=[books])
    mails = [
        await submit("send_mail", f"{each.lower()}@example.org", after=[figures])
        for each in CUSTOMERS * 2
    ]
    await submit("clean_up", after=[books, *mails])
    closing = await submit("close_books", 1291, after=[towns[0]])
    dropped = await submit("send_mail", "tax@example.org", after=[closing])
    await all_reach(client, towns, "completed")
    await client.reaches(books, "running")
    await client.reaches(dropped, "cancelled")
    return figures


async def play_oddities(client: Client) -> Oddities:
    """Submit what is hard to show, and wait for it."""
    submit = client.submit
    odd = Oddities(
        hostile=await submit(HOSTILE_NAME, metadata={"note": HOSTILE}),
        large=await submit("large_result", LARGEST),
        deep=await submit("deep_result", DEPTH),
        foreign=await submit("foreign_words"),
    )
    await client.reaches(odd.hostile, "failed")
    await all_reach(client, [odd.large, odd.deep, odd.foreign], "completed")
    return odd


def _order(number: int) -> dict[str, object]:
    lines = [{"sku": f"sku-{number}-{line}", "quantity": line} for line in (1, 2)]
    customer = CUSTOMERS[number % len(CUSTOMERS)]
    return {"id": f"S-{number}", "cents": 1990 + number, "customer": customer, "lines": lines}


def _plant_undecodable_event(queue_url: str) -> None:
    (namespace,) = parse_qs(urlsplit(queue_url).query)["namespace"]
    with Redis.from_url(queue_url.partition("?")[0]) as redis:
        piece = b"<b>no event</b>"
        entry = {"a": time.time_ns() // 1_000_000, "b": bytes([0x91, 0xA0 + len(piece)]) + piece}
        redis.xadd(Keys(namespace).name("events"), entry)  # one piece, as MessagePack


async def _ask(url: str) -> None:
    """Ask the shop's API for this and that."""
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:
        await client.post("/orders", json=_order(1010))
        paths = ["/orders/A-1", "/orders/broken", "/stock/teapot", "/stock/lamp"]
        await asyncio.gather(*(client.get(path) for path in paths * 5))
