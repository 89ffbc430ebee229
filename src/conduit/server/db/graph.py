"""The jobs that a job hangs together with: those it waits for, those that wait, and its family.

Found ring by ring around the job, a statement for each, so that the nearest are those that are
kept where there are too many. Nothing that is asked grows with how many there are: a job may have
a hundred thousand children.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from msgspec import Struct
from sqlalchemy import (
    CTE,
    BindParameter,
    Row,
    Select,
    bindparam,
    func,
    literal,
    select,
    union_all,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from conduit.core.model import Job, JobStatus
from conduit.server.db import tables
from conduit.server.db.queries import is_storable

MAX_NODES = 500
MAX_EDGES = 5000
_LOOKED_AT = 10_000
"""Of how many neighbours of a kind the first ones are taken."""

_jobs = tables.jobs.c
_dependencies = tables.dependencies.c
_NODE = (
    _jobs.id,
    _jobs.function,
    _jobs.status,
    _jobs.queue,
    _jobs.submitted_at,
    _jobs.started_at,
    _jobs.finished_at,
    _jobs.parent_id,
)


class EdgeKind(StrEnum):
    """How two jobs hang together: one waits for the other, or came of it."""

    AFTER = "after"
    CHILD = "child"


class Node(Struct, frozen=True, kw_only=True, gc=False):
    """What a graph shows of a job."""

    id: str
    function: str
    status: JobStatus
    queue: str
    submitted_at: int
    started_at: int | None
    finished_at: int | None
    parent_id: str | None


class Edge(Struct, frozen=True, gc=False):
    """`target` waits for `source`, or is its child."""

    source: str
    target: str
    kind: EdgeKind


class Graph(Struct, frozen=True):
    """Jobs, nearest first, and what holds them together; `truncated` where there is more."""

    nodes: list[Node]
    edges: list[Edge]
    truncated: bool


def alone(job: Job) -> Graph:
    """The graph of a job that nothing else is known of."""
    fields = {name: getattr(job, name) for name in Node.__struct_fields__}
    return Graph([Node(**fields)], [], truncated=False)


async def around(
    connection: AsyncConnection, job_id: str, *, limit: int = MAX_NODES, edges: int = MAX_EDGES
) -> Graph | None:
    """A job and what it hangs together with, however far; None: the history has no such job."""
    if not is_storable(job_id):
        return None
    own = (await connection.execute(select(*_NODE).where(_jobs.id == job_id))).one_or_none()
    if own is None:
        return None
    nodes = {job_id: _node(own)}
    ring: list[str] = [job_id]
    before: list[str] = []
    truncated = False
    while ring and not truncated:
        room = limit - len(nodes)
        # What is next to a job of this ring and isn't further out is in it or in the one before.
        asked = {"ring": ring, "known": ring + before, "limit": room + 1}
        found = (await connection.execute(_NEXT_RING, asked)).all()
        truncated = len(found) > room
        before = ring
        ring = [row.id for row in found[:room]]
        nodes |= {row.id: _node(row) for row in found[:room]}
    held = await _edges(connection, nodes, edges + 1)
    return Graph(list(nodes.values()), held[:edges], truncated or len(held) > edges)


def _some(rank: int, end: Any, of: Any) -> CTE:
    """Jobs at the one end of what hangs on the jobs of `ring` with the other."""
    ring: BindParameter[Any] = bindparam("ring", expanding=True)
    known: BindParameter[Any] = bindparam("known", expanding=True)
    found = select(end.label("id"), literal(rank).label("rank")).distinct()
    return found.where(of.in_(ring), end.not_in(known)).limit(_LOOKED_AT).cte(f"rank_{rank}")


def _next_ring() -> Select[*tuple[Any, ...]]:
    """Jobs one step further: first those that are waited for, last the children."""
    kinds = (
        _some(0, _dependencies.after_id, _dependencies.job_id),
        _some(1, _dependencies.job_id, _dependencies.after_id),
        _some(2, _jobs.parent_id, _jobs.id),
        _some(3, _jobs.id, _jobs.parent_id),
    )
    each = union_all(*map(select, kinds)).subquery()
    nearest = select(each.c.id, func.min(each.c.rank).label("rank")).group_by(each.c.id).subquery()
    return (
        select(*_NODE)
        .join_from(nearest, tables.jobs, _jobs.id == nearest.c.id)
        .order_by(nearest.c.rank, _jobs.id)
        .limit(bindparam("limit"))
    )


_NEXT_RING = _next_ring()
"""Made once: a chain of five hundred jobs is asked for in as many statements."""


async def _edges(connection: AsyncConnection, nodes: dict[str, Node], limit: int) -> list[Edge]:
    """What holds these jobs together, their families first: that is one for each job at most."""
    family = [
        Edge(node.parent_id, node.id, EdgeKind.CHILD)
        for node in nodes.values()
        if node.parent_id is not None and node.parent_id in nodes
    ]
    pairs = (
        select(_dependencies.after_id, _dependencies.job_id)
        .where(_dependencies.job_id.in_(nodes), _dependencies.after_id.in_(nodes))
        .order_by(_dependencies.job_id, _dependencies.after_id)
        .limit(limit)
    )
    waits = [
        Edge(source, target, EdgeKind.AFTER) for source, target in await connection.execute(pairs)
    ]
    return family + waits


def _node(row: Row[*tuple[Any, ...]]) -> Node:
    return Node(
        id=row.id,
        function=row.function,
        status=JobStatus(row.status),
        queue=row.queue,
        submitted_at=row.submitted_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        parent_id=row.parent_id,
    )
