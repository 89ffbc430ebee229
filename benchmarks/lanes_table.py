"""Drains with many functions, queues and foreign jobs, beside that of one function; both stores."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from statistics import median

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks import redis_server
from benchmarks.measure import machine, run

JOBS = 20_000
IN_FRONT = 200_000
ROUNDS = 3
PLAIN = {"jobs": JOBS, "functions": 1, "queues": 1, "workers": 1, "foreign": 0, "paused": 0}

SCENARIOS: dict[str, dict[str, int]] = {
    "1 function": {},
    "100 functions": {"functions": 100},
    "1,000 functions": {"functions": 1000},
    "1,000 queues": {"queues": 1000},
    "1,000 functions in 1,000 queues": {"functions": 1000, "queues": 1000},
    f"{IN_FRONT:,} jobs in front, of a function that no worker has": {"foreign": IN_FRONT},
    f"{IN_FRONT:,} jobs in front, of a paused function": {"paused": IN_FRONT},
    "100 functions, two workers that share half of them": {"functions": 100, "workers": 2},
}

COLUMNS = {
    "drain": "drain, jobs /s",
    "ratio": "of 1 function's",
    "worker_us": "worker, µs /job",
    "server_us": "server, µs /job",
    "queues_ms": "queues(), ms",
}


def main() -> None:
    """Run every scenario in turn, some rounds of all of them, and print the medians."""
    console = Console(width=140)
    load, *_ = os.getloadavg()
    for store in ("Redis", "SQLite"):
        rounds = [_round(store, console) for _ in range(ROUNDS)]
        console.print(f"{store}: {machine()}; load average {load:.1f} before the run")
        console.print(f"{JOBS:,} no-op jobs counted by the worker, median of {ROUNDS} rounds")
        _show(console, rounds)


def _round(store: str, console: Console) -> dict[str, dict[str, float]]:
    figures: dict[str, dict[str, float]] = {}
    for name, changes in SCENARIOS.items():
        console.print(f"running {store}, {name}", style="dim")
        with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as folder:
            place = Path(folder)
            with (
                redis_server.running(place / "server") if store == "Redis" else nullcontext() as url
            ):
                figures[name] = run("lanes", place / "client", url, **(PLAIN | changes))
        figures[name]["ratio"] = figures[name]["drain"] / figures["1 function"]["drain"]
    return figures


def _show(console: Console, rounds: Sequence[dict[str, dict[str, float]]]) -> None:
    table = Table("", box=box.MARKDOWN)
    for title in COLUMNS.values():
        table.add_column(title, justify="right", no_wrap=True)
    for name in SCENARIOS:
        middle = {key: median(each[name][key] for each in rounds) for key in COLUMNS}
        digits = {"ratio": 2, "queues_ms": 1}
        table.add_row(name, *(f"{middle[key]:,.{digits.get(key, 0)}f}" for key in COLUMNS))
    console.print(table)
