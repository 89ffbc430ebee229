"""Schedules follow who lives: of several definitions, the newest that a worker carries counts."""

from __future__ import annotations

import pytest

from conduit.core.crons import AHEAD_MS, TickOutcome
from conduit.core.model import CronInfo
from conduit.queue.base import ALIVE_MS, JobFilter, Queue, Registration, Retention
from tests.conformance.backends import Backend
from tests.conformance.builders import (
    HOUR,
    MINUTE,
    SECOND,
    a_cron,
    a_tick,
    a_worker,
    claim_one,
    complete,
    send,
    sweep_for,
)
from tests.conformance.history import Reader

SUBMITTED, REFUSED = TickOutcome.SUBMITTED, TickOutcome.REFUSED

OLD = a_cron(fingerprint="old")
NEW = a_cron(fingerprint="new")
"""Another rhythm."""
MOVED = a_cron(fingerprint="moved", rhythm="old", queue="other")
"""The rhythm of `OLD`, in another queue."""


async def start(queue: Queue, worker_id: str, *crons: CronInfo, name: str = "orders") -> None:
    """A worker of these schedules starts."""
    await queue.register(Registration(worker=a_worker(id=worker_id, name=name), crons=crons))


async def listed(queue: Queue) -> CronInfo:
    """The one schedule that there is."""
    (info,) = await queue.crons()
    return info


async def in_force(queue: Queue) -> str:
    return (await listed(queue)).fingerprint


async def test_the_newest_definition_is_in_force_while_older_workers_live(
    backend: Backend,
) -> None:
    queue = backend.queue
    await start(queue, "v1", OLD)
    await start(queue, "v2", NEW)
    backend.clock.advance(MINUTE)
    now = backend.clock.now
    assert await in_force(queue) == "new"
    assert await send(queue, a_tick(now, cron=OLD), a_tick(now, cron=NEW)) == [REFUSED, SUBMITTED]


async def test_a_restart_of_an_older_versions_worker_does_not_bring_it_in_force(
    queue: Queue,
) -> None:
    await start(queue, "v1a", OLD)
    await start(queue, "v1b", OLD)
    await start(queue, "v2", NEW)
    await queue.unregister("v1a")
    await start(queue, "v1c", OLD)
    assert await in_force(queue) == "new"


async def test_a_rollback_brings_the_older_definition_in_force_at_once(queue: Queue) -> None:
    await start(queue, "v1", OLD)
    await queue.unregister("v1")
    await start(queue, "v2", NEW)
    await start(queue, "v1-again", OLD)
    assert await in_force(queue) == "old"


async def test_a_canary_that_stops_leaves_the_older_definition_in_force(backend: Backend) -> None:
    queue = backend.queue
    await start(queue, "v1", OLD)
    await start(queue, "v2", NEW)
    backend.clock.advance(SECOND)
    await queue.unregister("v2")
    stopped = backend.clock.now
    info = await listed(queue)
    assert (info.fingerprint, info.last_tick, info.alive) == ("old", stopped, True)
    assert await send(queue, a_tick(stopped - 1, cron=OLD)) == [REFUSED]
    assert await send(queue, a_tick(stopped + 1, cron=OLD)) == [SUBMITTED]


