"""A worker with nothing to do, which nobody misses when it is frozen, stopped or killed."""

from __future__ import annotations

import conduit

worker = conduit.Worker("idle", queues=["nothing"])


@worker.task(queue="nothing")
async def rest() -> None:
    """Nobody ever asks for it."""
