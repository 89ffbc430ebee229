"""The ticker: turns due ticks of schedules into jobs.

Every worker tries every tick of the definitions that it carries and that are in force, and the
queue lets exactly one through: no leader, no chain of jobs that plan each other and can break.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from itertools import groupby
from operator import attrgetter

from msgspec import structs

from conduit.core.crons import AHEAD_MS, REFUSED, Tick, Ticked, TickOutcome
from conduit.core.errors import (
    JobNotFoundError,
    QueueError,
    QueueUnavailableError,
    SubmitRefusedError,
)
from conduit.core.model import NewJob
from conduit.core.schedule import Catchup, due_ticks
from conduit.engine.attempts.function import Cron
from conduit.engine.outage import Outage, Voice
from conduit.queue.base import Queue, Submitted
from conduit.submission import NO_MIDDLEWARE, Origin, Passage

logger = logging.getLogger("conduit.engine")

MAX_SLEEP_S = 15.0
"""The longest sleep between looks at the store's clock, which may be set, and at what is
in force."""
UNKNOWN_S = 1.0
"""So soon a schedule is looked for again that the queue has forgotten."""
CERTAIN_S = 20.0
"""For so long a mark has to be ahead of the store's clock before it is set back: it may be that
clock that is wrong, for a moment."""


async def tick_forever(
    queue: Queue,
    crons: Sequence[Cron],
    on_unknown: Callable[[], None] = lambda: None,
    voice: Voice | None = None,
    passage: Passage = NO_MIDDLEWARE,
) -> None:
    """Submit the jobs of due ticks; returns only by being cancelled.

    `on_unknown` is called when the queue lacks one of the schedules, as after a flush.
    """
    if not crons:
        await asyncio.Event().wait()
    outage = Outage(voice)
    ticker = _Ticker(queue, crons, on_unknown, passage)
    while True:
        try:
            await ticker.turn()
            outage.over()
            await ticker.rest()
        except QueueUnavailableError as error:
            ticker.look_again()
            await outage.pause(error)


class _Ticker:
    """What one worker knows of its schedules, between one turn and the next."""

    def __init__(
        self,
        queue: Queue,
        crons: Sequence[Cron],
        on_unknown: Callable[[], None],
        passage: Passage,
    ) -> None:
        self._queue = queue
        self._crons = crons
        self._on_unknown = on_unknown
        self._passage = passage
        self._failing: set[str] = set()  # schedules of which a middleware has raised something
        self._time = asyncio.get_running_loop().time
        self._look_at = 0.0
        self._now = 0
        self._settled: dict[str, int] = {}  # up to which tick, for those that are in force
        self._awaited: dict[str, str] = {}  # the jobs that ticks wait for
        self._ahead: dict[str, float] = {}  # since when a mark was seen ahead of the clock

    def look_again(self) -> None:
        """Trust nothing that was known."""
        self._look_at = 0.0

    async def turn(self) -> None:
        """Do what is due now."""
        if self._time() >= self._look_at:
            await self._look()
        self._now = await self._queue.now()
        await self._rewind_marks()
        ticks = self._all_due()
        if any(tick.passed or tick.job is None for tick in ticks):
            # Others may have seen to those while this loop was blocked: they weren't missed then.
            await self._look()
            ticks = self._all_due()
        if ticks and not await self._send(ticks):
            await self._look()

    async def rest(self) -> None:
        """Sleep until there may be something to do again."""
        ticking = (cron for cron in self._crons if cron.name in self._settled)
        upcoming = min((c.schedule.next_after(self._now) for c in ticking), default=math.inf)
        left = (upcoming - await self._queue.now()) / 1000
        left = min(MAX_SLEEP_S, left, self._look_at - self._time())
        if self._ahead:
            left = min(left, min(self._ahead.values()) + CERTAIN_S - self._time())
        if self._awaited and left > 0:
            with suppress(JobNotFoundError):  # then it has ended as well
                await self._queue.wait_finished([*self._awaited.values()], left)
        else:
            await asyncio.sleep(max(0.0, left))

    async def _look(self) -> None:
        """Learn which of our definitions are in force, and how far they have ticked."""
        found = {info.name: info for info in await self._queue.crons()}
        self._settled = {
            cron.name: found[cron.name].last_tick
            for cron in self._crons
            if cron.name in found and found[cron.name].fingerprint == cron.fingerprint
        }
        self._awaited = {name: job for name, job in self._awaited.items() if name in self._settled}
        self._look_at = math.inf
        if len(self._settled) < len(self._crons):
            self._look_at = self._time() + MAX_SLEEP_S
        if any(cron.name not in found for cron in self._crons):
            self._look_at = self._time() + UNKNOWN_S
            self._on_unknown()

    async def _rewind_marks(self) -> None:
        """Set back the marks of a clock that was ahead, once it is certain that it was."""
        limit, time = self._now + AHEAD_MS, self._time()
        ahead = [name for name, settled in self._settled.items() if settled > limit]
        self._ahead = {name: self._ahead.get(name, time) for name in ahead}
        certain = [name for name, since in self._ahead.items() if time - since >= CERTAIN_S]
        for name in certain:
            if await self._queue.rewind_cron(name):
                logger.warning(
                    "schedule %r had ticked up to %s, far ahead of the queue's clock, which was "
                    "wrong then; the schedule goes on from now",
                    name,
                    _words(self._settled[name]),
                )
        if certain:
            await self._look()

    def _all_due(self) -> list[Tick]:
        ticking = (cron for cron in self._crons if cron.name in self._settled)
        return [tick for cron in ticking for tick in self._due(cron)]

    def _due(self, cron: Cron) -> list[Tick]:
        # Of the ticks that waited for a job's end the newest is left.
        catchup = Catchup.ONE if cron.name in self._awaited else cron.catchup
        settled = self._settled[cron.name]
        due = due_ticks(cron.schedule, last_tick=settled, now=self._now, catchup=catchup)
        if due.passed and not due.fire:
            return [Tick(cron.name, cron.fingerprint, due.upto, None, due.passed - 1)]
        return [
            Tick(cron.name, cron.fingerprint, at, cron.job(at), 0 if number else due.passed)
            for number, at in enumerate(due.fire)
        ]

    async def _send(self, ticks: list[Tick]) -> bool:
        """Settle ticks. False: one of them wasn't ours to settle."""
        if self._passage.is_bare:
            return self._settle(ticks, await self._tick(ticks))
        ours = True  # by schedules, so that what refuses one doesn't hold up the others
        for _, of_one in groupby(ticks, key=attrgetter("cron")):
            ours = await self._send_through([*of_one]) and ours
        return ours

    async def _tick(self, ticks: Sequence[Tick]) -> list[Ticked]:
        try:
            return await self._queue.tick(ticks)
        except QueueUnavailableError:
            raise
        except QueueError:
            logger.exception("ticks were refused: %s", ", ".join(map(_shown, ticks)))
            return [REFUSED] * len(ticks)

    async def _send_through(self, ticks: list[Tick]) -> bool:
        """Settle the ticks of one schedule, whose jobs pass the middleware.

        Ticks that a middleware refuses are let pass. What else it raises is told once, and the
        ticks are tried again: nothing is lost to what goes over.
        """
        answers: list[Ticked] = []
        cron = ticks[0].cron

        async def send(jobs: Sequence[NewJob]) -> list[Submitted | None]:
            sent = [structs.replace(tick, job=job) for tick, job in zip(ticks, jobs, strict=True)]
            answers[:] = await self._tick(sent)
            return [_submitted(tick, answer) for tick, answer in zip(sent, answers, strict=True)]

        jobs = [tick.job for tick in ticks if tick.job is not None]
        if len(jobs) < len(ticks):
            return self._settle(ticks, await self._tick(ticks))
        try:
            await self._passage.submit(Origin.SCHEDULE, jobs, send)
        except QueueUnavailableError:
            raise
        except SubmitRefusedError as error:
            if not answers:
                logger.warning("%s is let pass: %s", ", ".join(map(_shown, ticks)), error)
                answers = await self._tick([structs.replace(tick, job=None) for tick in ticks])
                return self._settle(ticks, answers, say=False)
        except Exception:
            if cron not in self._failing:
                logger.exception(
                    "a submit middleware failed for schedule %r; its ticks are tried again", cron
                )
            self._failing.add(cron)
            if not answers:
                return True
        else:
            self._failing.discard(cron)
        return self._settle(ticks, answers)

    def _settle(self, ticks: list[Tick], answers: list[Ticked], *, say: bool = True) -> bool:
        """Note what became of ticks. False: one of them wasn't ours to settle."""
        for tick, answer in zip(ticks, answers, strict=True):
            if say:
                _say(tick, answer, waited=tick.cron in self._awaited)
            if answer.outcome is TickOutcome.WAITS:
                self._awaited[tick.cron] = answer.last_job
            else:
                self._awaited.pop(tick.cron, None)
                self._settled[tick.cron] = tick.at
        return all(answer.outcome is not TickOutcome.REFUSED for answer in answers)


