"""The service under fire. Its jobs keep the journal, and all that they write bears their fence.

Leases last a tenth of what is usual, and all that goes with them is in proportion.
"""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import replace
from datetime import timedelta

import conduit
from conduit.engine import sweeper, ticker
from conduit.engine.attempts.function import WorkerSpec
from tests.faults.lab.journal import What, note

LEASE_MS = 1500
SHUTDOWN_S = 4.0
LOOK_S = 1.5
"""The longest that a worker doesn't look which of its schedules are in force."""
MANY_DELIVERIES = 1000
"""Kills are frequent here: jobs aren't to fail of that, save for those that do the killing."""
TICK = timedelta(seconds=1)
MOST_BYTES = 64 * 1024
CRUNCH_TIMEOUT_S = 1.5
REFUSALS = (conduit.QueueUnavailableError, conduit.QueueAccessError)
"""What is raised of a call that wasn't carried out, as the store is away or lets nobody in."""
CONCURRENCY = "LAB_CONCURRENCY"
"""Names the variable that says how many jobs a worker runs at once."""


class QuickWorker(conduit.Worker):
    """A worker whose leases lapse soon."""

    def spec(self) -> WorkerSpec:
        """See `conduit.Worker`."""
        return replace(super().spec(), lease_ms=LEASE_MS, cancel_grace=2.0)

    async def start(self) -> None:
        """See `conduit.Worker`. Whoever only imports this file sweeps as ever."""
        sweeper.INTERVAL_S, sweeper.LOCK_MS = 0.2, 500
        ticker.MAX_SLEEP_S = LOOK_S
        await super().start()


worker = QuickWorker(
    "lab",
    concurrency=int(os.environ.get(CONCURRENCY, "1")),
    shutdown_timeout=SHUTDOWN_S,
    payload_limit=MOST_BYTES,
)
cruncher = QuickWorker(
    "cruncher",
    concurrency=4,
    queues=["crunching"],
    sync_executor="process",
    processes=1,
    shutdown_timeout=SHUTDOWN_S,
)
WORKERS = (worker, cruncher)


class BoomError(Exception):
    """What jobs fail of; its words are the fence."""


def _note(what: What, label: str = "", *, number: int = 0) -> int:
    """Write about the job that runs here into the journal; its fence."""
    ctx = conduit.current_job()
    note(
        what,
        label=label,
        job_id=ctx.job_id,
        attempt=ctx.attempt,
        fence=ctx.fencing_token,
        number=number,
    )
    return ctx.fencing_token


def began(label: str) -> int:
    """Write down that the job that runs here has begun; its fence."""
    return _note(What.BEGIN, label)


def hangs(label: str) -> int:
    """Write down that the job that runs here has begun, and won't come to an end; its fence."""
    began(label)
    return _note(What.HANGS)


def is_ending() -> int:
    """Write down that it has had its whole effect; its fence."""
    return _note(What.END)


@worker.task(max_deliveries=MANY_DELIVERIES)
async def work(label: str, seconds: float) -> int:
    """Take a while: a moment, or longer than a lease."""
    began(label)
    await asyncio.sleep(seconds)
    return is_ending()


@worker.task(max_deliveries=MANY_DELIVERIES)
def block(label: str, seconds: float) -> int:
    """Take a while in a thread."""
    began(label)
    time.sleep(seconds)
    return is_ending()


BLOCK = block.name


@cruncher.task(max_deliveries=MANY_DELIVERIES)
def crunch(label: str, seconds: float) -> int:
    """Take a while in a process."""
    began(label)
    time.sleep(seconds)
    return is_ending()


@cruncher.task(timeout=CRUNCH_TIMEOUT_S, max_deliveries=MANY_DELIVERIES)
def crunch_in_time(label: str, seconds: float) -> int:
    """Take a while in a process, for which many others wait: less than it may take, by far."""
    began(label)
    time.sleep(seconds)
    return is_ending()


@worker.task(retries=2, retry_delay=0.1, max_deliveries=MANY_DELIVERIES)
async def fail(label: str) -> int:
    """Fail each time."""
    fence = began(label)
    await asyncio.sleep(0.01)
    is_ending()
    raise BoomError(fence)


