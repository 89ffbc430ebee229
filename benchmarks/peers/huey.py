"""huey on Redis: a list and a hash of results, greenlets that each block on the list."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

from huey import RedisHuey

from benchmarks.peers.peer import CONCURRENCY, POLL_S, WIDE_URL, Peer, started

huey = RedisHuey("bench", url=WIDE_URL)


@huey.task()
def noop() -> int:
    started()
    return 1


class HueyPeer(Peer):
    packages = ("huey", "redis", "hiredis", "gevent")
    concurrency = f"{CONCURRENCY} greenlets"
    notes = (
        "a hundred greenlets take a third of the time of a hundred threads; no periodic tasks; "
        f"results polled every {POLL_S * 1000:g} ms (default 100 ms and more)"
    )
    blocking = True

    async def submit(self) -> Any:
        return noop()

    async def wait(self) -> None:
        noop()(blocking=True, backoff=1, max_delay=POLL_S)

    async def drained(self, jobs: Sequence[Any]) -> bool:
        return self.server.command("HLEN", "huey.results.bench") == len(jobs)

    def work(self) -> None:
        command = ["-m", "huey.bin.huey_consumer", "benchmarks.peers.huey.huey"]
        options = ["--worker-type", "greenlet", "--workers", str(CONCURRENCY)]
        quiet = ["--no-periodic", "--quiet"]
        os.execv(sys.executable, [sys.executable, *command, *options, *quiet])


PEER = HueyPeer
