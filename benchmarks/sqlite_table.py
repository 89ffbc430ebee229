"""The embedded queue beside huey's SQLite storage and the raw limit of sqlite3."""

from __future__ import annotations

import sqlite3
import tempfile
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.measure import machine, run

JOBS = 20_000
HUEY_JOBS = 3_000  # huey takes a while

ROWS = {
    "single": "single submits /s",
    "in_flight": "submits /s, 100 in flight",
    "batched": "batched submits /s",
    "drain": "drain, jobs /s",
    "p50_ms": "submit to result p50, ms",
    "p99_ms": "submit to result p99, ms",
    "memory_mib": "worker memory, MiB",
}


def main() -> None:
    """Run every contestant in turn, in processes of their own, and print one table."""
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as name:
        folder = Path(name)
        figures = {
            "raw limit": run("raw_sqlite", folder / "raw", jobs=JOBS, single=2000, batch=100),
            "Conduit": run("conduit_sqlite", folder / "conduit", jobs=JOBS, single=2000, waits=500),
        }
        for title, fsync in (("huey, fsync", 1), ("huey, default", 0)):
            place = folder / f"huey{fsync}"
            figures[title] = run(
                "huey_sqlite", place, jobs=HUEY_JOBS, waits=300, threads=4, fsync=fsync
            )
    _show(figures)


def _show(figures: dict[str, dict[str, float]]) -> None:
    console = Console(width=100)
    console.print(machine())
    packages = ", ".join(f"{name} {version(name)}" for name in ("conduit", "huey", "msgspec"))
    console.print(f"{packages}, SQLite {sqlite3.sqlite_version}; {JOBS:,} jobs, batches of 100")
    table = Table("", *figures)
    for key, title in ROWS.items():
        cells = [figures[name].get(key) for name in figures]
        table.add_row(title, *("—" if cell is None else f"{cell:,.1f}" for cell in cells))
    console.print(table)
    ours = figures["Conduit"]
    for rival in ("raw limit", "huey, fsync", "huey, default"):
        theirs = figures[rival]
        console.print(
            f"against {rival}: drain {ours['drain'] / theirs['drain']:.2f} times, "
            f"single submits {ours['single'] / theirs['single']:.2f} times"
        )
