"""Names, payloads and numbers at the edge of what goes through scripts, and batches past it."""

from __future__ import annotations

from typing import Any

import pytest

from conduit.core.model import MAX_PRIORITY, MIN_PRIORITY, Artifact, JobError, JobStatus
from conduit.core.transitions import OutcomeKind
from conduit.queue.base import Finished, JobFilter, Note, Outcome, Retention, Submitted
from conduit.queue.redis import RedisQueue
from tests.conformance.builders import (
    a_job,
    cancel,
    claim,
    claim_one,
    complete,
    finish,
    get,
    lease,
    note,
    running,
    submit,
)
from tests.conformance.history import check_history, events_of
from tests.redis.conftest import Connect
from tests.servers.redis import RedisServer

ODD = [
    "",
    " ",
    ":",
    "a:b",
    "7:default:task",
    "a\nb\r\n",
    "nul\0nul",
    "{other}tag",
    "bücher",
    "日本語",
    "😀",
    "*",
    "%s%n%%",
    "'\"\\",
    "0" * 36,
    "AAAAAAAAAAAAAAAAAAAAAA",
    "12345678-1234-1234-1234-1234567890AB",
    "x" * 1000,
]


@pytest.fixture(params=["redis_server", "old_redis_server"])
async def queue(request: pytest.FixtureRequest, connect: Connect, namespace: str) -> RedisQueue:
    server: RedisServer = request.getfixturevalue(request.param)
    return await connect(f"{server.url}?namespace={namespace}")


async def test_names_may_hold_any_characters(queue: RedisQueue) -> None:
    jobs = [a_job(id=name, queue=name, function=name, key=name) for name in ODD]
    assert await queue.submit(jobs) == [Submitted(name) for name in ODD]
    assert await queue.submit([a_job(key=name) for name in ODD]) == [
        Submitted(name, duplicate=True) for name in ODD
    ]
    assert [info.name for info in await queue.queues()] == sorted(ODD)
    for name in ODD:
        found = await queue.find(JobFilter(queues=(name,), functions=(name,), key=name))
        assert [job.id for job in found.items] == [name]
        job = await claim_one(queue, queues=(name,), functions=(name,), worker_id=name)
        assert (job.id, job.queue, job.function, job.key) == (name, name, name, name)
        assert job.worker_id == name
        kept = Artifact(name, name, 2, sha256="0")
        assert await note(
            queue, job, artifact=kept, data=b"\0\xff", metadata=b'{"a:b\\n\\u0000":"\\u00e9"}'
        )
        assert await queue.artifacts(name) == [kept]
        assert await queue.artifact(name, name) == b"\0\xff"
        assert await complete(queue, job) is Finished.OK
        (done,) = await queue.wait_finished([name], 30)
        assert done == await get(queue, name)
        assert done.metadata == b'{"a:b\\n\\u0000":"\\u00e9"}'
    events = await events_of(queue)
    submissions = {event.job_id: event.submission for event in events if event.submission}
    assert {(name, s.queue, s.function, s.key) for name, s in submissions.items()} == {
        (name, name, name, name) for name in ODD
    }
    await check_history(queue)


async def test_a_queue_with_an_odd_name_wakes_and_pauses(queue: RedisQueue) -> None:
    for name in ODD:
        await queue.wait_for_jobs([name], 0)
        await queue.pause(name)
        await submit(queue, queue=name)
        assert await claim(queue, queues=(name,)) == []
        await queue.resume(name)
        await queue.wait_for_jobs([name], 30)
        assert len(await claim(queue, queues=(name,))) == 1


async def test_a_function_with_an_odd_name_wakes_and_pauses(queue: RedisQueue) -> None:
    for name in ODD:
        await queue.wait_for_jobs([name], 0)
        await queue.pause_function(name)
        await submit(queue, queue=name, function=name)
        assert await claim(queue, queues=(name,), functions=(name,)) == []
        await queue.resume_function(name)
        await queue.wait_for_jobs([name], 30)
        assert len(await claim(queue, queues=(name,), functions=(name,))) == 1


async def test_payloads_of_a_mebibyte_come_back_as_they_were(queue: RedisQueue) -> None:
    payload = b'"' + b"\xc3\xa4" * (512 * 1024) + b'"'
    new = await submit(queue, args=payload, metadata=b'{"m":' + payload + b"}")
    job = await claim_one(queue)
    assert job.args == payload
    assert await note(queue, job, checkpoint=payload, steps=b'{"s":' + payload + b"}")
    assert await queue.wait_finished([new.id], 0) == []
    assert await finish(queue, job, OutcomeKind.COMPLETE, result=payload) is Finished.OK
    (done,) = await queue.wait_finished([new.id], 30)
    assert (done.result, done.checkpoint) == (payload, payload)
    assert (done.metadata, done.steps) == (b'{"m":' + payload + b"}", b'{"s":' + payload + b"}")
    submitted, _, checkpoint, completed = await events_of(queue)
    assert submitted.submission is not None
    assert bytes(submitted.submission.args) == bytes(completed.result) == payload
    assert bytes(checkpoint.checkpoint) == payload


