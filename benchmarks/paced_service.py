"""The service of the dashboard's benchmark: a job that tells of its progress ten times a second."""

from __future__ import annotations

import asyncio

import conduit

STEPS = 20

worker = conduit.Worker("bench", concurrency=50)


@worker.task
async def paced(order: str, customer: str) -> str:
    """Take two seconds."""
    for step in range(STEPS):
        conduit.current_job().set_progress(step / STEPS, f"{order}: step {step} of {STEPS}")
        await asyncio.sleep(0.1)
    return f"{order} of {customer}"
