"""rq: a list, one job at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redis import Redis
from rq import Queue, SimpleWorker

from benchmarks.peers.peer import URL, Peer, started


def noop() -> int:
    started()
    return 1


class Rq(Peer):
    packages = ("rq", "redis", "hiredis")
    concurrency = "1 job"
    notes = "SimpleWorker, since the default worker forks for every job; blocks for results"
    blocking = True
    batches = True

    async def open(self) -> None:
        self._redis = Redis.from_url(URL)
        self._queue = Queue(connection=self._redis)

    async def close(self) -> None:
        self._redis.close()

    async def submit(self) -> Any:
        return self._queue.enqueue(noop)

    async def submit_many(self, count: int) -> Sequence[Any]:
        return self._queue.enqueue_many([Queue.prepare_data(noop) for _ in range(count)])

    async def wait(self) -> None:
        self._queue.enqueue(noop).latest_result(timeout=10)

    async def drained(self, jobs: Sequence[Any]) -> bool:
        return self.server.all_exist([f"rq:results:{job.id}" for job in jobs])

    def work(self) -> None:
        connection = Redis.from_url(URL)
        SimpleWorker([Queue(connection=connection)], connection=connection).work(
            logging_level="WARNING"
        )


PEER = Rq