@pytest.mark.parametrize(
    "payload",
    [
        b"9007199254740993",
        b"123456789012345678901234567890",
        b"0.1000000000000000055",
        b"[]",
        b"{}",
        b'{"a":[],"b":{}}',
        b'"\\u0000"',
        b'{"a":1,"a":2}',
    ],
)
async def test_payloads_pass_byte_by_byte(queue: RedisQueue, payload: bytes) -> None:
    await submit(queue, args=payload)
    job = await claim_one(queue)
    await note(queue, job, checkpoint=payload, steps=b'{"s":' + payload + b"}")
    await complete(queue, job, payload)
    done = await get(queue, job.id)
    assert (done.args, done.checkpoint, done.result) == (payload, payload, payload)
    assert done.steps == b'{"s":' + payload + b"}"


async def test_priorities_at_the_limits_are_claimed_in_their_order(queue: RedisQueue) -> None:
    ranks = [0, MIN_PRIORITY, MAX_PRIORITY, -1, 1, 0]
    jobs = [await submit(queue, priority=priority) for priority in ranks]
    claimed = await claim(queue)
    assert [job.priority for job in claimed] == sorted(ranks, reverse=True)
    assert [job.id for job in claimed if job.priority == 0] == [jobs[0].id, jobs[5].id]


async def test_times_far_ahead_stay_exact(queue: RedisQueue) -> None:
    far = 2**53 - 1
    job = await submit(queue, run_at=far)
    assert await claim(queue) == []
    stored = await get(queue, job.id)
    assert (stored.status, stored.run_at) == (JobStatus.SCHEDULED, far)
    year = 366 * 24 * 3600 * 1000
    lasting = await submit(queue, delay_ms=1000 * year, expires_ms=2000 * year)
    stored = await get(queue, lasting.id)
    assert stored.run_at == stored.submitted_at + 1000 * year
    assert stored.expires_at == stored.submitted_at + 2000 * year
    await queue.wait_for_jobs(["default"], 0)
    assert (await cancel(queue, job.id)).status is JobStatus.CANCELLED


async def test_a_batch_larger_than_luas_stack_goes_in_one_step(queue: RedisQueue) -> None:
    jobs = [a_job(priority=i % 3, delay_ms=0 if i % 5 else 1) for i in range(10_000)]
    assert await queue.submit(jobs) == [Submitted(job.id) for job in jobs]
    assert await queue.submit(jobs) == [Submitted(job.id) for job in jobs]
    ids = [job.id for job in jobs]
    assert sum(job is not None for job in await queue.get(ids)) == 10_000
    claimed: list[Any] = []
    while len(claimed) < 10_000:
        claimed += await claim(queue, limit=10_000)
    leases = [lease(job) for job in claimed]
    assert len({held.job_id for held in leases}) == 10_000
    assert set(await queue.extend(leases, 60_000)) == {"held"}
    assert (
        await queue.record([Note(lease=held, progress=0.5) for held in leases]) == [True] * 10_000
    )
    assert (await queue.find(JobFilter(statuses=(JobStatus.RUNNING,)), limit=1)).total == 10_000
    acted = await queue.cancel(ids, "all of them")
    assert {action.acted for action in acted} == {"requested"}
    assert len(await queue.wait_for_cancels("w1", 30)) == 10_000
    outcomes = [Outcome(lease=held, kind=OutcomeKind.CANCEL) for held in leases]
    assert set(await queue.finish(outcomes)) == {Finished.OK}
    assert len(await queue.wait_finished(ids, 0)) == 10_000
    assert {action.acted for action in await queue.retry(ids)} == {"done"}
    assert {action.acted for action in await queue.cancel(ids, "again")} == {"done"}
    assert {action.acted for action in await queue.delete(ids)} == {"done"}
    assert await queue.find(JobFilter()) == await queue.find(JobFilter(queues=("default",)))
    assert (await queue.find(JobFilter())).total == 0


async def test_one_job_many_times_in_a_batch_is_one_job(queue: RedisQueue) -> None:
    job = a_job(key="k", metadata=b'{"a":1}')
    assert await queue.submit([job] * 50) == [Submitted(job.id)] * 50
    (claimed,) = await claim(queue)
    held = lease(claimed)
    notes = [Note(lease=held, metadata=b'{"n":%d}' % n) for n in range(50)]
    assert await queue.record(notes) == [True] * 50
    done = Outcome(lease=held, kind=OutcomeKind.COMPLETE, result=b"1")
    answers = await queue.finish([done] * 50)
    assert answers == [Finished.OK] + [Finished.ALREADY] * 49
    assert (await get(queue, job.id)).metadata == b'{"a":1,"n":49}'
    acted = [action.acted for action in await queue.delete([job.id] * 3)]
    assert acted == ["done", "unknown", "unknown"]
    await check_history(queue)


async def test_words_of_an_error_do_not_decide_what_it_means(queue: RedisQueue) -> None:
    names = ["OOM ", "READONLY You", "NOPERM", "MOVED 1 127.0.0.1:1", ": -BUSY "]
    for name in names:
        job = await running(queue, id=name, function=name)
        error = JobError(type=name, message=name, traceback=name)
        assert await finish(queue, job, OutcomeKind.FAIL, error=error) is Finished.OK
        assert (await get(queue, name)).error == error
    await queue.sweep(Retention(results_ms=0))
