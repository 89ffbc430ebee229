"""What hangs together with a job: found both ways, nearest first, and never more than is shown."""

from __future__ import annotations

import pytest
from sqlalchemy import event

from conduit.server.db import graph
from conduit.server.db.database import Database
from conduit.server.db.graph import Graph
from conduit.server.db.rows import JobRow
from tests.server.db.jobs import a_job, insert


async def around(database: Database, job_id: str, **limits: int) -> Graph:
    async with database.read() as connection:
        found = await graph.around(connection, job_id, **limits)
    assert found is not None
    return found


def ids(found: Graph) -> list[str]:
    return [node.id for node in found.nodes]


def edges(found: Graph) -> set[str]:
    arrows = {"after": ">", "child": "/"}
    return {f"{edge.source}{arrows[edge.kind]}{edge.target}" for edge in found.edges}


@pytest.fixture
async def shop(database: Database) -> Database:
    """A diamond, a job with a child that another one waits for, and one on its own."""
    await insert(
        database,
        a_job("a"),
        a_job("b", after=("a",)),
        a_job("c", after=("a",)),
        a_job("d", after=("b", "c")),
        a_job("e", after=("d",), started_at=5, finished_at=6),
        a_job("f", parent_id="e", root_id="e"),
        a_job("g", after=("f", "forgotten")),
        a_job("x", parent_id="gone", root_id="gone"),
    )
    return database


@pytest.mark.parametrize("job_id", "adfg")
async def test_all_that_hangs_together_is_found_from_any_of_it(shop: Database, job_id: str) -> None:
    found = await around(shop, job_id)
    assert sorted(ids(found)) == list("abcdefg")
    assert edges(found) == {"a>b", "a>c", "b>d", "c>d", "d>e", "e/f", "f>g"}
    assert not found.truncated


async def test_the_nearest_come_first_and_those_waited_for_before_children(
    database: Database,
) -> None:
    await insert(
        database,
        a_job("own", after=("z-needed",), parent_id="y-parent"),
        a_job("z-needed", after=("far",)),
        a_job("far"),
        a_job("y-parent"),
        a_job("x-waits", after=("own",)),
        *(a_job(f"child-{number}", parent_id="own") for number in range(3)),
    )
    nearest = ["own", "z-needed", "x-waits", "y-parent", "child-0", "child-1", "child-2", "far"]
    assert ids(await around(database, "own")) == nearest


async def test_a_job_alone_is_its_own_graph(shop: Database) -> None:
    found = await around(shop, "x")
    assert (ids(found), found.edges, found.truncated) == (["x"], [], False)


@pytest.mark.parametrize("job_id", ["nowhere", "forgotten", "gone", "\0", "\ud800"])
async def test_there_is_no_graph_of_a_job_that_is_not_there(shop: Database, job_id: str) -> None:
    async with shop.read() as connection:
        assert await graph.around(connection, job_id) is None


@pytest.mark.parametrize(("limit", "truncated"), [(6, True), (7, False), (8, False)])
async def test_a_graph_says_whether_there_are_more(
    shop: Database, limit: int, truncated: bool
) -> None:
    found = await around(shop, "d", limit=limit)
    assert len(found.nodes) == min(limit, 7)
    assert ids(found)[:4] == ["d", "b", "c", "e"]
    assert found.truncated is truncated


async def test_edges_have_a_limit_of_their_own(shop: Database) -> None:
    found = await around(shop, "d", edges=6)
    assert (len(found.edges), found.truncated) == (6, True)
    assert "e/f" in edges(found)
    assert not (await around(shop, "d", edges=7)).truncated


async def test_a_large_family_is_asked_for_in_few_statements(database: Database) -> None:
    children = [a_job(f"c-{number:05}", parent_id="root") for number in range(2000)]
    waiting = [a_job(f"w-{number:05}", after=("root",)) for number in range(200)]
    await insert(database, a_job("root"), *children, *waiting)
    async with database.read() as connection:
        asked: list[str] = []
        event.listen(
            connection.sync_connection,
            "before_cursor_execute",
            lambda *told: asked.append(told[2]),
        )
        found = await graph.around(connection, "c-01999")
    assert found is not None
    assert found.truncated
    assert ids(found)[:2] == ["c-01999", "root"]
    assert ids(found)[2:202] == [row.id for row in waiting]
    assert ids(found)[202:] == [row.id for row in children[:298]]
    assert len(asked) == 4


def chain(length: int) -> list[JobRow]:
    first = a_job("n-0000")
    others = range(1, length)
    return [first, *(a_job(f"n-{n:04}", after=(f"n-{n - 1:04}",)) for n in others)]


async def test_a_long_chain_is_followed_both_ways(database: Database) -> None:
    await insert(database, *chain(600))
    found = await around(database, "n-0300")
    assert (len(found.nodes), found.truncated) == (500, True)
    assert sorted(ids(found)) == [f"n-{number:04}" for number in range(50, 550)]
    assert not (await around(database, "n-0599", limit=600)).truncated
