"""Submits the orders of one submitter, and cancels and retries some: a process that may be killed.

One that is started again goes on after what its predecessor has called, which the journal knows.
Beyond its COUNT it goes on, slowly, until it is told that this is enough: there has to be work for
as long as there are faults to come.

    python -m tests.faults.lab.submitter DRAW SEED NAME COUNT RATE
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import conduit
from conduit.core.errors import DependencyNotFoundError, JobNotFoundError, JobStateError
from tests.faults.lab import impolite, journal, service, workload
from tests.faults.lab.journal import What, note
from tests.faults.lab.workload import Order

ENOUGH = "LAB_ENOUGH"
"""Names the file that is there once nobody needs more orders."""
OVERTIME_RATE = 4
"""Jobs a second beyond the count: to keep workers busy, not to pile up where they are slow."""
AT_ONCE = 500
PAUSE_S = 0.2

Ids = dict[str, asyncio.Future[str | None]]
"""Under which id each order runs, by its label; none where that isn't known, or it doesn't run."""

_HANDLES: dict[str, Any] = {
    name: getattr(module, name)
    for module in (service, impolite)
    for each in module.WORKERS
    for name in each.functions
}


async def submit_orders(
    draw: str, seed: int, name: str, count: int, rate: float, *, enough: Path | None
) -> None:
    """Submit what hasn't been called yet, `rate` jobs a second (0: as fast as it goes).

    `enough`: the file that ends the overtime; None: there is none.
    """
    ids: Ids = {}
    for label, job_id in _called(Path(os.environ[journal.VARIABLE])).items():
        ids[label] = asyncio.Future()
        ids[label].set_result(job_id)
    room = asyncio.Semaphore(AT_ONCE)
    loop = asyncio.get_running_loop()
    due = loop.time()
    async with asyncio.TaskGroup() as group:
        for place, order in enumerate(workload.orders(getattr(workload, draw), seed, name)):
            if order.label in ids:
                continue
            if place >= count and (enough is None or enough.exists()):  # noqa: ASYNC240
                break
            await asyncio.sleep(due - loop.time())
            now_rate = rate if place < count else OVERTIME_RATE
            due += 1 / now_rate if now_rate else 0
            await room.acquire()
            ids[order.label] = asyncio.Future()
            group.create_task(_carry_out(order, room, ids))


def submit_orders_blocking(draw: str, seed: int, name: str, count: int, rate: float) -> None:
    """Submit so many from a thread without a loop, one after the other, and wait for the last."""
    future: conduit.Future[Any] | None = None
    for order in islice(workload.orders(getattr(workload, draw), seed, name), count):
        time.sleep(1 / rate)
        future = _submit_blocking(order)
    if future is not None:
        with suppress(conduit.ConduitError):
            future.result_sync()


def _submit_blocking(order: Order) -> conduit.Future[Any] | None:
    handle = _HANDLES[order.function].options(**order.options)
    while True:
        note(What.CALL, label=order.label)
        try:
            future = handle.submit_sync(order.label, **order.arguments)
        except conduit.SubmitUnknownError as error:
            note(What.UNKNOWN, label=order.label, job_id=error.job_id, detail=str(error))
            return None
        except service.REFUSALS as error:
            note(What.REFUSED, label=order.label, detail=str(error))
            time.sleep(PAUSE_S)
        else:
            note(What.OK, label=order.label, job_id=future.job_id)
            return future


def _called(path: Path) -> dict[str, str | None]:
    """What has been called, with the ids; none where nobody lived to write it down."""
    called: dict[str, str | None] = {}
    for line in journal.read(path):
        if line.what is What.CALL:
            called.setdefault(line.label, None)
        elif line.what in (What.OK, What.UNKNOWN):
            called[line.label] = line.job_id
    return called


async def _carry_out(order: Order, room: asyncio.Semaphore, ids: Ids) -> None:
    try:
        future = await _submit(order, ids)
    finally:
        room.release()
    if future is None:
        return
    if order.cancel_after_s is not None:
        await asyncio.sleep(order.cancel_after_s)
        await _cancel(future)
    if order.retries:
        await _retry(future)


async def _submit(order: Order, ids: Ids) -> conduit.Future[Any] | None:
    """Submit until it is known to be kept, or nobody knows, or what it waits for isn't there; none
    then. What nobody knows of may be there: it is waited for."""
    awaited = [await ids[label] for label in order.after]
    after = tuple(job_id for job_id in awaited if job_id is not None)
    handle = _HANDLES[order.function].options(**order.options, after=after)
    while True:
        note(What.CALL, label=order.label, after=after)
        try:
            future = await handle.submit(order.label, **order.arguments)
        except conduit.SubmitUnknownError as error:
            note(What.UNKNOWN, label=order.label, job_id=error.job_id, detail=str(error))
            ids[order.label].set_result(error.job_id)
            return None
        except DependencyNotFoundError as error:
            note(What.ORPHANED, label=order.label, job_id=error.awaited, detail=str(error))
            ids[order.label].set_result(None)
            return None
        except service.REFUSALS as error:
            note(What.REFUSED, label=order.label, detail=str(error))
            await asyncio.sleep(PAUSE_S)
        else:
            note(What.OK, label=order.label, job_id=future.job_id)
            ids[order.label].set_result(future.job_id)
            return future


async def _cancel(future: conduit.Future[Any]) -> None:
    while True:
        note(What.CANCEL, job_id=future.job_id)
        try:
            cancelled = await future.cancel()
        except service.REFUSALS:
            await asyncio.sleep(PAUSE_S)
        except JobNotFoundError as error:
            note(What.CANCELLED, job_id=future.job_id, number=0, detail=repr(error))
            return
        else:
            note(What.CANCELLED, job_id=future.job_id, number=int(cancelled))
            return


async def _retry(future: conduit.Future[Any]) -> None:
    while True:
        try:
            await future.outcome()
            note(What.RETRY, job_id=future.job_id)
            await future.retry()
        except service.REFUSALS:
            await asyncio.sleep(PAUSE_S)
        except (JobStateError, JobNotFoundError) as error:
            note(What.RETRIED, job_id=future.job_id, number=0, detail=repr(error))
            return
        else:
            note(What.RETRIED, job_id=future.job_id, number=1)
            return


def main() -> None:
    """Be a submitter, as the command line says."""
    _, draw, seed, name, count, rate = sys.argv
    enough = Path(os.environ[ENOUGH])
    asyncio.run(submit_orders(draw, int(seed), name, int(count), float(rate), enough=enough))


if __name__ == "__main__":
    main()
