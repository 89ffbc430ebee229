"""A shop that gives the dashboard something to show: all that jobs can be, much of it wrong.

`conduit run` runs it; seed.py submits to it. `CONDUIT_SHOP_PORT` is where its API listens.
"""

from __future__ import annotations

import asyncio
import io
import os
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from fastapi import HTTPException
from PIL import Image, ImageDraw

import conduit

orders = conduit.Worker("orders", concurrency=30, queues={"default": 1, "payments": 3})
mails = conduit.Worker("mails", concurrency=10, queues=["mail"])
media = conduit.Worker("media", concurrency=4, queues=["media"])
reports = conduit.Worker("reports", concurrency=4, queues=["reports"])
api = conduit.Api("shop", port=int(os.environ.get("CONDUIT_SHOP_PORT", "8000")))

order_placed = orders.event("order.placed")


class Speed(StrEnum):
    STANDARD = "standard"
    EXPRESS = "express"


@dataclass
class Line:
    sku: str
    quantity: int = 1


@dataclass
class Order:
    id: str
    cents: int
    customer: str
    lines: list[Line]


class CardDeclinedError(Exception):
    pass


class RefundError(Exception):
    pass


class FeedError(Exception):
    pass


# --- orders ----------------------------------------------------------------------------------


@orders.task
async def place_order(order: Order, speed: Speed = Speed.STANDARD) -> dict[str, Any]:
    """Take an order from the basket to the post: payment, mail and labels are jobs of their own."""
    ctx = conduit.current_job()
    ctx.log.info("order %s of %s, %d lines", order.id, order.customer, len(order.lines))
    payment = await charge.options(key=f"pay:{order.id}").wait(order.id, order.cents)
    ctx.set_progress(0.5, "paid")
    labels = await conduit.submit_many(make_label, [(line.sku,) for line in order.lines])
    ctx.set_progress(0.8, "packed")
    await conduit.gather(*labels)
    await order_placed.publish(order_id=order.id, cents=order.cents)
    await ctx.set_metadata(customer=order.customer, speed=speed)
    return {"order": order.id, "payment": payment.value, "parcels": len(labels)}


@orders.task(queue="payments", retries=3, retry_delay=0.2, timeout=30)
async def charge(order_id: str, cents: int) -> str:
    """Take the money. Orders whose number ends with 7 are declined the first two times."""
    ctx = conduit.current_job()
    ctx.log.info("charging %.2f EUR for %s", cents / 100, order_id)
    if order_id.endswith("7") and ctx.attempt < 3:
        ctx.log.warning("the bank says no")
        raise CardDeclinedError(f"card declined for {order_id}: insufficient funds")
    return f"pay_{ctx.idempotency_key[-8:]}"


def _connect(host: str) -> None:
    raise ConnectionRefusedError(111, f"connection refused by {host}")


def _open_ledger(order_id: str) -> None:
    try:
        _connect("ledger.internal:5432")
    except ConnectionRefusedError as error:
        raise RefundError(f"the ledger can't be reached for {order_id}") from error


@orders.task(retries=1, retry_delay=0.1)
async def refund(order_id: str, cents: int) -> None:
    """Give the money back. Always fails, with one error caused by another."""
    conduit.current_job().log.info("refunding %d cents", cents)
    try:
        _open_ledger(order_id)
    except RefundError as error:
        error.add_note(f"the order {order_id} stays paid")
        raise


@orders.task
async def import_prices(supplier: str) -> dict[str, Any]:
    """Breaks the first time, and goes on from its checkpoint when it is retried by hand."""
    ctx = conduit.current_job()
    if ctx.checkpoint is None:
        await ctx.save_checkpoint({"supplier": supplier, "rows": 1200})
        ctx.log.error("row 1201 of %s has no price", supplier)
        raise FeedError(f"{supplier}: the feed broke off at row 1201")
    return {"supplier": supplier, "rows": 1200, "resumed": True}


@orders.task(timeout=0.3)
async def look_up_address(postcode: str) -> str:
    """Takes longer than it may."""
    await asyncio.sleep(60)
    return postcode


@order_placed.on(retries=2)
async def send_receipt(order_id: str, cents: int) -> None:
    """Handles the event `order.placed`."""
    conduit.current_job().log.info("receipt for %s: %d cents", order_id, cents)


@orders.event("order.*").on
async def count_sale(order_id: str, cents: int) -> int:
    """Handles every event of an order."""
    return cents


# --- mail, pictures, reports -----------------------------------------------------------------


@mails.task
async def send_mail(to: str, subject: str = "Your order", urgent: bool = False) -> str:
    """Send one mail."""
    conduit.current_job().log.info("%s: %s", to, subject)
    return "250 OK"


