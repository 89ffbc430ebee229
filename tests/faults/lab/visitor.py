"""Schedules of a worker that is away more than it is there, and misses ticks."""

from __future__ import annotations

from datetime import timedelta

from tests.faults.lab.service import (
    MANY_DELIVERIES,
    SHUTDOWN_S,
    TICK,
    QuickWorker,
    began,
    is_ending,
)

SELDOM_MS = 4000
"""Rarer than its visits: most of these ticks come while it is away."""

QUEUE = "visitor"

visitor = QuickWorker("visitor", concurrency=4, queues=[QUEUE], shutdown_timeout=SHUTDOWN_S)


@visitor.cron(TICK, catchup="all", max_deliveries=MANY_DELIVERIES)
async def visit_all() -> int:
    """Make up for each tick that was missed."""
    began("tick")
    return is_ending()


@visitor.cron(
    timedelta(milliseconds=SELDOM_MS),
    catchup="one",
    overlap="allow",
    max_deliveries=MANY_DELIVERIES,
)
async def visit_last() -> int:
    """Make up for the last tick that was missed."""
    began("tick")
    return is_ending()


VISIT = visit_all.name
