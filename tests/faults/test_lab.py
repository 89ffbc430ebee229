"""Short runs of the fault laboratory: `make faults` has the long ones."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from conduit.queue import open_queue
from conduit.queue.base import Retention
from tests.faults.lab.run import run
from tests.faults.lab.scenarios import MANY, SHORT, Scenario
from tests.faults.lab.stores import QUEUES

pytestmark = pytest.mark.timeout(400)


@pytest.mark.parametrize("name", ["sqlite", "valkey-direct"])
async def test_what_is_planted_waits_for_a_server_however_late_it_is(
    name: str, tmp_path: Path
) -> None:
    with QUEUES[name](tmp_path) as store:
        async with open_queue(store.direct_url) as queue:
            planted = store.plant(Random(1))
            await queue.sweep(Retention())
            found = await queue.read_events("server", "first")
    assert [each.position for each in found] == list(planted.positions)


async def holds(scenario: Scenario, folder: Path, *, pair: str, seed: int) -> None:
    verdict = await run(scenario, pair=pair, seed=seed, folder=folder)
    print(verdict)
    assert verdict.holds, f"{verdict}\n{verdict.logs}"


async def test_what_is_promised_holds_under_fire_on_sqlite(tmp_path: Path) -> None:
    await holds(SHORT, tmp_path, pair="sqlite", seed=1)


async def test_what_is_promised_holds_under_fire_on_valkey(tmp_path: Path) -> None:
    await holds(SHORT, tmp_path, pair="always-postgres", seed=1)


async def test_the_history_of_20_000_jobs_equals_the_queue_after_kills_and_a_restart(
    tmp_path: Path,
) -> None:
    await holds(MANY, tmp_path, pair="direct-postgres", seed=1)
