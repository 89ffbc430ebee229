"""Trimming the event stream: what it drops, and how little it looks at."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from conduit.queue import open_queue
from conduit.queue.base import DEFAULT_RESULT_TTL_MS, Retention
from conduit.queue.sqlite import sweeping
from conduit.queue.sqlite.lanes import Check

NOW = 1_800_000_000_000
OLD, YOUNG = NOW - DEFAULT_RESULT_TTL_MS, NOW - DEFAULT_RESULT_TTL_MS + 1
FAR_AHEAD = NOW + 365 * DEFAULT_RESULT_TTL_MS


@pytest.fixture
async def connection(path: Path) -> AsyncGenerator[sqlite3.Connection]:
    """A queue's file with nothing in it."""
    async with open_queue(f"sqlite:///{path}"):
        pass
    connection = sqlite3.connect(path, isolation_level=None)
    yield connection
    connection.close()


def add_entries(connection: sqlite3.Connection, *times: int) -> None:
    """Append entries of these times to the event stream."""
    connection.execute("BEGIN")
    connection.executemany(
        "INSERT INTO entries (at, body) VALUES (?, x'')", [(at,) for at in times]
    )
    connection.execute("COMMIT")


def sweep(connection: sqlite3.Connection, *, limit: int = 1000) -> bool:
    """Sweep; whether there is more to do."""
    return sweeping.sweep(connection, NOW, Retention(), limit, Check()).more


def times_left(connection: sqlite3.Connection) -> list[int]:
    return [at for (at,) in connection.execute("SELECT at FROM entries ORDER BY position")]


def steps_of_a_sweep(connection: sqlite3.Connection) -> int:
    """How many hundreds of steps SQLite takes for one sweep."""
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    connection.set_progress_handler(count, 100)
    sweep(connection)
    connection.set_progress_handler(None, 0)
    return steps


def test_old_entries_go_and_young_ones_stay(connection: sqlite3.Connection) -> None:
    add_entries(connection, OLD, OLD, YOUNG, NOW)
    assert not sweep(connection)
    assert times_left(connection) == [YOUNG, NOW]


def test_a_sweep_drops_so_many_and_says_that_there_are_more(connection: sqlite3.Connection) -> None:
    add_entries(connection, *[OLD] * 5)
    assert sweep(connection, limit=2)
    assert len(times_left(connection)) == 3
    assert sweep(connection, limit=2)
    assert not sweep(connection, limit=2)
    assert times_left(connection) == []


def test_entries_that_a_group_needs_stay(connection: sqlite3.Connection) -> None:
    add_entries(connection, OLD, OLD, OLD)
    connection.execute("INSERT INTO event_groups (name, given) VALUES ('g', 1)")
    sweep(connection)
    assert len(times_left(connection)) == 2


def test_an_entry_of_a_clock_that_was_far_ahead_keeps_no_others(
    connection: sqlite3.Connection,
) -> None:
    add_entries(connection, FAR_AHEAD, OLD, NOW, OLD)
    sweep(connection)
    assert times_left(connection) == [NOW, OLD]


def test_a_sweep_of_a_long_young_stream_takes_no_more_steps_than_of_a_short_one(
    connection: sqlite3.Connection,
) -> None:
    add_entries(connection, *[NOW] * 100)
    sweep(connection)
    few = steps_of_a_sweep(connection)
    add_entries(connection, *[NOW] * 50_000)
    assert steps_of_a_sweep(connection) <= few + 1
