"""What it costs a request that its API counts it: the same requests with tracking and without.

    python benchmarks/api_overhead.py

Both are called as ASGI applications in turn, so that nothing of a network is in the numbers.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from conduit import Api

ROUNDS = 20
REQUESTS = 500

SCOPE: dict[str, Any] = {
    "type": "http",
    "method": "GET",
    "path": "/orders/7",
    "raw_path": b"/orders/7",
    "query_string": b"",
    "headers": [],
    "http_version": "1.1",
    "scheme": "http",
    "server": ("127.0.0.1", 80),
    "client": None,
    "root_path": "",
}


async def receive() -> dict[str, Any]:
    """An empty body."""
    return {"type": "http.request", "body": b""}


async def send(_message: Any) -> None:
    """Nobody hears the answer."""


async def measure(app: Any) -> list[float]:
    """How long each of some requests takes, in microseconds."""
    spent: list[float] = []
    for _ in range(REQUESTS):
        began = time.perf_counter()
        await app(dict(SCOPE), receive, send)
        spent.append((time.perf_counter() - began) * 1e6)
        await asyncio.sleep(0)  # reports go out in between, as they do beside real requests
    return spent


async def main() -> None:
    """Measure both in turn, so that they share whatever else the machine does."""
    api = Api("bench")

    @api.get("/orders/{order_id}")
    async def order(order_id: int) -> int:
        return order_id

    await measure(api)  # what is made at the first use isn't of interest
    plain: list[float] = []
    tracked: list[float] = []
    for _ in range(ROUNDS):
        plain += await measure(api.app)
        tracked += await measure(api)
    for name, spent in (("without tracking", plain), ("with tracking", tracked)):
        print(
            f"{name:>16}: median {median(spent):6.1f} µs, p99 {quantiles(spent, n=100)[98]:6.1f} µs"
        )
    print(f"{'tracking':>16}: {median(tracked) - median(plain):+.1f} µs per request at the median")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        os.environ["CONDUIT_QUEUE_URL"] = f"sqlite:///{Path(folder).as_posix()}/queue.db"
        asyncio.run(main())
