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
ONCE = (
    ("away", "valkey-direct", "postgres-direct"),
    ("clock", "valkey", "sqlite"),
    ("clock", "sqlite", "sqlite"),
    ("disk", "sqlite-small-disk", "sqlite"),
    ("loss", "valkey-forgets", "sqlite"),
    ("short", "sentinel", "sqlite"),
    ("short", "cluster", "sqlite"),
)
"""What is run of one seed: the one that is asked for, or the first."""
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
    seeds = list(range(1, SEEDS + 1)) if chosen.seed is None else [chosen.seed]
    wanted = (chosen.scenario, chosen.queue, chosen.history)
    if not any(_fits(wanted, each) for each in PLAN + ONCE) and None in wanted:
        parser.error("name --scenario, --queue and --history: that isn't planned")
    verdicts = [
        _run(*each, seed, chosen.keep) for seed in seeds for each in _plan(wanted, seed == seeds[0])
    ]
    failed = sum(not verdict.holds for verdict in verdicts)
    print(f"{failed} of {len(verdicts)} runs failed" if failed else f"all {len(verdicts)} held")
    return 1 if failed else 0


Wanted = tuple[str | None, str | None, str | None]


def _plan(wanted: Wanted, is_first: bool) -> Sequence[tuple[str, str, str]]:
    """What is asked for of one seed: all three at once may be what isn't in the plan."""
    scenario, queue, history = wanted
    if scenario and queue and history:
        return [(scenario, queue, history)]
    return [each for each in PLAN + (ONCE if is_first else ()) if _fits(wanted, each)]


def _fits(wanted: Wanted, planned: tuple[str, str, str]) -> bool:
    return all(asked in (None, part) for asked, part in zip(wanted, planned, strict=True))


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
