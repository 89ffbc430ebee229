"""The raw limit: redis-py on a bare stream, with nothing that makes a queue of it.

A submit appends an entry of about a job's size. The drain reads a hundred, then acknowledges and
deletes them and writes an answer for each in one pipeline. No lease, no state, no event.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import redis

from benchmarks.measure import Stopwatch, arguments, report
from benchmarks.peers.peer import URL

BATCH = 100
STREAM, GROUP = "jobs", "workers"
JOB = {"job": b"x" * 150}
ANSWER_TTL_S = 3600


def main() -> None:
    """Measure single and pipelined writes, and the drain."""
    _, parameters = arguments()
    jobs, single = parameters["jobs"], parameters["single"]
    client: Any = redis.Redis.from_url(URL)
    with Stopwatch() as one_by_one:
        for _ in range(single):
            client.xadd(STREAM, JOB)
    client.flushall()
    client.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
    before = client.info()
    with Stopwatch() as batched:
        for _ in range(0, jobs, BATCH):
            with client.pipeline(transaction=False) as pipe:
                for _ in range(BATCH):
                    pipe.xadd(STREAM, JOB)
                pipe.execute()
    loaded = client.info()
    began_cpu = time.process_time()
    with Stopwatch() as drain:
        while _drain_one_batch(client):
            pass
    used_cpu = time.process_time() - began_cpu
    after = client.info()
    difference = _difference(loaded, after)
    report(
        single=single / one_by_one.seconds,
        batched=jobs / batched.seconds,
        drain=jobs / drain.seconds,
        queued_bytes=_difference(before, loaded)("used_memory") / jobs,
        commands=difference("total_commands_processed") / jobs,
        reads=difference("total_reads_processed") / jobs,
        server_us=(difference("used_cpu_sys") + difference("used_cpu_user")) / jobs * 1e6,
        worker_us=used_cpu / jobs * 1e6,
    )


def _drain_one_batch(client: Any) -> bool:
    streams = client.xreadgroup(GROUP, "raw", {STREAM: ">"}, count=BATCH)
    if not streams:
        return False
    ids = [message_id for message_id, _ in streams[0][1]]
    with client.pipeline(transaction=False) as pipe:
        pipe.xack(STREAM, GROUP, *ids)
        pipe.xdel(STREAM, *ids)
        for message_id in ids:
            pipe.set(b"answer:" + message_id, b"1", ex=ANSWER_TTL_S)
        pipe.execute()
    return True


def _difference(before: dict[str, float], after: dict[str, float]) -> Callable[[str], float]:
    return lambda name: after[name] - before[name]


if __name__ == "__main__":
    main()
