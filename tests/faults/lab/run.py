"""One run, from its start to its verdict."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from conduit.queue import Queue, open_queue
from tests.faults.lab import visitor
from tests.faults.lab.checker import Complaint, check
from tests.faults.lab.evidence import (
    Evidence,
    Stream,
    ask_totals,
    broken_by,
    gather,
    is_idle,
    logs_of,
    losses_of,
    newest_change,
    until_finished,
    until_told,
)
from tests.faults.lab.faults import Strike
from tests.faults.lab.figures import Figures, figures_of
from tests.faults.lab.listener import Listener
from tests.faults.lab.nemesis import Nemesis
from tests.faults.lab.scenarios import Scenario
from tests.faults.lab.stores import HISTORIES, PAIRS, QUEUES
from tests.faults.lab.system import System
from tests.servers.process import until

_LOOK_S = 0.02
_SETTLING_S = 120.0
"""So much of a scenario's patience is kept for what comes after the last fault."""
_STOP_S = 30.0
_HEARING_S = 30.0
_COMPLAINTS = 20


class Verdict(Struct, frozen=True, kw_only=True):
    """What came of a run. It is `void` where too little happened to prove anything."""

    scenario: str
    pair: str
    seed: int
    took_s: float
    phases: Mapping[str, float]
    """Seconds until all was submitted, finished, and told by the history."""
    figures: Figures
    strikes: Sequence[Strike]
    complaints: Sequence[Complaint]
    void: Sequence[str]
    begun_at: int
    logs: str

    @property
    def holds(self) -> bool:
        """Whether all held, and that means something."""
        return not self.complaints and not self.void

    @property
    def word(self) -> str:
        """The verdict."""
        return "holds" if self.holds else "FAILS" if self.complaints else "is VOID"

    def __str__(self) -> str:
        lines = [
            f"{self.scenario} on {self.pair}, seed {self.seed}: {self.word} "
            f"({self.took_s:.0f} s: {_spans(self.phases)})",
            str(self.figures),
        ]
        if not self.holds:
            lines += [
                f"  {(each.at - self.begun_at) / 1000:6.2f} s {each}" for each in self.strikes
            ]
            lines += [f"VOID {each}" for each in self.void]
            lines += [f"WRONG {each}" for each in self.complaints[:_COMPLAINTS]]
            if more := len(self.complaints) - _COMPLAINTS:
                lines += [f"WRONG and {more} more"] if more > 0 else []
        return "\n".join(lines)


def _spans(phases: Mapping[str, float]) -> str:
    return ", ".join(f"{name} after {seconds:.1f} s" for name, seconds in phases.items())


class Watch(Protocol):
    """Somebody who looks on."""

    async def watch(self, system: System) -> None:
        """Look on until cancelled."""

    async def look_at_the_end(self, system: System) -> None:
        """Look at the stores once the evidence has been taken."""


async def run(
    scenario: Scenario,
    *,
    pair: str,
    seed: int,
    folder: Path,
    watch: Watch | None = None,
) -> Verdict:
    """Start everything in `folder`, do harm, let it settle, and judge."""
    begun_at, begun = time.time_ns() // 1_000_000, time.monotonic()
    queue, history = PAIRS[pair]
    with ExitStack() as stack:
        queue_store = await asyncio.to_thread(stack.enter_context, QUEUES[queue](folder))
        history_store = await asyncio.to_thread(stack.enter_context, HISTORIES[history](folder))
        system = System(
            folder,
            queue_store,
            history_store,
            workers=scenario.workers,
            servers=scenario.servers,
            concurrency=scenario.concurrency,
            due_at=time.time() + scenario.due_after_s,
            wears_out=scenario.wears_out,
            sets_clocks=scenario.sets_clocks,
            orders=[
                [scenario.draw, *map(str, (seed, number, scenario.jobs, scenario.rate))]
                for number in range(scenario.submitters)
            ],
            acts=[[str(seed), "yes" if queue_store.forgets_s is None else "no"]]
            if scenario.front_door
            else (),
            families=[[str(seed), f"family{number}"] for number in range(scenario.families)],
        )
        stack.callback(system.end)
        await asyncio.to_thread(system.start, servers_first=scenario.servers_first)
        if scenario.busy_first:
            busy = partial(until, system.busy_workers, "the workers are busy")
            await asyncio.to_thread(busy)
        phases: dict[str, float] = {}
        nemesis = Nemesis(system, scenario.planned(seed, queue_store, history_store))
        watching = asyncio.create_task(watch.watch(system)) if watch else None
        evidence = await _carry_out(scenario, system, nemesis, phases)
        if watch and watching:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            await watch.look_at_the_end(system)
    figures = figures_of(evidence)
    return Verdict(
        scenario=scenario.name,
        pair=pair,
        seed=seed,
        took_s=time.monotonic() - begun,
        phases=phases,
        figures=figures,
        strikes=nemesis.strikes,
        complaints=check(evidence),
        void=figures.shortfalls(scenario.floors_on(queue_store, history_store)),
        begun_at=begun_at,
        logs=logs_of(folder),
    )


