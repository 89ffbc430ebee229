"""What the file says of lanes, and what a worker's memory makes of it, stay true to the jobs."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from conduit.core.errors import QueueError
from conduit.queue import Queue, open_queue
from conduit.queue.base import Retention
from tests.conformance.builders import a_job, cancel, claim, submit


@pytest.fixture
def db(path: Path, queue: Queue) -> Iterator[sqlite3.Connection]:
    """Another connection to the file, in which every statement is a transaction."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


def lanes(db: sqlite3.Connection) -> set[tuple[Any, ...]]:
    return set(db.execute("SELECT queue, function FROM lanes"))


async def test_a_claim_that_could_not_be_kept_loses_no_job(
    queue: Queue, db: sqlite3.Connection
) -> None:
    jobs = [a_job(function=name) for name in ("a", "b") for _ in range(3)]
    await queue.submit(jobs)
    db.execute(
        "CREATE TRIGGER refuse BEFORE INSERT ON leases BEGIN SELECT RAISE(ABORT, 'no room'); END"
    )
    for _ in range(3):
        with pytest.raises(QueueError, match="no room"):
            await claim(queue, functions=("a", "b"))
    db.execute("DROP TRIGGER refuse")
    assert {job.id for job in await claim(queue, functions=("a", "b"))} == {job.id for job in jobs}


async def test_a_drained_lane_leaves_no_row(queue: Queue, db: sqlite3.Connection) -> None:
    await queue.submit([a_job(function=f"f{n % 20}", queue=f"q{n % 3}") for n in range(300)])
    names = tuple(f"f{n}" for n in range(20))
    while await claim(queue, functions=names, queues=("q0", "q1", "q2"), limit=17):
        pass
    assert lanes(db) == set()


async def test_lanes_that_somebody_removed_from_the_file_are_found_by_the_sweep(
    queue: Queue, db: sqlite3.Connection
) -> None:
    assert await claim(queue) == []
    jobs = [a_job(queue=f"q{n}", priority=n % 2) for n in range(250)]
    await queue.submit(jobs)
    db.execute("DELETE FROM lanes")
    names = tuple(job.queue for job in jobs)
    assert await claim(queue, queues=names) == []
    for _ in range(3):
        await queue.sweep(Retention())
    found = {job.id for _ in range(3) for job in await claim(queue, queues=names)}
    assert found == {job.id for job in jobs}


async def test_rows_of_lanes_that_nobody_claims_from_go_with_their_jobs(
    queue: Queue, db: sqlite3.Connection
) -> None:
    job = await submit(queue, function="foreign")
    kept = await submit(queue, function="kept")
    await cancel(queue, job.id)
    await queue.sweep(Retention())
    assert lanes(db) == {("default", kept.function)}


async def test_a_worker_that_starts_finds_more_lanes_than_it_reads_at_once(
    queue: Queue, url: str
) -> None:
    await queue.submit([a_job(function=f"foreign{n}") for n in range(2500)])
    job = await submit(queue)
    async with open_queue(url) as late:
        found = await claim(late)
        while not found:
            await late.wait_for_jobs(["default"], 0)
            found = await claim(late)
    assert [each.id for each in found] == [job.id]


async def test_a_sweep_gives_no_lane_a_new_turn(queue: Queue, db: sqlite3.Connection) -> None:
    await queue.submit([a_job(function=f"f{n}") for n in range(5)])
    numbers = db.execute("SELECT changed FROM lanes").fetchall()
    for _ in range(3):
        await queue.sweep(Retention())
    assert db.execute("SELECT changed FROM lanes").fetchall() == numbers
