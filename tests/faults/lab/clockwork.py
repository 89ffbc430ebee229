"""Schedules of jobs that are slower than their ticks, of one that is paused, and of one whose
rhythm changes while a newer version of this file runs beside the others."""

from __future__ import annotations

import asyncio
import os
from datetime import timedelta

from tests.faults.lab.service import (
    MANY_DELIVERIES,
    SHUTDOWN_S,
    TICK,
    QuickWorker,
    began,
    is_ending,
)

RHYTHM = "LAB_RHYTHM_MS"
"""Names the variable with the rhythm of `steady`, in milliseconds."""
STEADY_MS = 1000
NEWER_MS = 700
"""What the newer version has."""
PAUSED = "rest"
_SLOWLY_S = 2.2

clockwork = QuickWorker(
    "clockwork", concurrency=4, queues=["clockwork"], shutdown_timeout=SHUTDOWN_S
)


@clockwork.cron(TICK, overlap="skip", max_deliveries=MANY_DELIVERIES)
async def slow_or_skip() -> int:
    """Take longer than a tick: the ticks meanwhile are skipped."""
    began("tick")
    await asyncio.sleep(_SLOWLY_S)
    return is_ending()


@clockwork.cron(TICK, overlap="queue", max_deliveries=MANY_DELIVERIES)
async def slow_in_turn() -> int:
    """Take longer than a tick: one waits meanwhile."""
    began("tick")
    await asyncio.sleep(_SLOWLY_S)
    return is_ending()


@clockwork.cron(TICK, catchup="all", overlap="allow", max_deliveries=MANY_DELIVERIES)
async def rest() -> int:
    """Be paused now and then."""
    began("tick")
    return is_ending()


@clockwork.cron(
    timedelta(milliseconds=int(os.environ.get(RHYTHM, STEADY_MS))),
    overlap="allow",
    max_deliveries=MANY_DELIVERIES,
)
async def steady() -> int:
    """Tick, in a rhythm that changes as long as a newer version is there."""
    began("tick")
    return is_ending()
