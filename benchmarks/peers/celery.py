"""celery with Redis for broker and results."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

from celery import Celery

from benchmarks.peers.peer import CONCURRENCY, URL, Peer, started

app = Celery("bench", broker=URL, backend=URL)


@app.task(name="noop")
def noop() -> int:
    started()
    return 1


class CeleryPeer(Peer):
    packages = ("celery", "kombu", "redis", "hiredis")
    concurrency = f"{CONCURRENCY} threads"
    notes = (
        "a hundred threads take a third of the time of a hundred greenlets; "
        "no gossip, mingle or heartbeat, since there is one worker"
    )
    blocking = True

    async def close(self) -> None:
        app.close()

    async def submit(self) -> Any:
        return noop.delay()

    async def wait(self) -> None:
        noop.delay().get(timeout=10)

    async def drained(self, jobs: Sequence[Any]) -> bool:
        return self.server.all_exist([f"celery-task-meta-{job.id}" for job in jobs])

    def work(self) -> None:
        command = ["-m", "celery", "--app", "benchmarks.peers.celery", "worker"]
        pool = ["--pool", "threads", "--concurrency", str(CONCURRENCY)]
        options = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        quiet = ["--loglevel", "WARNING"]
        os.execv(sys.executable, [sys.executable, *command, *pool, *options, *quiet])


PEER = CeleryPeer
