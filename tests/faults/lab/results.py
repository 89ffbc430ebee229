"""Verdicts, kept: a table to which each run adds a line, for whoever asks what a commit was put to.

The file goes into the repository; nothing of the machine is in it.
"""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from statistics import median

from tests.faults.lab.checker import accepted_jobs_are_kept
from tests.faults.lab.run import Verdict

_SOURCES = Path(__file__).parents[3]
_COLUMNS = (
    *("date", "commit", "scenario", "stores", "seed", "verdict", "jobs", "attempts", "faults"),
    *("impolite kinds", "lost", "wrong", "recovery, median and longest", "took"),
)
_HEAD = f"""# Runs of the fault laboratory

`make faults` adds a line for each run; [reliability.md](reliability.md) says what is done in one.
*Lost* are jobs that were accepted and aren't there, *wrong* is every other complaint of the
checker. A commit with a `+` was run with changes that it hasn't got.

| {" | ".join(_COLUMNS)} |
|{"---|" * len(_COLUMNS)}
"""


def commit() -> str:
    """What is checked out, with a `+` where sources or tests differ from it; `unknown` outside of a
    repository."""
    head = _git("rev-parse", "--short=9", "HEAD")
    return f"{head}{'+' if _git('status', '--porcelain', 'src', 'tests') else ''}" or "unknown"


def _git(*command: str) -> str:
    try:
        done = subprocess.run(
            ["git", *command], cwd=_SOURCES, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return ""
    return done.stdout.strip()


def add(path: Path, verdict: Verdict, commit: str) -> None:
    """Add the line of a run to the table in `path`, which is made where there is none."""
    if not path.exists():
        path.write_text(_HEAD, "utf-8")
    with path.open("a", encoding="utf-8") as file:
        file.write(f"| {' | '.join(_cells(verdict, commit))} |\n")


def _cells(verdict: Verdict, commit: str) -> list[str]:
    figures = verdict.figures
    complaints = [each.check for each in verdict.complaints]
    lost = complaints.count(accepted_jobs_are_kept.__name__)
    recovery = (
        f"{median(figures.recoveries):.1f}, {max(figures.recoveries):.1f} s"
        if figures.recoveries
        else "—"
    )
    return [
        time.strftime("%Y-%m-%d", time.gmtime()),
        commit,
        verdict.scenario,
        verdict.pair,
        str(verdict.seed),
        verdict.word,
        f"{figures.jobs:,}",
        f"{figures.attempts:,}",
        str(sum(figures.strikes.values())),
        str(len(figures.kinds)),
        str(lost),
        str(len(complaints) - lost),
        recovery,
        f"{verdict.took_s:.0f} s",
    ]
