"""claim: who gets which job, in which order."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from conduit.core.model import JobStatus
from conduit.core.transitions import OutcomeKind
from conduit.queue.base import Queue
from tests.conformance.backends import Backend
from tests.conformance.builders import (
    MINUTE,
    SECOND,
    a_job,
    cancel,
    claim,
    claim_one,
    complete,
    finish,
    get,
    let_leases_lapse,
    note,
    retry,
    running,
    submit,
    sweep,
)
from tests.conformance.history import events_of


async def test_a_claimed_job_is_running_and_carries_its_lease(backend: Backend) -> None:
    await submit(backend.queue)
    job = await claim_one(backend.queue, worker_id="w7")

    assert (job.status, job.worker_id) == (JobStatus.RUNNING, "w7")
    assert (job.attempt, job.fence) == (1, 1)
    assert job.token is not None
    assert job.token.startswith("1:")
    assert (job.claimed_at, job.started_at) == (backend.clock.now, None)
    assert await get(backend.queue, job.id) == job


@pytest.mark.parametrize(
    "payload",
    [
        b'{"n":9007199254740993,"big":123456789012345678901234567890}',
        b'{"f":1.0,"e":1e-07,"z":-0.0,"empty":{},"list":[]}',
        b'{ "spaced" : [ 1 , 2 ] }',
        b'{"a":1,"a":2}',
        rb'{"nul":"\u0000","escaped":"\u00e9\/\"\\"}',
        '{"text":"naïve 🦆 \u2028","quote":"it\'s"}'.encode(),
    ],
)
async def test_payloads_come_back_byte_for_byte(queue: Queue, payload: bytes) -> None:
    await submit(queue, args=payload)
    job = await claim_one(queue)
    assert job.args == payload
    await note(queue, job, checkpoint=payload)
    await complete(queue, job, payload)
    stored = await get(queue, job.id)
    assert (stored.args, stored.checkpoint, stored.result) == (payload,) * 3
    (submitted, *_, noted, completed) = await events_of(queue, job.id)
    assert submitted.submission is not None
    assert bytes(submitted.submission.args) == payload
    assert (bytes(noted.checkpoint), bytes(completed.result)) == (payload,) * 2


async def test_a_claim_takes_at_most_its_limit(queue: Queue) -> None:
    await queue.submit([a_job() for _ in range(5)])
    assert len(await claim(queue, limit=3)) == 3
    assert len(await claim(queue, limit=3)) == 2
    assert await claim(queue, limit=3) == []


async def test_tokens_are_new_for_each_claim(queue: Queue) -> None:
    await queue.submit([a_job() for _ in range(5)])
    first = await claim(queue)
    for job in first:
        await finish(queue, job, OutcomeKind.RELEASE)
    second = await claim(queue)
    tokens = {(job.id, job.token) for job in first + second}
    assert len(tokens) == 10


async def test_one_function_is_first_in_first_out(queue: Queue) -> None:
    jobs = [await submit(queue) for _ in range(6)]
    taken = [*await claim(queue, limit=2), *await claim(queue, limit=1), *await claim(queue)]
    assert [job.id for job in taken] == [job.id for job in jobs]


async def test_a_batch_is_claimed_in_the_order_it_was_submitted(queue: Queue) -> None:
    jobs = [a_job() for _ in range(6)]
    await queue.submit(jobs)
    assert [job.id for job in await claim(queue)] == [job.id for job in jobs]


async def test_higher_priority_goes_first(queue: Queue) -> None:
    for priority in (0, -100, 5, 100, 5):
        await submit(queue, priority=priority)
    assert [job.priority for job in await claim(queue)] == [100, 5, 5, 0, -100]


async def test_priority_goes_before_the_turns_of_functions(queue: Queue) -> None:
    await queue.submit([a_job(function="a", priority=1) for _ in range(3)])
    await queue.submit([a_job(function="b") for _ in range(3)])
    taken = await claim(queue, functions=("a", "b"), limit=4)
    assert [job.function for job in taken] == ["a", "a", "a", "b"]


async def test_functions_take_turns(queue: Queue) -> None:
    await queue.submit([a_job(function="a") for _ in range(10)])
    await queue.submit([a_job(function="b") for _ in range(2)])
    taken = await claim(queue, functions=("a", "b"), limit=5)
    assert Counter(job.function for job in taken) == {"a": 3, "b": 2}


async def test_rescued_jobs_go_before_everything_else(backend: Backend) -> None:
    queue = backend.queue
    lost = await running(queue, priority=-5)
    await let_leases_lapse(backend)
    await submit(queue, priority=100)
    urgent, second = await claim(queue, limit=2)
    assert urgent.id == lost.id
    assert second.priority == 100


async def test_a_rescued_job_loses_its_precedence_once_it_ran(backend: Backend) -> None:
    queue = backend.queue
    lost = await running(queue)
    await let_leases_lapse(backend)
    again = await claim_one(queue)
    await submit(queue, priority=1)
    await finish(queue, again, OutcomeKind.RELEASE)
    assert [job.id == lost.id for job in await claim(queue)] == [False, True]


async def test_an_operators_retry_has_no_precedence(backend: Backend) -> None:
    queue = backend.queue
    lost = await running(queue)
    await let_leases_lapse(backend)
    await cancel(queue, lost.id)
    await submit(queue, priority=1)
    await retry(queue, lost.id)
    assert [job.id == lost.id for job in await claim(queue)] == [False, True]


async def test_only_the_queues_asked_for_are_served(queue: Queue) -> None:
    await submit(queue, queue="other")
    assert await claim(queue) == []


async def test_foreign_functions_are_never_claimed_and_never_block(queue: Queue) -> None:
    await queue.submit([a_job(function="foreign", priority=50) for _ in range(200)])
    mine = await submit(queue, function="mine")
    assert (await claim_one(queue, functions=("mine",), limit=1)).id == mine.id
    assert await claim(queue, functions=("mine",)) == []


async def test_a_worker_without_functions_gets_nothing(queue: Queue) -> None:
    await submit(queue)
    assert await claim(queue, functions=()) == []


async def test_nothing_is_claimed_from_a_paused_queue(queue: Queue) -> None:
    await submit(queue)
    other = await submit(queue, queue="other")
    await queue.pause("default")
    assert (await claim_one(queue, queues=("default", "other"))).id == other.id

    await queue.resume("default")
    assert len(await claim(queue)) == 1


async def test_a_paused_queue_takes_submits_and_lets_running_jobs_go_on(backend: Backend) -> None:
    queue = backend.queue
    job = await running(queue)
    await queue.pause("default")
    await submit(queue)
    assert await finish(queue, job, OutcomeKind.COMPLETE) == "ok"
    assert await claim(await backend.second()) == []


async def test_pausing_and_resuming_twice_is_fine(queue: Queue) -> None:
    await submit(queue)
    await queue.pause("default")
    await queue.pause("default")
    await queue.resume("default")
    await queue.resume("default")
    assert len(await claim(queue)) == 1


async def test_due_jobs_are_promoted_on_the_way(backend: Backend) -> None:
    jobs = [await submit(backend.queue, delay_ms=n * SECOND) for n in (3, 1, 2)]
    backend.clock.advance(2 * SECOND)
    taken = await claim(backend.queue)
    assert {job.id for job in taken} == {jobs[1].id, jobs[2].id}


async def test_a_due_job_of_high_priority_goes_before_the_backlog(backend: Backend) -> None:
    await submit(backend.queue)
    urgent = await submit(backend.queue, delay_ms=SECOND, priority=1)
    backend.clock.advance(SECOND)
    assert (await claim_one(backend.queue, limit=1)).id == urgent.id


async def test_a_cancelled_job_is_never_claimed(queue: Queue) -> None:
    job = await submit(queue)
    await cancel(queue, job.id)
    assert await claim(queue) == []


async def test_two_workers_never_get_the_same_job(backend: Backend) -> None:
    second = await backend.second()
    await backend.queue.submit([a_job() for _ in range(60)])
    answers = await asyncio.gather(
        *(claim(queue, limit=3) for _ in range(15) for queue in (backend.queue, second))
    )
    ids = [job.id for jobs in answers for job in jobs]
    assert len(ids) == len(set(ids)) == 60


async def test_a_lease_lasts_as_long_as_the_claim_asked_for(backend: Backend) -> None:
    queue = backend.queue
    await queue.submit([a_job(function="brief"), a_job(function="long")])
    await claim_one(queue, functions=("brief",), lease_ms=SECOND)
    await claim_one(queue, functions=("long",), lease_ms=MINUTE)
    await sweep(queue)
    backend.clock.advance(SECOND)
    assert (await sweep(queue)).rescued == 1
    assert (await claim_one(queue, functions=("brief", "long"))).function == "brief"
