"""Submits the orders of one submitter, and cancels and retries some: a process that may be killed.

One that is started again goes on after what its predecessor has called, which the journal knows.
Beyond its COUNT it goes on, slowly, until it is told that this is enough: there has to be work for
as long as there are faults to come.

    python -m tests.faults.lab.submitter DRAW SEED NUMBER COUNT RATE
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import conduit
from conduit.core.errors import JobNotFoundError, JobStateError
from tests.faults.lab import journal, service, workload
from tests.faults.lab.journal import What, note
from tests.faults.lab.workload import Order

ENOUGH = "LAB_ENOUGH"
"""Names the file that is there once nobody needs more orders."""
OVERTIME_RATE = 4
"""Jobs a second beyond the count: to keep workers busy, not to pile up where they are slow."""
AT_ONCE = 500
PAUSE_S = 0.2

_HANDLES: dict[str, Any] = {
    name: getattr(service, name) for each in service.WORKERS for name in each.functions
}


async def main(draw: str, seed: int, number: int, count: int, rate: float) -> None:
    """Submit what hasn't been called yet, `rate` jobs a second (0: as fast as it goes)."""
    called = _called(Path(os.environ[journal.VARIABLE]))
    enough = Path(os.environ[ENOUGH])
    room = asyncio.Semaphore(AT_ONCE)
    loop = asyncio.get_running_loop()
    due = loop.time()
    async with asyncio.TaskGroup() as group:
        for place, order in enumerate(workload.orders(getattr(workload, draw), seed, number)):
            if order.label in called:
                continue
            if place >= count and enough.exists():  # noqa: ASYNC240
                break
            await asyncio.sleep(due - loop.time())
            now_rate = rate if place < count else OVERTIME_RATE
            due += 1 / now_rate if now_rate else 0
            await room.acquire()
            group.create_task(_carry_out(order, room))


def _called(path: Path) -> set[str]:
    return {line.label for line in journal.read(path) if line.what is What.CALL}


async def _carry_out(order: Order, room: asyncio.Semaphore) -> None:
    try:
        future = await _submit(order)
    finally:
        room.release()
    if future is None:
        return
    if order.cancel_after_s is not None:
        await asyncio.sleep(order.cancel_after_s)
        await _cancel(future)
    if order.retries:
        await _retry(future)


async def _submit(order: Order) -> conduit.Future[Any] | None:
    """Submit until it is known to be kept, or nobody knows; none then."""
    handle = _HANDLES[order.function].options(**order.options)
    while True:
        note(What.CALL, label=order.label)
        try:
            future = await handle.submit(order.label, **order.arguments)
        except conduit.SubmitUnknownError as error:
            note(What.UNKNOWN, label=order.label, job_id=error.job_id, detail=str(error))
            return None
        except conduit.QueueUnavailableError as error:
            note(What.REFUSED, label=order.label, detail=str(error))
            await asyncio.sleep(PAUSE_S)
        else:
            note(What.OK, label=order.label, job_id=future.job_id)
            return future


async def _cancel(future: conduit.Future[Any]) -> None:
    while True:
        note(What.CANCEL, job_id=future.job_id)
        try:
            cancelled = await future.cancel()
        except conduit.QueueUnavailableError:
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
        except conduit.QueueUnavailableError:
            await asyncio.sleep(PAUSE_S)
        except (JobStateError, JobNotFoundError) as error:
            note(What.RETRIED, job_id=future.job_id, number=0, detail=repr(error))
            return
        else:
            note(What.RETRIED, job_id=future.job_id, number=1)
            return


if __name__ == "__main__":
    _, chosen_draw, chosen_seed, chosen_number, chosen_count, chosen_rate = sys.argv
    asyncio.run(
        main(
            chosen_draw,
            int(chosen_seed),
            int(chosen_number),
            int(chosen_count),
            float(chosen_rate),
        )
    )
