"""What becomes of jobs when their workers are killed, frozen and told to end, in real processes."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from uuid import uuid4

import pytest

from conduit.core.errors import QueueUnavailableError
from conduit.core.model import Job, JobStatus, NewJob, Reason
from conduit.queue import Queue
from conduit.queue.base import JobFilter, Retention
from tests.faults.conftest import Field, finished

pytestmark = pytest.mark.timeout(90)


async def submit(queue: Queue, function: str, *arguments: bytes) -> list[str]:
    jobs = [NewJob(id=str(uuid4()), function=function, args=args) for args in arguments]
    return [answer.job_id for answer in await queue.submit(jobs)]


async def freeze(pid: int, queue: Queue) -> None:
    """Stop a process, though not in the midst of a commit, when nobody else could write."""
    while True:
        os.kill(pid, signal.SIGSTOP)
        try:
            async with asyncio.timeout(1):
                await queue.health()  # which writes
        except (TimeoutError, QueueUnavailableError):
            os.kill(pid, signal.SIGCONT)
            await asyncio.sleep(0.01)
        else:
            return


async def all_jobs(queue: Queue) -> list[Job]:
    page = await queue.find(JobFilter(), limit=1000)
    assert page.total == len(page.items)
    return page.items


async def test_a_job_whose_worker_was_killed_runs_again_within_20_seconds(
    field: Field, queue: Queue
) -> None:
    victim = field.start_worker()
    (job_id,) = await submit(queue, "long_once", b'{"seconds":60}')
    await field.until(lambda effects: len(effects) == 1)
    field.start_worker()
    while len(await queue.workers()) < 2:  # noqa: ASYNC110
        await asyncio.sleep(0.01)

    victim.kill()
    killed = time.monotonic()
    job = await finished(queue, job_id)

    assert time.monotonic() - killed < 20  # the promise itself, not a measure of speed
    assert (job.status, job.result) == (JobStatus.COMPLETED, b"2")
    assert (job.attempt, job.rescues, job.failures) == (2, 1, 0)
    begun, again, ended = field.effects()
    assert (begun.pid, begun.phase, again.phase, ended.phase) == (
        victim.pid,
        "begin",
        "begin",
        "end",
    )
    assert again.pid == ended.pid != victim.pid


async def test_a_worker_that_was_frozen_past_its_lease_changes_nothing(
    field: Field, queue: Queue
) -> None:
    zombie = field.start_worker()
    # Over before its lease is, so that the zombie wakes with a result to tell.
    (job_id,) = await submit(queue, "long_once", b'{"seconds":10}')
    await field.until(lambda effects: len(effects) == 1)
    field.start_worker()

    await freeze(zombie.pid, queue)
    job = await finished(queue, job_id)
    assert (job.status, job.result, job.fence) == (JobStatus.COMPLETED, b"2", 2)
    os.kill(zombie.pid, signal.SIGCONT)

    # The zombie finds its lease gone, drops the job and goes on with others.
    (next_id,) = await submit(queue, "short", b'{"milliseconds":1}')
    await finished(queue, next_id)
    zombie.send_signal(signal.SIGTERM)
    assert zombie.wait(timeout=60) == 0
    (after,) = await queue.get([job_id])
    assert after == job


async def test_a_job_that_kills_its_worker_fails_after_max_deliveries(
    field: Field, queue: Queue
) -> None:
    (job_id,) = await submit(queue, "poison", b"{}")
    for round_ in range(1, 4):
        doomed = field.start_worker()
        await field.until(lambda effects, round_=round_: len(effects) == round_)
        doomed.wait(timeout=60)
        while (await all_jobs(queue))[0].rescues < round_:
            field.let_leases_lapse()
            await queue.sweep(Retention())
    job = await finished(queue, job_id)
    assert (job.status, job.reason, job.rescues) == (
        JobStatus.FAILED,
        Reason.MAX_DELIVERIES.value,
        3,
    )
    assert [effect.attempt for effect in field.effects()] == [1, 2, 3]
    assert job.error is not None
    assert "3 times" in job.error.message


async def test_sigterm_under_load_loses_nothing_and_costs_no_attempt(
    field: Field, queue: Queue
) -> None:
    job_ids = await submit(queue, "short", *[b'{"milliseconds":30}'] * 300)
    for _ in range(4):  # a rolling restart: each worker is told to end in the middle of its work
        before = len(field.effects())
        worker = field.start_worker()
        await field.until(lambda effects, before=before: len(effects) > before + 20)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(timeout=60) == 0, field.logs()
    field.start_worker()
    for job_id in job_ids:
        await finished(queue, job_id)

    jobs = await all_jobs(queue)
    assert Counter(job.status for job in jobs) == {JobStatus.COMPLETED: 300}
    assert {(job.attempt, job.failures, job.rescues) for job in jobs} == {(1, 0, 0)}
    by_job = field.effects_by_job()
    assert all(
        [effect.phase for effect in by_job[job_id]] == ["begin", "end"] for job_id in job_ids
    )


async def test_kills_under_load_lose_nothing_and_double_only_what_was_rescued(
    field: Field, queue: Queue
) -> None:
    job_ids = await submit(queue, "short", *[b'{"milliseconds":20}'] * 200)
    for _ in range(2):
        before = len(field.effects())
        worker = field.start_worker()
        await field.until(lambda effects, before=before: len(effects) > before + 20)
        worker.kill()
        worker.wait()
    field.start_worker()
    for job_id in job_ids:
        await finished(queue, job_id)

    by_job = field.effects_by_job()
    jobs = await all_jobs(queue)
    assert Counter(job.status for job in jobs) == {JobStatus.COMPLETED: 200}
    assert any(job.rescues for job in jobs), "no job was caught: the test proved nothing"
    for job in jobs:
        begun = [effect for effect in by_job[job.id] if effect.phase == "begin"]
        assert 1 <= len(begun) <= 1 + job.rescues


async def test_ticks_of_a_cron_happen_once_across_workers(field: Field, queue: Queue) -> None:
    first = field.start_worker(FIRE_CRON="1")
    field.start_worker(FIRE_CRON="1")
    await field.until(lambda effects: len(effects) >= 3)
    first.kill()
    await field.until(lambda effects: len(effects) >= 8)

    effects = field.effects()
    jobs = [job for job in await all_jobs(queue) if job.function == "every_half_second"]
    ticks = sorted(int(job.id.rpartition(":")[2]) for job in jobs)
    assert len(ticks) == len(set(ticks))
    assert all(tick % 500 == 0 for tick in ticks)
    doubled = Counter(effect.job_id for effect in effects)
    rescued = {job.id for job in jobs if job.rescues}
    assert {job_id for job_id, times in doubled.items() if times > 1} <= rescued


async def test_a_blocked_event_loop_loses_no_lease(field: Field, queue: Queue) -> None:
    worker = field.start_worker()
    gate = field.journal.with_name("gate")
    (job_id,) = await submit(queue, "freeze_together", f'{{"gate":"{gate}"}}'.encode())
    await field.until(lambda effects: len(effects) == 1)
    field.start_worker()

    until = time.monotonic() + 18  # longer than a lease
    while time.monotonic() < until:
        assert await queue.wait_finished([job_id], 1) == []
    gate.touch()

    job = await finished(queue, job_id)
    assert (job.status, job.attempt, job.rescues) == (JobStatus.COMPLETED, 1, 0)
    assert {effect.pid for effect in field.effects()} == {worker.pid}
