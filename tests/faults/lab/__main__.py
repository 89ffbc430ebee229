"""`python -m tests.faults.lab`: runs of the laboratory, from the command line."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from tests.faults.lab.run import run
from tests.faults.lab.scenarios import SCENARIOS
from tests.faults.lab.stores import HISTORIES, QUEUES

PAIRS = (("sqlite", "sqlite"), ("valkey-always", "sqlite"), ("valkey-always", "postgres"))
"""What is run unless told otherwise: a queue and a history."""
SEEDS = 20


def main() -> int:
    """Run; 0 if all held."""
    parser = argparse.ArgumentParser("python -m tests.faults.lab", description=__doc__)
    parser.add_argument("--scenario", choices=SCENARIOS, default="long")
    parser.add_argument("--queue", choices=QUEUES, help="and --history: this pair alone")
    parser.add_argument("--history", choices=HISTORIES, default="sqlite")
    parser.add_argument("--seed", type=int, help=f"this seed alone, not 1 to {SEEDS}")
    parser.add_argument("--keep", type=Path, help="a folder for what the runs leave behind")
    chosen = parser.parse_args()
    pairs = [(chosen.queue, chosen.history)] if chosen.queue else PAIRS
    seeds = range(1, SEEDS + 1) if chosen.seed is None else [chosen.seed]
    failed = 0
    for seed in seeds:
        for queue, history in pairs:
            with tempfile.TemporaryDirectory(prefix="conduit-lab-") as temporary:
                folder = Path(temporary)
                if chosen.keep:
                    folder = chosen.keep / f"{chosen.scenario}-{queue}-{history}-{seed}"
                    folder.mkdir(parents=True)
                verdict = asyncio.run(
                    run(
                        SCENARIOS[chosen.scenario],
                        queue=queue,
                        history=history,
                        seed=seed,
                        folder=folder,
                    )
                )
            print(verdict, flush=True)
            if not verdict.holds:
                failed += 1
                print(verdict.logs, file=sys.stderr, flush=True)
    print(f"{failed} of {len(seeds) * len(pairs)} runs failed" if failed else "all held")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