@worker.task(retries=3, retry_delay=0.1, max_deliveries=MANY_DELIVERIES)
async def recover(label: str, times: int) -> int:
    """Fail at the first `times` attempts."""
    fence = began(label)
    await asyncio.sleep(0.01)
    is_ending()
    if conduit.current_job().attempt <= times:
        raise BoomError(fence)
    return fence


@worker.task(retries=5, max_deliveries=MANY_DELIVERIES)
async def give_up(label: str) -> int:
    """Fail once and for all."""
    fence = began(label)
    await asyncio.sleep(0.01)
    is_ending()
    raise conduit.Fail(str(fence))


@worker.task(timeout=0.3, retries=1, retry_delay=0.1, max_deliveries=MANY_DELIVERIES)
async def hang(label: str) -> int:
    """Never return: every attempt runs out of time."""
    fence = began(label)
    await asyncio.sleep(3600)
    return fence


@worker.task(max_deliveries=MANY_DELIVERIES)
async def saga(label: str, steps: int, seconds: float) -> int:
    """Go on from where the last attempt was, telling of each step."""
    fence = began(label)
    ctx = conduit.current_job()
    done = -1 if ctx.checkpoint is None else int(ctx.checkpoint["step"])
    _note(What.RESUMED, number=done)
    for step in range(done + 1, steps):
        await asyncio.sleep(seconds / steps)
        ctx.set_progress(step / steps, f"{fence}")
        ctx.log.info("step %d under %d", step, fence)
        await ctx.set_metadata(fence=fence, step=step)
        await ctx.save_checkpoint({"fence": fence, "step": step})
        _note(What.SAVED, number=step)
    return is_ending()


@worker.task(max_deliveries=MANY_DELIVERIES)
async def keyed(label: str, seconds: float) -> int:
    """Run under a key that only one unfinished job may hold."""
    began(label)
    await asyncio.sleep(seconds)
    return is_ending()


@worker.task(max_deliveries=MANY_DELIVERIES)
async def parent(label: str, children: int) -> int:
    """Submit jobs of its own."""
    fence = began(label)
    for number in range(children):
        await _submit_child(work, f"{label}/{fence}.{number}", 0.01)
    return is_ending()


@worker.task(max_deliveries=MANY_DELIVERIES)
async def flood(label: str, children: int, seconds: float) -> int:
    """Submit more jobs for processes than there are processes."""
    fence = began(label)
    for number in range(children):
        await _submit_child(crunch_in_time, f"{label}/{fence}.{number}", seconds)
    return is_ending()


async def _submit_child(
    task: conduit.TaskHandle[[str, float], int], label: str, seconds: float
) -> None:
    note(What.CALL, label=label)
    try:
        future = await task.submit(label, seconds)
    except conduit.SubmitUnknownError as error:
        note(What.UNKNOWN, label=label, job_id=error.job_id, detail=str(error))
    except REFUSALS as error:
        note(What.REFUSED, label=label, detail=str(error))
    else:
        note(What.OK, label=label, job_id=future.job_id)


@worker.task(max_deliveries=MANY_DELIVERIES)
async def swell(label: str, size: int) -> str:
    """Return so many bytes of JSON, at the limit or beyond it."""
    fence = began(label)
    await asyncio.sleep(0.01)
    is_ending()
    return f"{fence}".ljust(size - 2, ".")


@worker.task(max_deliveries=3)
async def poison(label: str) -> int:
    """Take the worker down."""
    began(label)
    os._exit(POISONED)


POISONED = 86
"""The exit code of a worker that ran `poison`."""


@worker.cron(TICK, catchup="all", max_deliveries=MANY_DELIVERIES)
async def tick() -> int:
    """Tick, and make up for all ticks that were missed."""
    began("tick")
    return is_ending()


@worker.cron(TICK, catchup="skip", max_deliveries=MANY_DELIVERIES)
async def tick_or_skip() -> int:
    """Tick, unless it is too late for that."""
    began("tick")
    return is_ending()