async def test_a_canary_that_is_killed_gives_way_once_it_is_lost(backend: Backend) -> None:
    queue = backend.queue
    await start(queue, "v1", OLD)
    await start(queue, "v2", NEW)
    await sweep_for(
        backend,
        2 * MINUTE,
        beating=(
            "v1",
            "v2",
        ),
    )
    killed = backend.clock.now
    await sweep_for(backend, ALIVE_MS - 5 * SECOND, beating=("v1",))
    assert await in_force(queue) == "new"
    await sweep_for(backend, 10 * SECOND, beating=("v1",))
    info = await listed(queue)
    assert (info.fingerprint, info.last_tick) == ("old", killed)
    missed = a_tick(killed + MINUTE // 2, cron=OLD)  # nobody could run it until now
    assert await send(queue, missed) == [SUBMITTED]
    assert await in_force(queue) == "old"


async def test_a_tick_long_after_a_canary_was_killed_and_forgotten_is_not_lost(
    backend: Backend,
) -> None:
    queue = backend.queue
    await start(queue, "v1", OLD)
    await start(queue, "v2", NEW)
    await sweep_for(backend, HOUR + 2 * MINUTE, beating=("v1",))
    assert await in_force(queue) == "old"
    assert await send(queue, a_tick(backend.clock.now - SECOND, cron=OLD)) == [SUBMITTED]


async def test_a_canary_that_comes_back_is_in_force_again(backend: Backend) -> None:
    queue = backend.queue
    await start(queue, "v1", OLD)
    await start(queue, "v2", NEW)
    await sweep_for(backend, 4 * MINUTE, beating=("v1",))
    assert await in_force(queue) == "old"
    await queue.heartbeat("v2", 0)
    assert await in_force(queue) == "new"


async def test_an_outage_in_which_nobody_could_be_heard_of_changes_no_version(
    backend: Backend,
) -> None:
    queue = backend.queue
    await start(queue, "v1", OLD)
    await start(queue, "v2", NEW)
    began = (await listed(queue)).last_tick
    backend.clock.advance(HOUR)
    await queue.sweep(Retention())
    await queue.heartbeat("v1", 0)
    info = await listed(queue)
    assert (info.fingerprint, info.last_tick) == ("new", began)
    assert await send(queue, a_tick(began + HOUR, cron=NEW)) == [SUBMITTED]


async def test_a_tick_at_the_switch_happens_once_and_in_the_older_version(
    backend: Backend,
) -> None:
    queue = backend.queue
    await start(queue, "v1", OLD)
    backend.clock.advance(MINUTE)
    due = backend.clock.now
    backend.clock.advance(5)
    await start(queue, "v2", NEW)
    assert await send(queue, a_tick(due, cron=NEW), a_tick(due, cron=OLD)) == [REFUSED, SUBMITTED]
    assert await send(queue, a_tick(due, cron=OLD), a_tick(due, cron=NEW)) == [REFUSED, REFUSED]
    await complete(queue, await claim_one(queue))
    backend.clock.advance(MINUTE)
    later = backend.clock.now
    assert await send(queue, a_tick(later, cron=OLD), a_tick(later, cron=NEW)) == [
        REFUSED,
        SUBMITTED,
    ]


async def test_a_definition_of_the_same_rhythm_goes_on_from_the_mark(backend: Backend) -> None:
    queue = backend.queue
    await start(queue, "v1", OLD)
    began = backend.clock.now
    await queue.unregister("v1")
    backend.clock.advance(HOUR)
    await start(queue, "v2", MOVED)
    info = await listed(queue)
    assert (info.fingerprint, info.queue, info.last_tick) == ("moved", "other", began)
    assert await send(queue, a_tick(began + MINUTE, cron=OLD)) == [REFUSED]
    assert await send(queue, a_tick(began + MINUTE, cron=MOVED)) == [SUBMITTED]


async def test_nobodys_ticks_count_for_a_rhythm_that_comes_after_them(backend: Backend) -> None:
    queue = backend.queue
    await start(queue, "v1", OLD)
    await queue.unregister("v1")
    backend.clock.advance(HOUR)
    await start(queue, "v2", NEW)
    assert (await listed(queue)).last_tick == backend.clock.now


async def test_a_schedule_that_a_newer_version_dropped_lives_as_long_as_its_workers(
    backend: Backend,
) -> None:
    queue = backend.queue
    await start(queue, "v1", OLD)
    await start(queue, "v2")
    backend.clock.advance(MINUTE)
    assert await send(queue, a_tick(backend.clock.now, cron=OLD)) == [SUBMITTED]
    await queue.unregister("v1")
    assert await queue.crons() == []


async def test_a_dropped_schedule_goes_when_its_last_worker_is_lost(backend: Backend) -> None:
    queue = backend.queue
    await start(queue, "v1", OLD)
    await start(queue, "v2")
    await sweep_for(backend, 4 * MINUTE, beating=("v2",))
    assert await queue.crons() == []


async def test_a_schedule_whose_workers_are_all_gone_stays_and_says_so(backend: Backend) -> None:
    queue = backend.queue
    await start(queue, "v1", OLD)
    assert (await listed(queue)).alive
    await queue.unregister("v1")
    assert not (await listed(queue)).alive
    await start(queue, "v1-again", OLD)
    assert (await listed(queue)).alive


async def test_a_schedule_of_workers_that_were_killed_says_that_nobody_runs_it(
    backend: Backend,
) -> None:
    await start(backend.queue, "v1", OLD)
    backend.clock.advance(ALIVE_MS)
    assert not (await listed(backend.queue)).alive


async def test_a_schedule_that_moved_to_a_worker_of_another_name_goes_on_there(
    backend: Backend,
) -> None:
    queue = backend.queue
    await start(queue, "v1", OLD)
    began = backend.clock.now
    await start(queue, "x1", a_cron(fingerprint="old", worker="shop"), name="shop")
    await queue.unregister("v1")
    backend.clock.advance(SECOND)
    info = await listed(queue)
    assert (info.worker, info.last_tick, info.alive) == ("shop", began, True)
    await start(queue, "v2")  # of the name that has it no longer
    assert (await listed(queue)).worker == "shop"
    await start(queue, "x2", name="shop")
    await queue.unregister("x1")
    assert await queue.crons() == []


async def test_a_pause_holds_for_every_version(backend: Backend) -> None:
    queue = backend.queue
    await start(queue, "v1", OLD)
    await queue.pause_cron("nightly", paused=True)
    await start(queue, "v2", NEW)
    await queue.unregister("v2")
    assert (await listed(queue)).paused


# --- pauses --------------------------------------------------------------------------------------


@pytest.mark.parametrize("lives", [True, False], ids=["a worker lives", "nobody lives"])
async def test_no_tick_of_a_pause_runs_after_it_whoever_lives(
    backend: Backend, *, lives: bool
) -> None:
    queue = backend.queue
    await start(queue, "v1", OLD)
    await queue.pause_cron("nightly", paused=True)
    if not lives:
        await queue.unregister("v1")
    backend.clock.advance(HOUR)
    await queue.pause_cron("nightly", paused=False)
    resumed = backend.clock.now
    await start(queue, "v1-again", OLD)
    assert (await listed(queue)).last_tick == resumed
    assert await send(queue, a_tick(resumed, cron=OLD)) == [REFUSED]
    assert await send(queue, a_tick(resumed + 1, cron=OLD)) == [SUBMITTED]


async def test_a_resume_of_what_is_not_paused_lets_no_tick_pass(backend: Backend) -> None:
    queue = backend.queue
    await start(queue, "v1", OLD)
    backend.clock.advance(MINUTE)
    await queue.pause_cron("nightly", paused=False)
    assert await send(queue, a_tick(backend.clock.now, cron=OLD)) == [SUBMITTED]


# --- clocks that were wrong ----------------------------------------------------------------------


async def test_a_mark_far_ahead_of_the_clock_is_set_back_to_now_once(backend: Backend) -> None:
    queue = backend.queue
    backend.clock.advance(HOUR)
    await start(queue, "v1", OLD)
    ahead = backend.clock.now
    backend.clock.advance(-HOUR)
    await queue.heartbeat("v1", 0)
    now = backend.clock.now
    assert await send(queue, a_tick(now, cron=OLD)) == [REFUSED]
    assert await queue.rewind_cron("nightly")
    assert not await queue.rewind_cron("nightly")
    assert (await listed(queue)).last_tick == now
    assert await send(queue, a_tick(now + 1, cron=OLD)) == [SUBMITTED]
    entries = await Reader().read(queue)
    rewound = [r for e in entries for r in e.entry.reports if r.kind == "cron.rewound"]
    assert [(each.subject, bytes(each.data)) for each in rewound] == [
        ("nightly", b'{"tick":%d}' % ahead)
    ]


async def test_a_mark_a_little_ahead_of_the_clock_is_waited_for(backend: Backend) -> None:
    queue = backend.queue
    await start(queue, "v1", OLD)
    began = backend.clock.now
    backend.clock.advance(-AHEAD_MS)
    assert not await queue.rewind_cron("nightly")
    assert (await listed(queue)).last_tick == began
    assert not await queue.rewind_cron("nobody")


async def test_a_worker_that_was_heard_of_ahead_of_the_clock_is_lost_in_time(
    backend: Backend,
) -> None:
    queue = backend.queue
    backend.clock.advance(HOUR)
    await start(queue, "v1", OLD)
    await start(queue, "v2", NEW)
    backend.clock.advance(-HOUR)
    await sweep_for(backend, 4 * MINUTE, beating=("v1",))
    assert [worker.id for worker in await queue.workers()] == ["v1"]
    assert await in_force(queue) == "old"


async def test_a_tick_that_a_wrong_clock_brings_again_is_another_job(backend: Backend) -> None:
    queue = backend.queue
    await start(queue, "v1", OLD)
    backend.clock.advance(HOUR)
    at = backend.clock.now
    await send(queue, a_tick(at, cron=OLD))
    await complete(queue, await claim_one(queue))
    backend.clock.advance(-HOUR)
    assert await queue.rewind_cron("nightly")
    backend.clock.advance(HOUR)
    assert await send(queue, a_tick(at, cron=OLD)) == [SUBMITTED]
    assert (await queue.find(JobFilter())).total == 2
