"""The service that the Conduit benchmarks run: one job that does nothing."""

from __future__ import annotations

import conduit

worker = conduit.Worker("bench", concurrency=100)


@worker.task
async def noop() -> None:
    """Do nothing."""
