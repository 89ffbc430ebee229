"""pause_function, resume_function: one function's jobs wait, and nothing else does."""

from __future__ import annotations

import pytest

from conduit.core.crons import TickOutcome
from conduit.core.model import JobStatus
from conduit.core.transitions import OutcomeKind
from conduit.queue.base import JobFilter, Queue, Registration, listed_functions
from tests.conformance.backends import Backend
from tests.conformance.builders import (
    DAY,
    MINUTE,
    SECOND,
    a_cron,
    a_function,
    a_job,
    a_tick,
    a_worker,
    cancel,
    claim,
    claim_one,
    complete,
    failed,
    finish,
    get,
    let_leases_lapse,
    retry,
    running,
    send,
    submit,
    sweep,
    sweep_for,
)

BOTH = ("held", "free")


async def test_the_jobs_of_a_paused_function_wait_and_others_go_past_them(queue: Queue) -> None:
    held = [await submit(queue, function="held", priority=9) for _ in range(3)]
    free = [await submit(queue, function="free") for _ in range(3)]
    await queue.pause_function("held")
    taken = await claim(queue, functions=BOTH)
    assert [job.id for job in taken] == [job.id for job in free]
    assert [(await get(queue, job.id)).status for job in held] == [JobStatus.QUEUED] * 3

    await queue.resume_function("held")
    taken = await claim(queue, functions=BOTH)
    assert [job.id for job in taken] == [job.id for job in held]


async def test_a_large_backlog_of_a_paused_function_leaves_full_room_for_others(
    queue: Queue,
) -> None:
    await queue.submit([a_job(function="held", priority=n % 2) for n in range(1000)])
    await queue.pause_function("held")
    await queue.submit([a_job(function="free") for _ in range(40)])
    assert len(await claim(queue, functions=BOTH, limit=40)) == 40


async def test_a_function_is_paused_in_every_queue(queue: Queue) -> None:
    for name in ("default", "mail"):
        await submit(queue, function="held", queue=name)
    await queue.pause_function("held")
    assert await claim(queue, functions=BOTH, queues=("default", "mail")) == []
    await queue.resume_function("held")
    assert len(await claim(queue, functions=BOTH, queues=("default", "mail"))) == 2


async def test_pausing_a_function_is_no_pause_of_the_queue_of_that_name(queue: Queue) -> None:
    await submit(queue, function="free", queue="held")
    await queue.pause_function("held")
    assert [info.paused for info in await queue.queues()] == [False]
    assert len(await claim(queue, functions=BOTH, queues=("held",))) == 1

    await submit(queue, function="held")
    await queue.resume_function("held")
    await queue.pause("held")
    assert len(await claim(queue, functions=BOTH)) == 1


async def test_submits_schedules_and_ticks_of_a_paused_function_are_accepted_and_wait(
    backend: Backend,
) -> None:
    queue = backend.queue
    cron = a_cron(function="held")
    await queue.register(Registration(worker=a_worker(), crons=(cron,)))
    await queue.pause_function("held")
    await submit(queue, function="held", delay_ms=SECOND)
    await submit(queue, function="held")
    backend.clock.advance(SECOND)
    tick = a_tick(backend.clock.now, cron=cron, function="held")
    assert await send(queue, tick) == [TickOutcome.SUBMITTED]

    assert await claim(queue, functions=BOTH) == []
    assert (await queue.find(JobFilter(statuses=(JobStatus.QUEUED,)))).total == 3
    await queue.resume_function("held")
    assert len(await claim(queue, functions=BOTH)) == 3


async def test_running_jobs_of_a_paused_function_go_on(queue: Queue) -> None:
    job = await running(queue, function="held")
    await queue.pause_function("held")
    assert await complete(queue, job) == "ok"


@pytest.mark.parametrize("kind", [OutcomeKind.RELEASE, OutcomeKind.RETRY_LATER])
async def test_what_a_running_job_of_a_paused_function_leaves_to_do_waits(
    queue: Queue, kind: OutcomeKind
) -> None:
    job = await running(queue, function="held")
    await queue.pause_function("held")
    await finish(queue, job, kind)
    assert await claim(queue, functions=BOTH) == []
    await queue.resume_function("held")
    assert (await claim_one(queue, functions=BOTH)).id == job.id


async def test_a_rescued_job_of_a_paused_function_waits(backend: Backend) -> None:
    queue = backend.queue
    lost = await running(queue, function="held")
    await queue.pause_function("held")
    await let_leases_lapse(backend)
    assert (await get(queue, lost.id)).status is JobStatus.QUEUED
    assert await claim(queue, functions=BOTH) == []
    await queue.resume_function("held")
    await submit(queue, function="held")
    assert (await claim_one(queue, functions=BOTH, limit=1)).id == lost.id


async def test_a_job_of_a_paused_function_can_be_cancelled_retried_and_expires(
    backend: Backend,
) -> None:
    queue = backend.queue
    again = await failed(queue, function="held")
    await queue.pause_function("held")
    unwanted = await submit(queue, function="held")
    late = await submit(queue, function="held", expires_ms=SECOND)
    assert (await cancel(queue, unwanted.id)).acted == "done"
    assert (await retry(queue, again.id)).acted == "done"
    backend.clock.advance(SECOND)
    assert (await sweep(queue)).expired == 1
    assert (await get(queue, late.id)).reason == "expired"
    assert await claim(queue, functions=BOTH) == []


async def test_pausing_and_resuming_a_function_twice_is_fine(queue: Queue) -> None:
    await submit(queue, function="held")
    await queue.pause_function("held")
    await queue.pause_function("held")
    assert await claim(queue, functions=BOTH) == []
    await queue.resume_function("held")
    await queue.resume_function("held")
    assert len(await claim(queue, functions=BOTH)) == 1


async def test_a_function_may_be_paused_before_any_worker_has_it(queue: Queue) -> None:
    await queue.pause_function("later")
    assert await queue.functions() == []
    assert await queue.paused_functions() == ["later"]
    function = a_function("later")
    await queue.register(Registration(worker=a_worker(), functions=(function, a_function("free"))))
    assert [(each.name, each.paused) for each in await queue.functions()] == [
        ("free", False),
        ("later", True),
    ]
    await queue.resume_function("later")
    assert [each.paused for each in await queue.functions()] == [False, False]


async def test_workers_that_come_and_go_leave_a_function_paused(backend: Backend) -> None:
    queue = backend.queue
    registration = Registration(worker=a_worker(), functions=(a_function("held"),))
    await queue.register(registration)
    await queue.pause_function("held")
    await queue.unregister("w1")
    await sweep(queue)
    assert [each.worker for each in await listed_functions(queue)] == ["orders"]
    backend.clock.advance(8 * DAY)
    await sweep_for(backend, 2 * MINUTE)
    assert [(each.name, each.worker, each.paused) for each in await listed_functions(queue)] == [
        ("held", "", True)
    ]
    await queue.register(registration)
    (function,) = await queue.functions()
    assert function.paused
    assert await listed_functions(queue) == [function]
    await queue.resume_function("held")
    assert await queue.paused_functions() == []


async def test_a_function_stays_paused_when_the_store_is_opened_anew(backend: Backend) -> None:
    await submit(backend.queue, function="held")
    await backend.queue.pause_function("held")
    queue = await backend.reopen()
    assert await claim(queue, functions=BOTH) == []
    await queue.resume_function("held")
    assert len(await claim(queue, functions=BOTH)) == 1
