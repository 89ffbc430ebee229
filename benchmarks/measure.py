"""What every benchmark shares: a scenario in a process of its own, its figures as JSON lines."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent


def run(module: str, folder: Path, url: str | None = None, **parameters: int) -> dict[str, float]:
    """Run `python -m benchmarks.<module>` in a fresh process; the figures that it printed.

    `url` is of the server that it is to use, if it is to use one.
    """
    folder.mkdir(parents=True)
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{module}", str(folder), json.dumps(parameters)],
        cwd=ROOT,
        env=os.environ | ({"BENCH_URL": url} if url else {}),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=600,
    )
    return json.loads(done.stdout.splitlines()[-1])


def arguments() -> tuple[Path, dict[str, int]]:
    """What `run` passed to this process."""
    return Path(sys.argv[1]), json.loads(sys.argv[2])


def report(**figures: float) -> None:
    """Print the figures of this process."""
    print(json.dumps(figures), flush=True)


def percentile(samples: list[float], fraction: float) -> float:
    """The nearest-rank percentile."""
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, int(len(ordered) * fraction))]


class Stopwatch:
    """`with Stopwatch() as watch: ...; watch.seconds`."""

    seconds = 0.0

    def __enter__(self) -> Stopwatch:
        self._began = time.perf_counter()
        return self

    def __exit__(self, *exc: object) -> None:
        self.seconds = time.perf_counter() - self._began


def resident_mib(pid: int) -> float:
    """Resident memory of a process in MiB (Linux; elsewhere 0)."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def machine() -> str:
    """One line about where this ran."""
    return (
        f"{os.cpu_count()} cores, {platform.system()} {platform.release()}, "
        f"{platform.machine()}, Python {platform.python_version()}"
    )
