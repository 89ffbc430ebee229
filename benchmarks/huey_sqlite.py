"""huey on its SQLite storage, a consumer with threads in one process, results kept.

huey has no batched enqueue. `fsync=1` gives it Conduit's durability, `fsync=0` is its default.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time

from huey import SqliteHuey

from benchmarks.measure import ROOT, Stopwatch, arguments, percentile, report, resident_mib

folder, parameters = arguments()
huey = SqliteHuey("bench", filename=str(folder / "huey.db"), fsync=bool(parameters["fsync"]))


@huey.task()
def noop() -> int:
    """Do nothing; huey keeps no result that is None."""
    return 1


def consume() -> None:
    """Be the consumer process."""
    logging.disable(logging.WARNING)
    consumer = huey.create_consumer(
        workers=parameters["threads"], initial_delay=0.001, max_delay=0.01, periodic=False
    )
    consumer.run()


def main() -> None:
    """Measure submits one by one, the drain, and the time from submit to result."""
    logging.disable(logging.WARNING)
    jobs, waits = parameters["jobs"], parameters["waits"]
    with Stopwatch() as one_by_one:
        for _ in range(jobs):
            noop()
    consumer = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.huey_sqlite", *sys.argv[1:], "consume"], cwd=ROOT
    )
    try:
        while huey.pending_count() == jobs:
            time.sleep(0.001)
        with Stopwatch() as drain:
            while huey.result_count() < jobs:
                time.sleep(0.01)
        memory = resident_mib(consumer.pid)
        samples: list[float] = []
        for _ in range(waits):
            began = time.perf_counter()
            noop()(blocking=True, backoff=1, max_delay=0.001)
            samples.append(time.perf_counter() - began)
    finally:
        consumer.terminate()
        consumer.wait(timeout=30)
    report(
        single=jobs / one_by_one.seconds,
        drain=jobs / drain.seconds,
        p50_ms=percentile(samples, 0.5) * 1000,
        p99_ms=percentile(samples, 0.99) * 1000,
        memory_mib=memory,
    )


if __name__ == "__main__":
    os.chdir(ROOT)
    consume() if sys.argv[-1] == "consume" else main()
