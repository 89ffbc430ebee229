"""A soak: mixed load for an hour, a fault every half minute, and an eye on what grows.

    python -m tests.faults.soak [--minutes N] [--seed N] [--csv FILE]

Each minute (four times in runs of less than half an hour) it is written down, per process, how
much memory and how many open files there are; of the queue, its memory and keys; and how far the
history is behind. The run fails where the laboratory's checker complains, where the memory or the
files of a process grow, or where anything is left in the queue once all has been forgotten.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import linear_regression, mean

import httpx
from msgspec import Struct, structs

from conduit.queue import open_queue
from conduit.queue.base import Retention
from conduit.server.ingest.consumer import GROUP
from tests.faults.lab.run import run
from tests.faults.lab.scenarios import Scenario
from tests.faults.lab.stores import RedisQueueStore
from tests.faults.lab.system import System

RATE = 5
"""Jobs a second of each of two submitters."""
WARM_UP = 0.4
"""So much of a process's samples is left out: caches fill, allocators settle."""
MOST_GROWTH = 0.10
"""By so much of its mean a process's memory may grow from there to the end."""
MOST_FILES = 5
_LAG = "conduit_ingest_lag_seconds"
FEWEST = 8
"""Samples of one life of a process without which nothing is said of it."""

SOAK = Scenario(
    name="soak",
    jobs=0,
    rate=RATE,
    faults={
        "worker-freeze": 3,
        "worker-kill": 1,
        "queue-pause": 1,
        "queue-kill": 1,
        "queue-drop-clients": 1,
        "queue-flush-scripts": 1,
        "network-cut": 1,
        "network-slow": 1,
        "network-half-open": 1,
        "network-lose-replies": 1,
        "history-lock": 1,
        "history-restart": 1,
        "history-drop-clients": 1,
    },
    first_s=15.0,
    every_s=30.0,
    has_many_entries=True,
)


class Sample(Struct, frozen=True, kw_only=True):
    """How one process stood; or the queue (`used_memory` and keys) or the history (lag)."""

    at_s: float
    what: str
    pid: int = 0
    memory_kb: int = 0
    files: int = 0
    keys: int = 0
    lag_s: float = 0.0


class Watch:
    """Looks at a system from time to time, and at what is left of its queue at the end."""

    def __init__(self, every_s: float) -> None:
        self.samples: list[Sample] = []
        self.leftovers: list[str] = []
        self._every_s = every_s
        self._begun = time.monotonic()

    async def watch(self, system: System) -> None:
        """Take samples until cancelled."""
        while True:
            await asyncio.sleep(self._every_s)
            self.samples += await asyncio.to_thread(self._look, system)

    def _look(self, system: System) -> list[Sample]:
        at_s = round(time.monotonic() - self._begun, 1)
        found = [
            Sample(at_s=at_s, what=each.name, pid=each.pid, memory_kb=kb, files=files)
            for each in (*system.servers, *system.workers)
            if each.running and (usage := _usage(each.pid))
            for kb, files in [usage]
        ]
        assert isinstance(system.queue, RedisQueueStore)
        info = system.queue.server.info()
        if info:
            keys = sum(base["keys"] for name, base in info.items() if name.startswith("db"))
            memory_kb = info["used_memory"] // 1024
            found.append(Sample(at_s=at_s, what="queue", memory_kb=memory_kb, keys=keys))
        if (lag_s := _lag(system)) is not None:
            found.append(Sample(at_s=at_s, what="history", lag_s=lag_s))
        return found

    async def look_at_the_end(self, system: System) -> None:
        """Let the queue forget all that is over, and see what is left that shouldn't be."""
        assert isinstance(system.queue, RedisQueueStore)
        everything = Retention(results_ms=0, events_ms=0, workers_ms=0, functions_ms=0)
        async with open_queue(system.queue.direct_url) as queue:
            # The server has gone, and may have gone before the workers did.
            for read in (queue.claim_stale(GROUP, "soak", 0), queue.read_events(GROUP, "soak")):
                await queue.ack(GROUP, [stored.position for stored in await read])
            while (await queue.sweep(everything)).more:
                pass
        keys = system.queue.keys
        with system.queue.server.client() as client:
            kept = {keys.name(name) for name in ("meta", "number", "crons")}
            kept |= {keys.name(name) for name in ("events", "functions", "workers", "seen")}
            kept |= {keys.name(name) for name in ("load", "names", "lost", "locks", "idle")}
            left = sorted(set(map(str, client.scan_iter(count=1000))) - kept)
            entries = client.xlen(keys.name("events"))
        self.leftovers = left[:20] + ([f"{entries} entries of the stream"] if entries else [])