def _counted(ticks: int) -> tuple[str, str, str]:
    return ("1 tick", "was", "is") if ticks == 1 else (f"{ticks} ticks", "were", "are")


def _say(tick: Tick, answer: Ticked, *, waited: bool) -> None:
    """Log what became no job: by the one worker whose call decided it, and once per streak."""
    match answer.outcome:
        case TickOutcome.SUBMITTED if tick.passed:
            ticks, were, are = _counted(tick.passed)
            logger.warning(
                "%s of schedule %r %s and %s skipped; that of %s runs",
                ticks,
                tick.cron,
                "passed while one waited" if waited else f"{were} missed",
                are,
                _words(tick.at),
            )
        case TickOutcome.SUBMITTED if answer.skipped:
            logger.info(
                "schedule %r ticks again; job %s has ended, and %s %s skipped meanwhile",
                tick.cron,
                answer.last_job,
                *_counted(answer.skipped)[:2],
            )
        case TickOutcome.SKIPPED if tick.job is None:
            ticks, were, are = _counted(tick.passed + 1)
            logger.warning(
                "%s of schedule %r %s missed and %s skipped, the last one that of %s",
                ticks,
                tick.cron,
                were,
                are,
                _words(tick.at),
            )
        case TickOutcome.SKIPPED if answer.skipped == 1:
            logger.warning(
                "the tick of schedule %r is skipped: job %s of an earlier one is unfinished; so "
                "are the next ones until it has ended (overlap)",
                tick.cron,
                answer.last_job,
            )
        case _:
            pass


def _submitted(tick: Tick, answer: Ticked) -> Submitted | None:
    if tick.job is None or answer.outcome is not TickOutcome.SUBMITTED:
        return None
    return Submitted(tick.job.id)


def _shown(tick: Tick) -> str:
    return f"{tick.cron} at {_words(tick.at)}"


def _words(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(" ", "seconds")
