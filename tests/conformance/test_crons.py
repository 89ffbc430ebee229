"""register's crons, tick, pause_cron: each tick becomes one job, whoever looks at the clock."""

from __future__ import annotations

import asyncio

from msgspec import structs

from conduit.core.crons import TickOutcome
from conduit.queue.base import JobFilter, Queue, Registration
from tests.conformance.backends import Backend
from tests.conformance.builders import (
    MINUTE,
    a_cron,
    a_tick,
    a_worker,
    claim_one,
    get,
    send,
)
from tests.conformance.history import Reader

SUBMITTED, PAUSED, REFUSED = TickOutcome.SUBMITTED, TickOutcome.PAUSED, TickOutcome.REFUSED


async def register(queue: Queue, *crons: object, **worker: object) -> None:
    await queue.register(Registration(worker=a_worker(**worker), crons=crons))  # pyright: ignore[reportArgumentType]


async def mark_of(queue: Queue, name: str = "nightly") -> int:
    return next(cron.last_tick for cron in await queue.crons() if cron.name == name)


async def stored(queue: Queue) -> int:
    return (await queue.find(JobFilter())).total


async def test_a_new_cron_starts_now(backend: Backend) -> None:
    cron = a_cron(timezone="Europe/Zurich", catchup="one", queue="other")
    await register(backend.queue, cron)
    (listed,) = await backend.queue.crons()
    assert listed == structs.replace(cron, last_tick=backend.clock.now, alive=True)


async def test_crons_are_listed_by_name(queue: Queue) -> None:
    await register(queue, a_cron("b"), a_cron("a"), a_cron("c"))
    assert [cron.name for cron in await queue.crons()] == ["a", "b", "c"]


async def test_a_known_cron_keeps_its_mark_and_its_pause(backend: Backend) -> None:
    queue = backend.queue
    await register(queue, a_cron())
    began = backend.clock.now
    await queue.pause_cron("nightly", paused=True)
    backend.clock.advance(MINUTE)
    renamed = a_cron(function="renamed", fingerprint="f2", rhythm="f1")
    await register(queue, renamed, id="w2")
    (cron,) = await queue.crons()
    assert (cron.last_tick, cron.paused, cron.function) == (began, True, "renamed")


async def test_a_changed_cron_ticks_from_now_and_stays_paused(backend: Backend) -> None:
    queue = backend.queue
    await register(queue, a_cron())
    await queue.pause_cron("nightly", paused=True)
    backend.clock.advance(MINUTE)
    await register(queue, a_cron(fingerprint="f2"))
    (cron,) = await queue.crons()
    assert (cron.last_tick, cron.fingerprint) == (backend.clock.now, "f2")
    assert cron.paused


async def test_crons_that_a_worker_no_longer_has_are_dropped(queue: Queue) -> None:
    await register(queue, a_cron("a"), a_cron("b"))
    await queue.register(
        Registration(
            worker=a_worker(id="x1", name="other"), crons=(a_cron("theirs", worker="other"),)
        )
    )
    await queue.unregister("w1")
    await register(queue, a_cron("b"), id="w2")
    assert [cron.name for cron in await queue.crons()] == ["b", "theirs"]


async def test_crons_stay_known_when_their_worker_stops(queue: Queue) -> None:
    await register(queue, a_cron())
    await queue.unregister("w1")
    assert [cron.name for cron in await queue.crons()] == ["nightly"]


async def test_a_due_tick_becomes_a_job(backend: Backend) -> None:
    queue = backend.queue
    await register(queue, a_cron())
    backend.clock.advance(MINUTE)
    tick = a_tick(backend.clock.now, args=b'{"n":1}')
    assert await send(queue, tick) == [SUBMITTED]
    assert (await claim_one(queue)).id == tick.job.id
    assert (await get(queue, tick.job.id)).args == b'{"n":1}'
    assert await mark_of(queue) == backend.clock.now


async def test_a_tick_happens_once_among_two_processes(backend: Backend) -> None:
    second = await backend.second()
    allowed = a_cron(overlap="allow")
    await register(backend.queue, allowed)
    for minute in range(1, 11):
        backend.clock.advance(MINUTE)
        answers = await asyncio.gather(
            *(
                send(each, a_tick(backend.clock.now, cron=allowed))
                for each in (backend.queue, second) * 3
            )
        )
        assert sorted(outcome for (outcome,) in answers) == [REFUSED] * 5 + [SUBMITTED]
        assert await stored(backend.queue) == minute