async def _carry_out(
    scenario: Scenario, system: System, nemesis: Nemesis, phases: dict[str, float]
) -> Evidence:
    begun = time.monotonic()
    deadline = time.monotonic() + scenario.patience_s
    tending = asyncio.create_task(_tend(system, nemesis))
    stream = Stream()
    helpers = [tending]
    if scenario.has_many_entries:
        helpers.append(asyncio.create_task(stream.follow(system.queue.direct_url)))
    listener, heard = Listener(system.server_urls), None
    if scenario.front_door:
        helpers.append(asyncio.create_task(listener.follow()))

    def goes_on(kept_s: float = 0.0) -> bool:
        if tending.done():
            tending.result()
        return time.monotonic() < deadline - kept_s

    try:
        # Until all has been struck there is work: else nobody would be there to be struck.
        while not nemesis.is_through and goes_on(_SETTLING_S):  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_S)
        system.say_enough()
        while not system.all_is_submitted and goes_on():  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_S)
        nemesis.stop()
        while not nemesis.has_stopped and goes_on():  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_S)
        phases["submitted"] = time.monotonic() - begun
        async with open_queue(system.queue.direct_url) as queue:
            ended_at = await _pause_schedules(queue) + system.ahead_ms
            await asyncio.to_thread(system.see_the_guest_off)
            if not await is_idle(queue, visitor.QUEUE):  # nobody else runs what it has left
                await asyncio.to_thread(system.guest.start)
            await until_finished(queue, deadline - time.monotonic())
            phases["finished"] = time.monotonic() - begun
            await until_told(
                queue,
                system.history.direct_url,
                deadline - time.monotonic(),
                letters=broken_by(nemesis.strikes),
                lost=bool(losses_of(system, nemesis.strikes)),
            )
            phases["told"] = time.monotonic() - begun
        if scenario.front_door:
            heard = await listener.heard(await newest_change(system.history.direct_url), _HEARING_S)
        totals = await asyncio.to_thread(ask_totals, system)
    finally:
        for helper in helpers:
            helper.cancel()
        await asyncio.gather(*helpers, return_exceptions=True)
    ours = [*system.workers, *system.worn, system.guest, *system.callers, *system.servers]
    await asyncio.to_thread(system.stop, ours, _STOP_S)
    return await gather(
        system,
        stream,
        nemesis.strikes,
        ended_at=ended_at,
        totals=totals,
        heard=heard,
        heals=scenario.heals,
    )


async def _tend(system: System, nemesis: Nemesis) -> None:
    """Let the faults come and go, and start again what has ended."""
    while True:
        await asyncio.to_thread(nemesis.act)
        await asyncio.to_thread(system.look_after)
        await asyncio.sleep(_LOOK_S)


async def _pause_schedules(queue: Queue) -> int:
    """Let no more jobs come of schedules; since when."""
    for cron in await queue.crons():
        await queue.pause_cron(cron.name, paused=True)
    return await queue.now()
