"""The sweeper: one worker at a time keeps the queue tidy."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress

from conduit import telemetry
from conduit.core.errors import QueueUnavailableError
from conduit.engine.outage import Outage, Voice
from conduit.queue.base import Queue, Retention, SweepReport

INTERVAL_S = 1.0
LOCK = "sweeper"
LOCK_MS = 5_000


async def sweep_forever(
    queue: Queue, worker_id: str, retention: Retention | None = None, voice: Voice | None = None
) -> None:
    """Sweep every second while this worker holds the lock, at once while there is more to do.

    The lock only spares the others the work: sweeping twice at once would be harmless. It outlives
    its holder by 5 s, well within a lease, so a killed sweeper delays no rescue.
    """
    token = secrets.token_hex(16)
    loop = asyncio.get_running_loop()
    outage = Outage(voice)
    renew_at = 0.0
    try:
        while True:
            try:
                held = loop.time() < renew_at or await queue.lock(LOCK, token, LOCK_MS)
                if held and loop.time() >= renew_at:
                    renew_at = loop.time() + LOCK_MS / 2000
                began = loop.time()
                report = await queue.sweep(retention or Retention()) if held else None
                if report is not None and telemetry.listeners:
                    _tell(worker_id, report, loop.time() - began)
                outage.over()
            except QueueUnavailableError as error:
                renew_at = 0.0
                await outage.pause(error)
                continue
            if report is None or not report.more:
                await asyncio.sleep(INTERVAL_S)
    finally:
        with suppress(QueueUnavailableError):  # then it expires by itself
            await asyncio.shield(queue.unlock(LOCK, token))


def _tell(worker_id: str, report: SweepReport, took_s: float) -> None:
    telemetry.tell(
        telemetry.Sweep(
            worker=worker_id,
            promoted=report.promoted,
            expired=report.expired,
            rescued=report.rescued,
            failed=report.failed,
            purged=report.purged,
            took_s=took_s,
        )
    )
    if report.rescued or report.failed:
        telemetry.tell(
            telemetry.Rescue(worker=worker_id, rescued=report.rescued, failed=report.failed)
        )