@mails.task
async def send_newsletter(readers: int = 120, seconds: float = 3600.0) -> int:
    """Slow, with progress and a line of log for each step."""
    ctx = conduit.current_job()
    for step in range(readers):
        ctx.set_progress(step / readers, f"{step} of {readers} readers")
        ctx.log.info("sent to reader %d", step + 1)
        await ctx.sleep(seconds / readers)
    return readers


@media.task
def make_thumbnail(name: str, size: int = 240) -> dict[str, int]:
    """Draw a picture and keep it, smaller, as an artifact."""
    ctx = conduit.current_job()
    picture = Image.new("RGB", (size, size * 2 // 3), "#0f172a")
    draw = ImageDraw.Draw(picture)
    for ring in range(8, 0, -1):
        radius = size * ring // 20
        colour = (40 + 24 * ring, 90 + 12 * ring, 250 - 20 * ring)
        box = (size // 2 - radius, size // 3 - radius, size // 2 + radius, size // 3 + radius)
        draw.ellipse(box, fill=colour)
    data = io.BytesIO()
    picture.save(data, "PNG", optimize=True)
    ctx.artifact_sync(f"{name}.png", data.getvalue(), "image/png")
    ctx.log.info("%s is %d bytes", name, data.tell())
    return {"width": picture.width, "height": picture.height}


@media.task
def make_label(sku: str) -> str:
    """A label for a parcel, as text."""
    conduit.current_job().artifact_sync("label.txt", f"SKU {sku}\nto the customer\n", "text/plain")
    return sku


async def _count_rows(month: str) -> int:
    return 31 * 24


async def _sum_up(month: str) -> float:
    return 128_412.5


@reports.task(retries=2, retry_delay=0.1)
async def monthly_report(month: str) -> dict[str, Any]:
    """Steps that are remembered, a checkpoint, files, and one attempt that fails."""
    ctx = conduit.current_job()
    rows = await ctx.step("count rows", _count_rows, month)
    ctx.set_progress(0.4, "rows counted")
    total = await ctx.step("sum up", _sum_up, month)
    await ctx.save_checkpoint({"month": month, "rows": rows})
    if ctx.attempt == 1:
        ctx.log.warning("the printer is busy")
        raise TimeoutError("the printer didn't answer within 5 s")
    table = "day,orders,euros\n" + "".join(
        f"{month}-{day:02d},{40 + day * 7 % 13},{1900 + day * 31 % 700}\n" for day in range(1, 29)
    )
    await ctx.artifact("orders.csv", table, "text/csv")
    await ctx.artifact("summary.md", f"# {month}\n\n{rows} rows, {total:.2f} EUR\n")
    await ctx.set_metadata(month=month, pages=12)
    return {"month": month, "rows": rows, "euros": total}


@reports.task
async def collect_sales(town: str) -> int:
    """The first step at the end of a month."""
    conduit.current_job().log.info("the tills of %s are counted", town)
    return 41_170


@reports.task
async def reconcile(month: str, seconds: float = 3600.0) -> str:
    """Comes after the sales of all towns, and takes its time."""
    conduit.current_job().set_progress(0.3, "comparing with the bank")
    await conduit.current_job().sleep(seconds)
    return month


@reports.task
async def publish_figures(month: str) -> str:
    """Comes after the books were compared."""
    return month


@reports.task
async def close_books(year: int) -> None:
    """There is no such year."""
    raise conduit.Fail(f"the books of {year} aren't open")


@reports.cron("0 9 * * MON-FRI", timezone="Europe/Zurich")
async def daily_report() -> str:
    """On working days at nine."""
    return "all is well"


@reports.cron("@every 15s")
async def take_stock() -> int:
    """Count what is on the shelves."""
    conduit.current_job().log.info("4,211 articles on the shelves")
    return 4211


@reports.cron("30 3 * * *")
async def clean_up(days: int = 30) -> int:
    """Throw away baskets that nobody came back for."""
    return days


# --- the API ---------------------------------------------------------------------------------


@api.post("/orders", status_code=202)
async def create(order: Order) -> dict[str, str]:
    future = await place_order.options(key=f"order:{order.id}").submit(order)
    return {"job_id": future.job_id}


@api.get("/orders/{order_id}")
async def look(order_id: str) -> dict[str, str]:
    if order_id == "broken":
        raise HTTPException(500, "this order can't be read")
    return {"order": order_id}


@api.get("/stock/{sku}")
async def stock(sku: str) -> dict[str, int]:
    return {sku: 12}