def _usage(pid: int) -> tuple[int, int] | None:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    except OSError:  # it has just ended
        return None
    line = next((line for line in status.splitlines() if line.startswith("VmRSS")), None)
    return (int(line.split()[1]), files) if line else None


def _lag(system: System) -> float | None:
    try:
        text = system.read("metrics")
    except httpx.HTTPError:
        return None
    lines = (line.partition(" ") for line in text.splitlines())
    return next((float(value) for name, _, value in lines if name == _LAG), None)


class Growth(Struct, frozen=True, kw_only=True):
    """How the longest life of a process went, once it had warmed up."""

    what: str
    samples: int
    minutes: float
    memory_mb: float
    per_hour_mb: float
    grown: float
    """By which part of its mean its memory grew, along the line that fits best."""
    files_before: int
    """The most in the first half of that time, as connections come and go; then in the second."""
    files_after: int

    def __str__(self) -> str:
        return (
            f"{self.what:9} {self.samples:3} samples, {self.minutes:5.1f} min: "
            f"{self.memory_mb:6.1f} MB, {self.per_hour_mb:+7.2f} MB/h ({self.grown:+.1%}), "
            f"files {self.files_before}, then {self.files_after}"
        )

    @property
    def is_bad(self) -> bool:
        """Whether that is a leak."""
        return self.grown > MOST_GROWTH or self.files_after - self.files_before > MOST_FILES


def growths_of(samples: Sequence[Sample]) -> list[Growth]:
    """One for each process that lived long enough."""
    lives: dict[tuple[str, int], list[Sample]] = defaultdict(list)
    for sample in samples:
        if sample.pid:
            lives[sample.what, sample.pid].append(sample)
    longest: dict[str, list[Sample]] = {}
    for (what, _), life in lives.items():
        if len(life) > len(longest.get(what, [])):
            longest[what] = life
    return [_growth(what, life) for what, life in longest.items() if len(life) >= FEWEST]


def _growth(what: str, life: Sequence[Sample]) -> Growth:
    warm = life[round(WARM_UP * len(life)) :]
    times = [sample.at_s for sample in warm]
    memory = [float(sample.memory_kb) for sample in warm]
    slope, _ = linear_regression(times, memory)
    span = times[-1] - times[0]
    return Growth(
        what=what,
        samples=len(life),
        minutes=(life[-1].at_s - life[0].at_s) / 60,
        memory_mb=mean(memory) / 1024,
        per_hour_mb=slope * 3600 / 1024,
        grown=slope * span / mean(memory),
        files_before=max(sample.files for sample in warm[: len(warm) // 2]),
        files_after=max(sample.files for sample in warm[len(warm) // 2 :]),
    )


def _summary(samples: Sequence[Sample]) -> list[str]:
    lags = [sample.lag_s for sample in samples if sample.what == "history"]
    queue = [sample for sample in samples if sample.what == "queue"]
    lines: list[str] = []
    if lags:
        lines.append(
            f"history   behind by {max(lags):.1f} s at most, {mean(lags):.2f} s on average"
        )
    if queue:
        first, last = queue[0], queue[-1]
        lines.append(
            f"queue     {first.memory_kb / 1024:.1f} to {last.memory_kb / 1024:.1f} MB, "
            f"{first.keys} to {last.keys} keys"
        )
    return lines


def main() -> int:
    """Soak; 0 if nothing leaked and all held."""
    parser = argparse.ArgumentParser("python -m tests.faults.soak")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--csv", type=Path, default=Path("soak.csv"))
    chosen = parser.parse_args()
    lasts_s = chosen.minutes * 60
    scenario = structs.replace(
        SOAK, jobs=round(RATE * lasts_s), lasts_s=lasts_s, patience_s=lasts_s + 600
    )
    watch = Watch(60.0 if chosen.minutes >= 30 else 15.0)
    with tempfile.TemporaryDirectory(prefix="conduit-soak-") as folder:
        verdict = asyncio.run(
            run(
                scenario,
                pair="always-postgres",
                seed=chosen.seed,
                folder=Path(folder),
                watch=watch,
            )
        )
    with chosen.csv.open("w", newline="") as file:
        writer = csv.DictWriter(file, Sample.__struct_fields__)
        writer.writeheader()
        writer.writerows(structs.asdict(sample) for sample in watch.samples)
    growths = growths_of(watch.samples)
    print(verdict, *growths, *_summary(watch.samples), sep="\n")
    print("left over:", ", ".join(watch.leftovers) or "nothing")
    leaks = [growth.what for growth in growths if growth.is_bad]
    if leaks:
        print("GROWS", ", ".join(leaks))
    return 0 if verdict.holds and not leaks and not watch.leftovers else 1


if __name__ == "__main__":
    sys.exit(main())
