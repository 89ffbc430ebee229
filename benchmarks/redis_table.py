"""Conduit on Redis beside its peers and the raw limit of the server.

Each contestant has a server of its own and an environment of its own, and one that fails is shown
with the reason while the others go on.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks import environments, redis_server
from benchmarks.environments import InstallError
from benchmarks.measure import ROOT, machine

SCENARIO = {"jobs": 5000, "single": 1000, "in_flight": 2000, "waits": 300}
LIMIT_S = 150

SPEED = {
    "single": "submits /s",
    "in_flight": "100 in flight",
    "batched": "in batches",
    "drain": "drain, jobs /s",
    "p50_ms": "to result p50, ms",
    "p99_ms": "p99, ms",
}
COST = {
    "commands": "commands /job",
    "reads": "reads /job",
    "server_us": "server, µs /job",
    "worker_us": "worker, µs /job",
    "queued_bytes": "bytes /queued job",
    "memory_mib": "worker, MiB",
    "idle_commands": "commands /s at rest",
}
LEGEND = (
    "drain: from the first job that the worker started until all results are there\n"
    "commands: the server's count, with those in scripts; reads: of sockets, about the round trips"
)
DIGITS = {"p50_ms": 1, "p99_ms": 1, "commands": 2, "reads": 2}


class FailedError(Exception):
    """A contestant gave no figures; the text says why."""


def main(peers: Iterable[str], uv: str) -> None:
    """Run the raw limit, Conduit and these peers in turn; print the tables."""
    console = Console(width=140)
    load, *_ = os.getloadavg()
    figures: dict[str, dict[str, Any]] = {}
    failures: dict[str, str] = {}
    for name in ("raw limit", "Conduit", *peers):
        console.print(f"running {name}", style="dim")
        try:
            figures[name] = _contestant(name, uv)
        except (FailedError, InstallError) as error:
            failures[name] = str(error)
    console.print(machine() + f"; load average {load:.1f} before the run")
    _show(console, figures, failures)


def _contestant(name: str, uv: str) -> dict[str, Any]:
    parameters = json.dumps(SCENARIO)
    with tempfile.TemporaryDirectory(prefix="conduit-bench-") as folder:
        if name == "raw limit":
            return _run(Path(folder), sys.executable, "benchmarks.raw_redis", folder, parameters)
        python, module = sys.executable, "benchmarks.conduit_redis"
        if name in environments.PEERS:
            python, module = environments.interpreter(name, uv), f"benchmarks.peers.{name}"
        return _run(Path(folder), python, "benchmarks.peers.scenario", module, parameters)


def _run(folder: Path, python: str | Path, *words: str) -> dict[str, Any]:
    """Run `python -m words` with a server of its own; the figures that it printed at last."""
    errors = folder / "errors.log"
    with redis_server.running(folder / "server") as url, errors.open("w") as log:
        process = subprocess.Popen(
            [str(python), "-m", *words],
            cwd=ROOT,
            env=os.environ | {"BENCH_URL": url},
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,
        )
        try:
            output, _ = process.communicate(timeout=LIMIT_S)
        except subprocess.TimeoutExpired:
            raise FailedError(f"no figures in {LIMIT_S} s") from None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)  # its worker, too
                process.wait()
    if process.returncode:
        lines = [line.strip() for line in errors.read_text().splitlines() if line.strip()]
        raise FailedError(lines[-1] if lines else f"ended with {process.returncode}")
    return json.loads(output.splitlines()[-1])


def _show(console: Console, figures: dict[str, dict[str, Any]], failures: dict[str, str]) -> None:
    console.print(f"{redis_server.version()}, appendonly everysec; {SCENARIO['jobs']:,} jobs")
    console.print(LEGEND)
    for columns in (SPEED, COST):
        table = Table("", box=box.MARKDOWN)
        for title in columns.values():
            table.add_column(title, justify="right", no_wrap=True)
        for name, each in figures.items():
            table.add_row(name, *(_cell(key, each.get(key)) for key in columns))
        for name in failures:
            table.add_row(name, "failed")
        console.print(table)
    for name, reason in failures.items():
        console.print(f"{name} failed: {reason}", markup=False)
    for name, each in figures.items():
        if "versions" in each:
            notes = f"; {each['notes']}" if each["notes"] else ""
            about = f"{each['versions']}, Python {each['python']}; {each['concurrency']}{notes}"
            console.print(f"{name}: {about}", markup=False, highlight=False)


def _cell(key: str, value: float | None) -> str:
    return "—" if value is None else f"{value:,.{DIGITS.get(key, 0)}f}"
