"""dramatiq on Redis with results: threads, one script per step of a message."""

from __future__ import annotations

import logging
import signal
from collections.abc import Sequence
from typing import Any

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

from benchmarks.peers.peer import CONCURRENCY, WIDE_URL, Peer, started

broker = RedisBroker(url=WIDE_URL)
results = RedisBackend(url=WIDE_URL)
broker.add_middleware(Results(backend=results, store_results=True))
dramatiq.set_broker(broker)


@dramatiq.actor
def noop() -> int:
    started()
    return 1


class Dramatiq(Peer):
    packages = ("dramatiq", "redis", "hiredis")
    concurrency = f"{CONCURRENCY} threads"
    notes = "with its default of 8 threads it drains about as fast"
    blocking = True

    async def submit(self) -> Any:
        return noop.send()

    async def wait(self) -> None:
        noop.send().get_result(block=True)

    async def drained(self, jobs: Sequence[Any]) -> bool:
        return self.server.all_exist([results.build_message_key(job) for job in jobs])

    def work(self) -> None:
        logging.disable(logging.WARNING)
        worker = dramatiq.Worker(broker, worker_threads=CONCURRENCY)
        worker.start()
        signal.pause()


PEER = Dramatiq
