"""The service that the fault tests run in real processes. Its jobs keep a journal of their effects.

The journal is a file outside the system, one line per effect, written with O_APPEND in one call:
`phase job_id attempt fence pid`. It survives whatever happens to the process that wrote it.
"""

from __future__ import annotations

import asyncio
import os
import time
from datetime import timedelta
from pathlib import Path

import conduit

worker = conduit.Worker("fire", concurrency=int(os.environ.get("FIRE_CONCURRENCY", "10")))


def note(phase: str) -> None:
    """Write one effect into the journal."""
    ctx = conduit.current_job()
    line = f"{phase} {ctx.job_id} {ctx.attempt} {ctx.fencing_token} {os.getpid()}\n"
    journal = os.open(os.environ["FIRE_JOURNAL"], os.O_APPEND | os.O_CREAT | os.O_WRONLY)
    os.write(journal, line.encode())
    os.close(journal)


@worker.task
async def long_once(seconds: float) -> int:
    """Take long at the first attempt; a later one is quick."""
    note("begin")
    if conduit.current_job().fencing_token == 1:
        await asyncio.sleep(seconds)
    note("end")
    return conduit.current_job().fencing_token


@worker.task
async def short(milliseconds: int) -> int:
    """Take a moment."""
    note("begin")
    await asyncio.sleep(milliseconds / 1000)
    note("end")
    return milliseconds


@worker.task(max_deliveries=3)
async def poison() -> None:
    """Kill the process that runs it."""
    note("begin")
    os._exit(9)


@worker.task
async def freeze_together(gate: str) -> str:
    """Wait, without letting go of the process's only loop, until a file appears."""
    note("begin")
    while not Path(gate).exists():  # noqa: ASYNC240
        time.sleep(0.01)  # noqa: ASYNC251 - blocking is the point
    note("end")
    return "woke"


if os.environ.get("FIRE_CRON"):

    @worker.cron(timedelta(milliseconds=500))
    async def every_half_second() -> None:
        """Tick."""
        note("tick")
