"""What becomes of a tick while the job of the last one is unfinished; and what is said of it."""

from __future__ import annotations

import json

import pytest

from conduit.core.crons import Tick, TickOutcome
from conduit.core.events import Report
from conduit.core.model import JobError
from conduit.core.transitions import OutcomeKind
from conduit.queue.base import JobFilter, Queue, Registration
from tests.conformance.backends import Backend
from tests.conformance.builders import (
    MINUTE,
    a_cron,
    a_tick,
    a_worker,
    claim_one,
    complete,
    finish,
    send,
    submit,
)
from tests.conformance.history import Reader

SUBMITTED, SKIPPED, WAITS = TickOutcome.SUBMITTED, TickOutcome.SKIPPED, TickOutcome.WAITS


async def schedule(queue: Queue, **options: object) -> None:
    """Register the schedule `nightly`."""
    await queue.register(Registration(worker=a_worker(), crons=(a_cron(**options),)))


def tick_now(backend: Backend, **options: object) -> Tick:
    """A tick of it, a minute after the last one."""
    backend.clock.advance(MINUTE)
    return a_tick(backend.clock.now, **options)  # pyright: ignore[reportArgumentType]


async def reports(queue: Queue) -> list[tuple[str, dict[str, object]]]:
    """What was said of the schedule: kinds, without their dots' left part, and details."""
    found: list[Report] = [r for e in await Reader().read(queue) for r in e.entry.reports]
    return [
        (each.kind.partition(".")[2], json.loads(bytes(each.data)))
        for each in found
        if each.kind in ("cron.ticked", "cron.skipped")
    ]


async def stored(queue: Queue) -> int:
    return (await queue.find(JobFilter())).total


async def test_ticks_are_skipped_while_the_last_ones_job_is_unfinished_and_said_once(
    backend: Backend,
) -> None:
    queue = backend.queue
    await schedule(queue)
    first = tick_now(backend)
    assert await send(queue, first) == [SUBMITTED]
    assert first.job
    running = await claim_one(queue)
    skipped = [tick_now(backend) for _ in range(3)]
    for number, tick in enumerate(skipped, 1):
        (answer,) = await queue.tick([tick])
        assert (answer.outcome, answer.skipped) == (SKIPPED, number)
        assert answer.last_job == first.job.id
    assert await stored(queue) == 1
    (info,) = await queue.crons()
    assert (info.skipped, info.last_job) == (3, first.job.id)

    await complete(queue, running)
    last = tick_now(backend)
    (answer,) = await queue.tick([last])
    assert (answer.outcome, answer.skipped, answer.last_job) == (SUBMITTED, 3, first.job.id)
    (info,) = await queue.crons()
    assert last.job
    assert (info.skipped, info.last_job) == (0, last.job.id)
    assert await reports(queue) == [
        ("ticked", {"tick": first.at}),
        ("skipped", {"tick": skipped[0].at, "ticks": 1, "job": first.job.id}),
        ("ticked", {"tick": last.at, "skipped": 3}),
    ]


async def test_ticks_that_overlap_are_let_through_where_that_is_allowed(backend: Backend) -> None:
    queue = backend.queue
    await schedule(queue, overlap="allow")
    for number in range(1, 4):
        assert await send(queue, tick_now(backend)) == [SUBMITTED]
        assert await stored(queue) == number


async def test_a_queued_overlap_waits_and_of_several_the_newest_runs(backend: Backend) -> None:
    queue = backend.queue
    await schedule(queue, overlap="queue")
    await send(queue, tick_now(backend))
    running = await claim_one(queue)
    for _ in range(3):
        assert await send(queue, tick_now(backend)) == [WAITS]
    assert await stored(queue) == 1
    await complete(queue, running)
    newest = a_tick(backend.clock.now, passed=2)
    assert await send(queue, newest) == [SUBMITTED]
    assert await send(queue, tick_now(backend)) == [WAITS]
    assert [kind for kind, _ in await reports(queue)] == ["ticked", "ticked", "skipped"]


