"""A backlog of a paused function costs nothing: it is stepped over, not walked through."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from conduit.queue import open_queue
from conduit.queue.base import Claim
from conduit.queue.sqlite import lanes, running
from conduit.queue.sqlite.turns import Turns
from tests.conformance.builders import a_job

HELD = 5000
NOW = 4_000_000_000_000
FUNCTIONS = ("held", "task")


def steps_of(db: sqlite3.Connection, call: Callable[[], object]) -> int:
    """How many steps of its machine SQLite takes for this, to the ten."""
    taken = 0

    def count() -> int:
        nonlocal taken
        taken += 10
        return 0

    db.set_progress_handler(count, 10)
    call()
    db.set_progress_handler(None, 0)
    return taken


async def test_neither_a_claim_nor_a_wait_walks_through_the_backlog_of_a_paused_function(
    path: Path, url: str
) -> None:
    async with open_queue(url) as queue:
        await queue.submit([a_job(function="held", priority=n % 3) for n in range(HELD)])
        await queue.pause_function("held")
        await queue.submit([a_job() for _ in range(3)])
    wanted = Claim(worker_id="w1", queues=("default",), functions=FUNCTIONS, limit=100)
    with closing(sqlite3.connect(path)) as db:
        turns = Turns(wanted.queues, (), wanted.functions)
        claim = steps_of(db, lambda: running.claim(db, NOW, wanted, turns, None))
        for_nothing = steps_of(db, lambda: running.claim(db, NOW, wanted, turns, None))
        looks = steps_of(db, lambda: lanes.news(db, [turns], turns.seen))
        assert not lanes.news(db, [turns], turns.seen)[0]
    assert claim + for_nothing + looks < HELD, "a step for each job that is held, or more"
