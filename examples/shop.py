"""An HTTP API, a task, an event and a schedule in one service.

    conduit run examples/shop.py
    curl -X POST localhost:8000/orders -H 'content-type: application/json' \\
         -d '{"id": "A-1", "cents": 1250}'

Needs the extra `api`: FastAPI and uvicorn.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass

import conduit

worker = conduit.Worker("orders", concurrency=20)
api = conduit.Api("shop", port=int(os.environ.get("PORT", "8000")))

order_placed = worker.event("order.placed")


@dataclass
class Order:
    id: str
    cents: int


@dataclass
class Receipt:
    order: str
    cents: int
    reference: str


@worker.task(retries=3, retry_delay=0.5, timeout=30)
async def charge(order: Order) -> Receipt:
    """Take the money. Repeats carry the same key, so a payment service can drop them."""
    job = conduit.current_job()
    await asyncio.sleep(0.1)  # the payment service
    return Receipt(order.id, order.cents, job.idempotency_key[-8:])


@order_placed.on(retries=5)
async def send_mail(order: Order) -> None:
    conduit.current_job().log.info("mail about order %s", order.id)


@worker.event("order.*").on
async def count(order: Order) -> int:
    return order.cents


@worker.cron("0 9 * * MON-FRI", timezone="Europe/Zurich")
async def daily_report() -> None:
    conduit.current_job().log.info("the report of the day")


@api.post("/orders", status_code=202)
async def create(order: Order) -> dict[str, str]:
    # The key makes a doubled request harmless: the second gets the first one's job.
    future = await charge.options(key=f"order:{order.id}").submit(order)
    await order_placed.publish(order=order)
    return {"job_id": future.job_id}


@api.get("/orders/{job_id}")
async def look(job_id: str) -> dict[str, str]:
    return {"status": await conduit.Future.of(job_id).status()}