@pytest.mark.parametrize(
    "ended", [OutcomeKind.COMPLETE, OutcomeKind.FAIL, OutcomeKind.RETRY_LATER, OutcomeKind.RELEASE]
)
async def test_a_job_that_failed_is_over_and_one_that_is_tried_again_is_not(
    backend: Backend, ended: OutcomeKind
) -> None:
    queue = backend.queue
    await schedule(queue)
    await send(queue, tick_now(backend))
    error = None if ended is OutcomeKind.COMPLETE else JobError(type="Error", message="no")
    await finish(queue, await claim_one(queue), ended, error=error, delay_ms=10 * MINUTE)
    over = ended in (OutcomeKind.COMPLETE, OutcomeKind.FAIL)
    assert await send(queue, tick_now(backend)) == [SUBMITTED if over else SKIPPED]


async def test_a_job_that_waits_in_a_paused_queue_is_unfinished(backend: Backend) -> None:
    queue = backend.queue
    await schedule(queue)
    await queue.pause("default")
    assert await send(queue, tick_now(backend)) == [SUBMITTED]
    assert await send(queue, tick_now(backend)) == [SKIPPED]


async def test_a_job_that_was_cancelled_or_deleted_is_over(backend: Backend) -> None:
    queue = backend.queue
    await schedule(queue)
    first = tick_now(backend)
    await send(queue, first)
    assert first.job
    await queue.cancel([first.job.id], "enough")
    second = tick_now(backend)
    assert await send(queue, second) == [SUBMITTED]
    await complete(queue, await claim_one(queue))
    assert second.job
    await queue.delete([second.job.id])
    assert await send(queue, tick_now(backend)) == [SUBMITTED]


async def test_the_last_ticks_job_that_is_retried_by_hand_is_unfinished_again(
    backend: Backend,
) -> None:
    queue = backend.queue
    await schedule(queue)
    first = tick_now(backend)
    await send(queue, first)
    assert first.job
    await queue.cancel([first.job.id], "enough")
    await queue.retry([first.job.id])
    assert await send(queue, tick_now(backend)) == [SKIPPED]


async def test_a_job_that_was_triggered_by_hand_stands_in_no_ticks_way(backend: Backend) -> None:
    queue = backend.queue
    await schedule(queue)
    await submit(queue, function="task")
    assert await send(queue, tick_now(backend)) == [SUBMITTED]


async def test_a_newer_version_heeds_the_job_of_an_older_ones_tick(backend: Backend) -> None:
    queue = backend.queue
    await schedule(queue)
    await send(queue, tick_now(backend))
    await schedule(queue, fingerprint="f2")
    tick = tick_now(backend, cron=a_cron(fingerprint="f2"))
    assert await send(queue, tick) == [SKIPPED]


async def test_of_ticks_that_are_made_up_for_together_the_first_stands_in_the_others_way(
    backend: Backend,
) -> None:
    queue = backend.queue
    await schedule(queue)
    ticks = [tick_now(backend) for _ in range(3)]
    assert await send(queue, *ticks) == [SUBMITTED, SKIPPED, SKIPPED]
    assert await stored(queue) == 1


async def test_a_paused_schedule_neither_skips_nor_waits(backend: Backend) -> None:
    queue = backend.queue
    await schedule(queue, overlap="queue")
    await send(queue, tick_now(backend))
    await queue.pause_cron("nightly", paused=True)
    assert await send(queue, tick_now(backend)) == [TickOutcome.PAUSED]
    (info,) = await queue.crons()
    assert (info.last_tick, info.skipped) == (backend.clock.now, 0)


async def test_missed_ticks_that_pass_are_said_with_the_one_that_runs(backend: Backend) -> None:
    queue = backend.queue
    await schedule(queue)
    tick = tick_now(backend, passed=5)
    await send(queue, tick)
    assert await reports(queue) == [
        ("ticked", {"tick": tick.at}),
        ("skipped", {"tick": tick.at, "ticks": 5}),
    ]


async def test_missed_ticks_that_all_pass_move_the_mark_and_are_said_once(
    backend: Backend,
) -> None:
    queue = backend.queue
    await schedule(queue, catchup="skip")
    backend.clock.advance(MINUTE)
    passing = Tick("nightly", "f1", backend.clock.now, None, 4)
    assert await send(queue, passing, passing) == [SKIPPED, TickOutcome.REFUSED]
    assert await stored(queue) == 0
    (info,) = await queue.crons()
    assert info.last_tick == backend.clock.now
    assert await reports(queue) == [("skipped", {"tick": passing.at, "ticks": 5})]
