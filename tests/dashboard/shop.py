"""The shop, open: a queue, a server, workers, and jobs of every kind.

    python -m tests.dashboard.shop

keeps it open, to look at the dashboard, until Ctrl-C.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import httpx

from tests.dashboard import past, seed
from tests.dashboard.site import ADMIN_KEY, API, Client, ConduitServer, Workers
from tests.servers.redis import RedisServer


@dataclass(frozen=True)
class Shop:
    """The shop, open and with its stories told."""

    server: ConduitServer
    stories: seed.Stories
    oddities: seed.Oddities | None
    cookie: str
    """The token of an admin's session."""

    @property
    def url(self) -> str:
        """Where the dashboard is."""
        return self.server.url


@asynccontextmanager
async def opened(
    folder: Path, redis_url: str, *, jobs: int, tidy: bool = False
) -> AsyncIterator[Shop]:
    """Open the shop, whose history begins with so many jobs; its files are in `folder`.

    A tidy one has no oddities.
    """
    queue_url = f"{redis_url}?namespace=shop-{uuid4().hex[:12]}"
    database_url = f"sqlite:///{folder / 'history.db'}"
    talkative = await past.make_history(database_url, time.time_ns() // 1_000_000, jobs)
    server = ConduitServer(folder, queue_url, database_url)
    workers = Workers(folder, queue_url, tidy=tidy)
    try:
        await asyncio.gather(asyncio.to_thread(server.start), asyncio.to_thread(workers.start))
        async with Client(server.url) as client:
            stories = await seed.play(server, workers, client, talkative)
            oddities = None if tidy else await seed.play_oddities(client)
        yield Shop(server, stories, oddities, await sign_in(server.url))
    finally:
        workers.kill()
        server.kill()


async def sign_in(url: str, key: str = ADMIN_KEY) -> str:
    """The token of a new session."""
    async with httpx.AsyncClient() as client:
        answer = await client.post(f"{url}{API}/session", json={"key": key})
        return answer.raise_for_status().cookies["conduit_session"]


async def keep_open(jobs: int, *, tidy: bool) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        redis = RedisServer(folder)
        redis.start()
        try:
            async with opened(folder, redis.url, jobs=jobs, tidy=tidy) as shop:
                print(shop.url, f"key: {ADMIN_KEY}", shop.stories, shop.oddities, sep="\n")
                print("Ctrl-C ends it", flush=True)
                await asyncio.Event().wait()
        finally:
            redis.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tidy", action="store_true", help="without what is hard to show")
    parser.add_argument("--jobs", type=int, default=6000, help="how many the history begins with")
    with suppress(KeyboardInterrupt):
        options = parser.parse_args()
        asyncio.run(keep_open(options.jobs, tidy=options.tidy))


if __name__ == "__main__":
    main()
