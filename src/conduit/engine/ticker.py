"""The ticker: turns due ticks of schedules into jobs.

Every worker tries every tick, and the queue lets exactly one through: no leader, no chain of jobs
that plan each other and can break.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from conduit.core.errors import QueueError, QueueUnavailableError
from conduit.core.schedule import due_ticks
from conduit.engine.backoff import Outage, Voice
from conduit.engine.function import Cron
from conduit.queue.base import Queue, Tick

logger = logging.getLogger("conduit.engine")

MAX_SLEEP_S = 15.0
"""The longest sleep between looks at the store's clock, which may be set."""


async def tick_forever(
    queue: Queue,
    crons: Sequence[Cron],
    on_unknown: Callable[[], None] = lambda: None,
    voice: Voice | None = None,
) -> None:
    """Submit the jobs of due ticks; returns only by being cancelled.

    `on_unknown` is called when the queue lacks one of the schedules, as after a flush.
    """
    if not crons:
        await asyncio.Event().wait()
    outage = Outage(voice)
    marks: dict[str, int] | None = None
    while True:
        try:
            if marks is None:
                marks = {info.name: info.last_tick for info in await queue.crons()}
            now = await queue.now()
            ticks = [
                tick for cron in crons for tick in _due(cron, marks.setdefault(cron.name, now), now)
            ]
            if ticks:
                won = await _submit(queue, ticks)
                marks.update((tick.cron, tick.at) for tick in ticks)
                if not won and (unknown := await _unknown(queue, crons)):
                    on_unknown()
                    for name in unknown:  # they begin anew, by the clock that is there now
                        del marks[name]
            upcoming = min(cron.schedule.next_after(now) for cron in crons)
            left_ms = upcoming - await queue.now()
            outage.over()
        except QueueUnavailableError as error:
            marks = None
            await outage.pause(error)
            continue
        await asyncio.sleep(min(MAX_SLEEP_S, max(0.0, left_ms / 1000)))


def _due(cron: Cron, last_tick: int, now: int) -> list[Tick]:
    fingerprint = cron.schedule.fingerprint()
    due = due_ticks(cron.schedule, last_tick=last_tick, now=now, catchup=cron.catchup)
    return [
        Tick(
            cron.name,
            fingerprint,
            at,
            cron.job(f"cron:{cron.name}:{fingerprint}:{at}"),
        )
        for at in due
    ]


async def _submit(queue: Queue, ticks: list[Tick]) -> bool:
    """Whether all of the ticks became jobs by this call; else they are someone else's, mostly."""
    try:
        return all(await queue.tick(ticks))
    except QueueUnavailableError:
        raise
    except QueueError:
        logger.exception("ticks were refused: %s", ", ".join(tick.job.id for tick in ticks))
        return False


async def _unknown(queue: Queue, crons: Sequence[Cron]) -> set[str]:
    """Names of the schedules that the queue doesn't know."""
    return {cron.name for cron in crons} - {info.name for info in await queue.crons()}
