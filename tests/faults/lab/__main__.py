"""`python -m tests.faults.lab`: runs of the laboratory, from the command line."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.faults.lab import results
from tests.faults.lab.run import Verdict, run
from tests.faults.lab.scenarios import SCENARIOS
from tests.faults.lab.stores import PAIRS

PLAN = (
    ("long", "sqlite"),
    ("long", "always-postgres"),
    ("long", "everysec-sqlite"),
    ("due", "sqlite"),
    ("due", "always-postgres"),
    ("many", "direct-postgres"),
)
"""What is run of each seed unless told otherwise: scenario and pair of stores."""
ONCE = (
    ("away", "direct-postgres"),
    ("clock", "everysec-sqlite"),
    ("clock", "sqlite"),
    ("disk", "small-disk"),
    ("loss", "forgets-sqlite"),
    ("short", "sentinel-sqlite"),
    ("short", "cluster-sqlite"),
)
"""What is run of one seed: the first that is asked for."""
SEEDS = "1-20"


def main() -> int:
    """Run; 0 if all held."""
    parser = argparse.ArgumentParser("python -m tests.faults.lab", description=__doc__)
    parser.add_argument("--seeds", type=_seeds, default=SEEDS, help="such as 7, 1-5 or 1,4,7-9")
    parser.add_argument("--pairs", type=_pairs, help=f"of stores, of {', '.join(PAIRS)}")
    parser.add_argument("--scenario", choices=SCENARIOS, help="this one alone")
    parser.add_argument("--results", type=Path, help="a file that each verdict is added to")
    parser.add_argument("--keep", type=Path, help="a folder for what the runs leave behind")
    chosen = parser.parse_args()
    planned = [
        (*each, seed) for seed in chosen.seeds for each in _plan(chosen, seed == chosen.seeds[0])
    ]
    if not planned:
        parser.error("none of the planned runs is on these stores; name a --scenario, too")
    commit = results.commit()
    verdicts: list[Verdict] = []
    for each in planned:
        verdicts.append(_run(*each, chosen.keep))
        if chosen.results is not None:
            results.add(chosen.results, verdicts[-1], commit)
    failed = sum(not verdict.holds for verdict in verdicts)
    print(f"{failed} of {len(verdicts)} runs failed" if failed else f"all {len(verdicts)} held")
    return 1 if failed else 0


def _seeds(text: str) -> list[int]:
    """The seeds of `1,4,7-9`."""
    try:
        return [seed for part in text.split(",") for seed in _span(part)]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is no seed, nor several as 1-5 or 1,4") from None


def _span(part: str) -> range:
    first, _, last = part.partition("-")
    return range(int(first), int(last or first) + 1)


def _pairs(text: str) -> list[str]:
    if unknown := [name for name in text.split(",") if name not in PAIRS]:
        raise argparse.ArgumentTypeError(
            f"there is no pair {', '.join(unknown)}: they are {', '.join(PAIRS)}"
        )
    return text.split(",")


def _plan(chosen: argparse.Namespace, is_first: bool) -> Iterator[tuple[str, str]]:
    """What is asked for of one seed: a scenario and pairs at once may be what isn't planned."""
    if chosen.scenario and chosen.pairs:
        yield from ((chosen.scenario, pair) for pair in chosen.pairs)
        return
    for scenario, pair in (*PLAN, *(ONCE if is_first else ())):
        if chosen.scenario in (None, scenario) and pair in (chosen.pairs or PAIRS):
            yield scenario, pair


def _run(scenario: str, pair: str, seed: int, keep: Path | None) -> Verdict:
    with tempfile.TemporaryDirectory(prefix="conduit-lab-") as temporary:
        folder = Path(temporary)
        if keep is not None:
            folder = keep / f"{scenario}-{pair}-{seed}"
            folder.mkdir(parents=True)
        verdict = asyncio.run(run(SCENARIOS[scenario], pair=pair, seed=seed, folder=folder))
    print(verdict, flush=True)
    if not verdict.holds:
        print(verdict.logs, file=sys.stderr, flush=True)
    return verdict


if __name__ == "__main__":
    sys.exit(main())
