"""A long job that is killed half-way and goes on where it stopped.

    conduit run examples/resumable.py
    conduit submit import_rows --args '[200]'

Kill the worker with `kill -9`, start it again, and see with `conduit jobs show ID` how the second
attempt begins after the last saved row, without asking for the file again.
"""

from __future__ import annotations

import asyncio

import conduit

worker = conduit.Worker("imports")


async def find_file() -> str:
    await asyncio.sleep(0.5)
    return "rows.csv"


@worker.task(retries=3)
async def import_rows(total: int) -> int:
    job = conduit.current_job()
    file = await job.step("find the file", find_file)  # once per job, whatever happens
    start = job.checkpoint or 0
    job.log.info("attempt %d: %s from row %d", job.attempt, file, start)
    for row in range(start, total):
        await asyncio.sleep(0.02)
        if row % 10 == 9:
            await job.save_checkpoint(row + 1)  # on the disk before the next row is touched
        job.set_progress((row + 1) / total, f"row {row + 1}")
    return total - start
