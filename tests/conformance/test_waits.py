"""The waits: hints that may come early, but come."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest

from conduit.core.errors import JobNotFoundError
from conduit.core.model import Job
from conduit.core.transitions import OutcomeKind
from conduit.queue.base import Queue
from tests.conformance.backends import Backend
from tests.conformance.builders import (
    PATIENCE,
    a_job,
    cancel,
    claim,
    complete,
    completed,
    fail,
    finish,
    lease,
    let_leases_lapse,
    retry,
    running,
    submit,
)

T = TypeVar("T")

LONG = 2 * PATIENCE
"""A timeout that a test does not live to see: only the awaited change can end the wait."""


async def begin(waiting: Coroutine[Any, Any, T], queue: Queue) -> asyncio.Task[T]:
    """Start a wait and let it get as far as waiting."""
    task = asyncio.create_task(waiting)
    for _ in range(5):
        await queue.now()
        await queue.get(["a round trip behind whatever the wait has asked for"])
    return task


async def end(task: asyncio.Task[T]) -> T:
    """What the wait answers; fails when it hangs."""
    return await asyncio.wait_for(task, PATIENCE)


# --- wait_for_jobs ------------------------------------------------------------------------------


async def test_a_wait_after_claims_of_two_kinds_misses_nothing_since_the_first(
    queue: Queue,
) -> None:
    await queue.wait_for_jobs(["default"], 0.1)
    assert await claim(queue, functions=("charge",)) == []
    await submit(queue, function="charge")
    for _ in range(5):
        await queue.now()  # the news of it has come meanwhile
    assert await claim(queue, functions=("thumbnail",)) == []
    await end(await begin(queue.wait_for_jobs(["default"], LONG), queue))
    assert len(await claim(queue, functions=("charge",))) == 1


async def test_a_submit_wakes_a_worker_of_the_same_queue(queue: Queue) -> None:
    assert await claim(queue) == []
    waiting = await begin(queue.wait_for_jobs(["default"], LONG), queue)
    await submit(queue)
    await end(waiting)
    assert len(await claim(queue)) == 1


async def test_a_submit_of_another_process_wakes_a_worker(backend: Backend) -> None:
    assert await claim(backend.queue) == []
    waiting = await begin(backend.queue.wait_for_jobs(["default"], LONG), backend.queue)
    await submit(await backend.second())
    await end(waiting)
    assert len(await claim(backend.queue)) == 1


async def test_a_submit_between_claim_and_wait_is_not_missed(backend: Backend) -> None:
    second = await backend.second()
    for submitter in (backend.queue, second) * 5:
        assert await claim(backend.queue) == []
        await submit(submitter)
        await asyncio.wait_for(backend.queue.wait_for_jobs(["default"], LONG), PATIENCE)
        assert len(await claim(backend.queue)) == 1


async def test_a_job_that_comes_due_wakes_a_worker(backend: Backend) -> None:
    queue = backend.queue
    await submit(queue, delay_ms=50)
    assert await claim(queue) == []
    waiting = await begin(queue.wait_for_jobs(["default"], LONG), queue)
    backend.clock.advance(50)
    await end(waiting)
    assert len(await claim(queue)) == 1


@pytest.mark.parametrize("kind", [OutcomeKind.RELEASE, OutcomeKind.RETRY_LATER])
async def test_a_job_that_comes_back_wakes_a_worker(backend: Backend, kind: OutcomeKind) -> None:
    second = await backend.second()
    job = await running(backend.queue)
    assert await claim(second) == []
    waiting = await begin(second.wait_for_jobs(["default"], LONG), second)
    await finish(backend.queue, job, kind)
    await end(waiting)
    assert len(await claim(second)) == 1


async def test_a_rescue_an_operators_retry_and_a_resume_wake_a_worker(backend: Backend) -> None:
    queue = backend.queue
    lost = await running(queue)
    waiting = await begin(queue.wait_for_jobs(["default"], LONG), queue)
    await let_leases_lapse(backend)
    await end(waiting)
    (job,) = await claim(queue)
    assert job.id == lost.id

    await fail(queue, job)
    assert await claim(queue) == []
    waiting = await begin(queue.wait_for_jobs(["default"], LONG), queue)
    await retry(queue, job.id)
    await end(waiting)

    await queue.pause("default")
    assert await claim(queue) == []
    waiting = await begin(queue.wait_for_jobs(["default"], LONG), queue)
    await queue.resume("default")
    await end(waiting)
    assert len(await claim(queue)) == 1


async def test_a_resumed_function_wakes_a_worker_of_another_process(backend: Backend) -> None:
    queue, worker = backend.queue, await backend.second()
    await queue.pause_function("task")
    job = await submit(queue, queue="other")
    await worker.wait_for_jobs(["other"], 0)  # it listens from now on
    assert await claim(worker, queues=("default", "other")) == []
    waiting = await begin(worker.wait_for_jobs(["default", "other"], LONG), worker)
    await queue.resume_function("task")
    await end(waiting)
    assert [each.id for each in await claim(worker, queues=("default", "other"))] == [job.id]


async def test_waiting_for_jobs_ends_at_its_timeout(queue: Queue) -> None:
    await asyncio.wait_for(queue.wait_for_jobs(["default"], 0.01), PATIENCE)
    await asyncio.wait_for(queue.wait_for_jobs(["default"], 0), PATIENCE)


async def test_a_worker_that_finds_nothing_for_it_does_not_spin(queue: Queue) -> None:
    await queue.submit([a_job(function="foreign"), a_job(function="foreign")])
    rounds = 0

    async def work() -> None:
        nonlocal rounds
        while True:
            assert await claim(queue) == []
            rounds += 1
            await queue.wait_for_jobs(["default"], LONG)

    worker = await begin(work(), queue)
    for _ in range(300):
        await queue.get(["as many round trips as a spinning worker would make"])
    worker.cancel()
    assert rounds < 30


async def test_a_worker_whose_functions_are_paused_waits_until_one_is_resumed(
    backend: Backend,
) -> None:
    queue, other = backend.queue, await backend.second()
    await queue.submit([a_job() for _ in range(5)])
    await queue.pause_function("task")
    claims = 0

    async def work() -> list[Job]:
        nonlocal claims
        while True:
            claims += 1
            if jobs := await claim(queue):
                return jobs
            await queue.wait_for_jobs(["default"], LONG)

    worker = await begin(work(), queue)
    for _ in range(60):  # changes that are no news for this worker
        await submit(other, queue="elsewhere")
        for _ in range(5):
            await queue.get(["as many round trips as a spinning worker would make"])
    assert claims < 30
    await other.resume_function("task")
    assert len(await end(worker)) == 5


async def test_one_change_does_not_end_wait_after_wait(queue: Queue) -> None:
    assert await claim(queue) == []
    waits = 0

    async def wait() -> None:
        nonlocal waits
        while True:
            await queue.wait_for_jobs(["default"], LONG)
            waits += 1

    waiter = await begin(wait(), queue)
    await submit(queue)
    for _ in range(300):
        await queue.get(["as many round trips as a spinning waiter would make"])
    waiter.cancel()
    assert waits < 30


async def test_a_cancelled_wait_harms_nobody(queue: Queue) -> None:
    assert await claim(queue) == []
    left = await begin(queue.wait_for_jobs(["default"], LONG), queue)
    stays = await begin(queue.wait_for_jobs(["default"], LONG), queue)
    left.cancel()
    await submit(queue)
    await end(stays)


# --- wait_finished ------------------------------------------------------------------------------


async def test_finished_jobs_are_answered_at_once(queue: Queue) -> None:
    done = await completed(queue)
    waiting = await submit(queue)
    jobs = await asyncio.wait_for(queue.wait_finished([waiting.id, done.id], LONG), PATIENCE)
    assert jobs == [done]


async def test_a_finish_wakes_who_waits_for_it(queue: Queue) -> None:
    job = await running(queue)
    waiting = await begin(queue.wait_finished([job.id], LONG), queue)
    await complete(queue, job, b"42")
    (done,) = await end(waiting)
    assert (done.id, done.result) == (job.id, b"42")


async def test_a_finish_in_another_process_wakes_who_waits_for_it(backend: Backend) -> None:
    job = await running(backend.queue)
    waiting = await begin(backend.queue.wait_finished([job.id], LONG), backend.queue)
    await complete(await backend.second(), job)
    assert [done.id for done in await end(waiting)] == [job.id]


async def test_a_cancel_ends_the_wait_too(queue: Queue) -> None:
    job = await submit(queue)
    waiting = await begin(queue.wait_finished([job.id], LONG), queue)
    await cancel(queue, job.id)
    assert [done.status for done in await end(waiting)] == ["cancelled"]


async def test_the_first_of_several_ends_the_wait(queue: Queue) -> None:
    first, second = await running(queue), await running(queue)
    waiting = await begin(queue.wait_finished([first.id, second.id], LONG), queue)
    await complete(queue, second)
    assert [done.id for done in await end(waiting)] == [second.id]


async def test_a_retry_is_not_the_end(queue: Queue) -> None:
    job = await running(queue)
    waiting = await begin(queue.wait_finished([job.id], LONG), queue)
    await finish(queue, job, OutcomeKind.RETRY_LATER)
    (again,) = await claim(queue)
    await complete(queue, again)
    assert [done.status for done in await end(waiting)] == ["completed"]


async def test_waiting_for_an_end_gives_up_at_its_timeout(queue: Queue) -> None:
    job = await submit(queue)
    assert await asyncio.wait_for(queue.wait_finished([job.id], 0.01), PATIENCE) == []
    assert await asyncio.wait_for(queue.wait_finished([job.id], 0), PATIENCE) == []


async def test_waiting_for_a_job_that_is_not_stored_is_an_error(queue: Queue) -> None:
    done = await completed(queue)
    with pytest.raises(JobNotFoundError) as caught:
        await queue.wait_finished([done.id, "nobody"], LONG)
    assert caught.value.job_id == "nobody"


# --- wait_for_cancels ---------------------------------------------------------------------------


async def test_a_worker_is_told_of_a_cancel(queue: Queue) -> None:
    job = await running(queue)
    waiting = await begin(queue.wait_for_cancels("w1", LONG), queue)
    await cancel(queue, job.id)
    assert await end(waiting) == [lease(job)]


async def test_a_worker_is_told_of_a_cancel_of_another_process(backend: Backend) -> None:
    job = await running(backend.queue)
    waiting = await begin(backend.queue.wait_for_cancels("w1", LONG), backend.queue)
    await cancel(await backend.second(), job.id)
    assert await end(waiting) == [lease(job)]


async def test_a_cancel_that_came_before_the_wait_is_told(queue: Queue) -> None:
    job = await running(queue)
    await cancel(queue, job.id)
    told = await asyncio.wait_for(queue.wait_for_cancels("w1", LONG), PATIENCE)
    assert told == [lease(job)]


async def test_known_cancels_are_left_out(queue: Queue) -> None:
    await queue.submit([a_job(), a_job()])
    first, second = await claim(queue)
    await cancel(queue, first.id)
    waiting = await begin(queue.wait_for_cancels("w1", LONG, known=[lease(first)]), queue)
    await cancel(queue, second.id)
    assert await end(waiting) == [lease(second)]


async def test_cancels_of_other_workers_and_of_finished_jobs_are_not_told(queue: Queue) -> None:
    other = await running(queue, worker_id="w2")
    mine = await running(queue, worker_id="w1")
    await queue.cancel([other.id, mine.id], "x")
    await finish(queue, mine, OutcomeKind.CANCEL)
    assert await asyncio.wait_for(queue.wait_for_cancels("w1", 0.01), PATIENCE) == []
    assert await asyncio.wait_for(queue.wait_for_cancels("w2", LONG), PATIENCE) == [lease(other)]