async def test_a_tick_sent_again_is_not_a_second_job(backend: Backend) -> None:
    queue = backend.queue
    await register(queue, a_cron())
    backend.clock.advance(MINUTE)
    tick = a_tick(backend.clock.now)
    assert await send(queue, tick, tick) == [SUBMITTED, REFUSED]
    assert await send(queue, tick) == [REFUSED]
    assert await stored(queue) == 1


async def test_ticks_at_or_before_the_mark_were_someone_elses(backend: Backend) -> None:
    queue = backend.queue
    await register(queue, a_cron())
    began = backend.clock.now
    backend.clock.advance(10 * MINUTE)
    now = backend.clock.now
    outcomes = await send(queue, a_tick(began), a_tick(now), a_tick(now - MINUTE))
    assert outcomes == [REFUSED, SUBMITTED, REFUSED]
    assert await mark_of(queue) == now


async def test_missed_ticks_can_be_caught_up_in_order(backend: Backend) -> None:
    queue = backend.queue
    allowed = a_cron(overlap="allow")
    await register(queue, allowed)
    began = backend.clock.now
    backend.clock.advance(3 * MINUTE)
    ticks = [a_tick(began + n * MINUTE, cron=allowed) for n in (1, 2, 3)]
    assert await send(queue, *ticks) == [SUBMITTED] * 3
    jobs = [tick.job for tick in ticks if tick.job]
    assert [job is not None for job in await queue.get([job.id for job in jobs])] == [True] * 3


async def test_a_tick_of_another_fingerprint_or_cron_is_refused(backend: Backend) -> None:
    queue = backend.queue
    await register(queue, a_cron())
    began = backend.clock.now
    backend.clock.advance(MINUTE)
    now = backend.clock.now
    old, nobodys = a_cron(fingerprint="old"), a_cron("nobody")
    outcomes = await send(queue, a_tick(now, cron=old), a_tick(now, cron=nobodys))
    assert outcomes == [REFUSED] * 2
    assert await stored(queue) == 0
    assert await mark_of(queue) == began


async def test_schedules_do_not_share_their_marks(backend: Backend) -> None:
    queue = backend.queue
    crons = a_cron("a"), a_cron("b")
    await register(queue, *crons)
    backend.clock.advance(MINUTE)
    ticks = [a_tick(backend.clock.now, cron=cron) for cron in crons]
    assert await send(queue, *ticks) == [SUBMITTED, SUBMITTED]


async def test_a_paused_schedule_advances_and_makes_no_job(backend: Backend) -> None:
    queue = backend.queue
    await register(queue, a_cron())
    assert await queue.pause_cron("nightly", paused=True)
    backend.clock.advance(MINUTE)
    missed = a_tick(backend.clock.now)
    assert await send(queue, missed) == [PAUSED]
    assert await stored(queue) == 0
    assert await mark_of(queue) == backend.clock.now

    assert await queue.pause_cron("nightly", paused=False)
    assert await send(queue, missed) == [REFUSED]
    backend.clock.advance(MINUTE)
    assert await send(queue, a_tick(backend.clock.now)) == [SUBMITTED]
    assert await stored(queue) == 1


async def test_an_unknown_schedule_cannot_be_paused(queue: Queue) -> None:
    assert not await queue.pause_cron("nobody", paused=True)


async def test_a_won_tick_is_reported_in_the_event_stream(backend: Backend) -> None:
    queue = backend.queue
    await register(queue, a_cron())
    backend.clock.advance(MINUTE)
    await queue.tick([a_tick(backend.clock.now), a_tick(backend.clock.now)])
    entries = await Reader().read(queue)
    ticked = [r for e in entries for r in e.entry.reports if r.kind == "cron.ticked"]
    assert [(report.subject, report.at) for report in ticked] == [("nightly", backend.clock.now)]


async def test_marks_survive_a_reopen(backend: Backend) -> None:
    await register(backend.queue, a_cron())
    backend.clock.advance(MINUTE)
    tick = a_tick(backend.clock.now)
    await backend.queue.tick([tick])
    queue = await backend.reopen()
    assert await send(queue, tick) == [REFUSED]
