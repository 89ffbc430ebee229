"""`python -m tests.faults.lab`: runs of the laboratory, from the command line."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.faults.lab.run import Verdict, run
from tests.faults.lab.scenarios import SCENARIOS
from tests.faults.lab.stores import HISTORIES, QUEUES

PLAN = (
    ("long", "sqlite", "sqlite"),
    ("long", "valkey-always", "postgres"),
    ("long", "valkey", "sqlite"),
    ("due", "sqlite", "sqlite"),
    ("due", "valkey-always", "postgres"),
    ("many", "valkey-direct", "postgres-direct"),
)
"""What is run of each seed unless told otherwise: scenario, queue, history."""
SEEDS = 20


def main() -> int:
    """Run; 0 if all held."""
    parser = argparse.ArgumentParser("python -m tests.faults.lab", description=__doc__)
    parser.add_argument("--seed", type=int, help=f"this seed alone, not 1 to {SEEDS}")
    parser.add_argument("--scenario", choices=SCENARIOS, help="this one alone")
    parser.add_argument("--queue", choices=QUEUES, help="on this queue alone")
    parser.add_argument("--history", choices=HISTORIES, help="with this history alone")
    parser.add_argument("--keep", type=Path, help="a folder for what the runs leave behind")
    chosen = parser.parse_args()
    seeds = range(1, SEEDS + 1) if chosen.seed is None else [chosen.seed]
    verdicts = [
        _run(*each, seed, chosen.keep)
        for seed in seeds
        for each in _plan(chosen.scenario, chosen.queue, chosen.history)
    ]
    failed = sum(not verdict.holds for verdict in verdicts)
    print(f"{failed} of {len(verdicts)} runs failed" if failed else f"all {len(verdicts)} held")
    return 1 if failed else 0


def _plan(
    scenario: str | None, queue: str | None, history: str | None
) -> Sequence[tuple[str, str, str]]:
    """What is asked for: all three at once may be what isn't in the plan."""
    if scenario and queue and history:
        return [(scenario, queue, history)]
    wanted = (scenario, queue, history)
    return [
        each
        for each in PLAN
        if all(asked in (None, part) for asked, part in zip(wanted, each, strict=True))
    ]


def _run(scenario: str, queue: str, history: str, seed: int, keep: Path | None) -> Verdict:
    with tempfile.TemporaryDirectory(prefix="conduit-lab-") as temporary:
        folder = Path(temporary)
        if keep is not None:
            folder = keep / f"{scenario}-{queue}-{history}-{seed}"
            folder.mkdir(parents=True)
        verdict = asyncio.run(
            run(SCENARIOS[scenario], queue=queue, history=history, seed=seed, folder=folder)
        )
    print(verdict, flush=True)
    if not verdict.holds:
        print(verdict.logs, file=sys.stderr, flush=True)
    return verdict


if __name__ == "__main__":
    sys.exit(main())
