"""Many jobs at once: long backlogs, many lanes, places that jobs have left, exact counts."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest

from conduit.core.model import JobStatus, NewJob
from conduit.core.transitions import OutcomeKind
from conduit.queue.base import Acted, Finished, JobFilter, Outcome, Queue, Submitted
from tests.conformance.backends import Backend
from tests.conformance.builders import (
    PATIENCE,
    SECOND,
    a_job,
    cancel,
    claim,
    claim_one,
    complete,
    delete,
    lease,
    retry,
    submit,
    sweep,
)

LONG = 2 * PATIENCE


async def submit_many(queue: Queue, jobs: list[NewJob]) -> list[str]:
    """Submit jobs, 500 at a time; their ids."""
    for start in range(0, len(jobs), 500):
        await queue.submit(jobs[start : start + 500])
    return [job.id for job in jobs]


# --- many lanes -------------------------------------------------------------------------------


async def test_a_large_claim_over_many_functions_and_queues_takes_them_in_turn(
    queue: Queue,
) -> None:
    functions, queues = tuple(f"f{n}" for n in range(200)), ("first", "second")
    await submit_many(
        queue, [a_job(function=f, queue=q) for _ in range(2) for f in functions for q in queues]
    )
    claimed = await claim(queue, functions=functions, queues=queues, limit=500)
    taken = Counter(job.queue for job in claimed)
    assert taken.total() == 500
    assert abs(taken["first"] - taken["second"]) <= 2, "one turn"
    rest = await claim(queue, functions=functions, queues=queues, limit=500)
    assert len({job.id for job in (*claimed, *rest)}) == 800


# --- what has left its place -------------------------------------------------------------------


async def test_a_cancelled_backlog_hides_no_job_behind_it(queue: Queue) -> None:
    cancelled = await submit_many(queue, [a_job() for _ in range(5000)])
    last = await submit(queue)
    for start in range(0, len(cancelled), 1000):
        await queue.cancel(cancelled[start : start + 1000], "not needed")
    assert (await claim_one(queue, limit=1)).id == last.id
    assert await claim(queue) == []


async def test_a_cancelled_backlog_of_high_priority_hides_no_job_behind_it(queue: Queue) -> None:
    cancelled = await submit_many(queue, [a_job(priority=9) for _ in range(2000)])
    last = await submit(queue)
    await queue.cancel(cancelled, "not needed")
    assert (await claim_one(queue, limit=1)).id == last.id


async def test_a_worker_that_waits_behind_a_cancelled_backlog_gets_what_comes_next(
    queue: Queue,
) -> None:
    cancelled = await submit_many(queue, [a_job() for _ in range(5000)])
    await queue.cancel(cancelled, "not needed")
    assert await claim(queue) == []
    waiting = asyncio.create_task(queue.wait_for_jobs(["default"], LONG))
    job = await submit(queue)
    await asyncio.wait_for(waiting, PATIENCE)
    assert (await claim_one(queue)).id == job.id


async def test_expired_jobs_at_the_front_hide_none_behind_them(backend: Backend) -> None:
    queue = backend.queue
    await submit_many(queue, [a_job(expires_ms=SECOND) for _ in range(2000)])
    fresh = await submit(queue)
    backend.clock.advance(SECOND)
    assert (await claim_one(queue, limit=1)).id == fresh.id


@pytest.mark.parametrize("priority", [0, 5])
async def test_a_retried_job_whose_old_place_is_still_in_its_lane_runs_once(
    queue: Queue, priority: int
) -> None:
    job = await submit(queue, priority=priority)
    for _ in range(3):
        await cancel(queue, job.id)
        assert (await retry(queue, job.id)).acted is Acted.DONE
    again = await claim_one(queue)
    assert (again.id, again.generation, again.fence) == (job.id, 4, 1)
    assert await claim(queue) == []
    assert await complete(queue, again) is Finished.OK
    assert await claim(queue) == []


@pytest.mark.parametrize("priority", [0, 5])
async def test_an_id_that_was_deleted_and_submitted_again_runs_once_in_its_new_place(
    queue: Queue, priority: int
) -> None:
    old = a_job(priority=priority)
    await queue.submit([old])
    await cancel(queue, old.id)
    await delete(queue, old.id)
    before = await submit(queue, priority=priority)
    assert await queue.submit([old]) == [Submitted(old.id)]
    jobs = await claim(queue)
    assert [job.id for job in jobs] == [before.id, old.id]
    assert await claim(queue) == []
    assert (
        await queue.finish([Outcome(lease=lease(job), kind=OutcomeKind.COMPLETE) for job in jobs])
        == [Finished.OK] * 2
    )
    assert await claim(queue) == []


# --- many who wait -----------------------------------------------------------------------------


async def test_the_ends_of_a_thousand_jobs_are_all_heard_of_while_they_come_in_batches(
    backend: Backend,
) -> None:
    queue, worker = backend.queue, await backend.second()
    waited = set(await submit_many(queue, [a_job() for _ in range(1000)]))

    async def work() -> None:
        while jobs := await claim(worker, limit=90):
            await worker.finish(
                [Outcome(lease=lease(job), kind=OutcomeKind.COMPLETE) for job in jobs]
            )

    working = asyncio.create_task(work())
    async with asyncio.timeout(PATIENCE):
        while waited:
            done = await queue.wait_finished(list(waited), LONG)
            assert done
            ended = {job.id for job in done}
            assert ended <= waited
            assert {job.status for job in done} == {JobStatus.COMPLETED}
            waited -= ended
        await working


async def test_a_resumed_queue_wakes_the_workers_of_other_processes(backend: Backend) -> None:
    queue, worker = backend.queue, await backend.second()
    await queue.pause("default")
    job = await submit(queue)
    assert await claim(worker) == []
    waiting = asyncio.create_task(worker.wait_for_jobs(["other", "default"], LONG))
    await asyncio.wait({waiting}, timeout=0.1)
    await queue.resume("default")
    await asyncio.wait_for(waiting, PATIENCE)
    assert (await claim_one(worker)).id == job.id


# --- exact counts ------------------------------------------------------------------------------

QUEUES = ("default", "other")


class Walk:
    """Random steps through every transition there is; `ids` are the jobs that ever were."""

    def __init__(self, backend: Backend, seed: int) -> None:
        self.backend, self.queue = backend, backend.queue
        self.random = random.Random(seed)
        self.ids: list[str] = []

    def some(self) -> list[str]:
        return self.random.sample(self.ids, min(len(self.ids), self.random.randint(1, 4)))

    async def submit(self) -> None:
        pick = self.random.choice
        jobs = [
            a_job(
                queue=pick(QUEUES),
                priority=pick((0, 0, 5)),
                delay_ms=pick((0, 0, 3 * SECOND)),
                expires_ms=pick((None, None, 5 * SECOND)),
                key=pick((None, None, "k")),
                max_deliveries=pick((1, 3)),
            )
            for _ in range(self.random.randint(1, 6))
        ]
        answers = await self.queue.submit(jobs)
        self.ids += [told.job_id for told in answers if not told.duplicate]

    async def claim(self) -> None:
        await claim(self.queue, queues=QUEUES, limit=self.random.randint(1, 5))

    async def start(self) -> None:
        job = a_job(queue=self.random.choice(QUEUES))
        await self.queue.start(job, "inline", 15 * SECOND)
        self.ids.append(job.id)

    async def finish(self) -> None:
        page = await self.queue.find(JobFilter(statuses=(JobStatus.RUNNING,)), limit=100)
        chosen = self.random.sample(page.items, min(len(page.items), 3))
        kinds, delays = list(OutcomeKind), (0, 2 * SECOND)
        await self.queue.finish(
            [
                Outcome(
                    lease=lease(job),
                    kind=self.random.choice(kinds),
                    delay_ms=self.random.choice(delays),
                )
                for job in chosen
            ]
        )

    async def cancel(self) -> None:
        await self.queue.cancel(self.some(), "enough")

    async def retry(self) -> None:
        await self.queue.retry(self.some())

    async def delete(self) -> None:
        await self.queue.delete(self.some())

    async def pass_time(self) -> None:
        self.backend.clock.advance(self.random.choice((SECOND, 5 * SECOND, 16 * SECOND)))
        await sweep(self.queue)

    async def step(self) -> None:
        await self.random.choice(
            (
                *(self.submit, self.claim, self.claim, self.start, self.finish, self.finish),
                *(self.cancel, self.retry, self.delete, self.pass_time),
            )
        )()

    async def check(self) -> None:
        """Whether `queues` counts what is stored."""
        stored = [job for job in await self.queue.get(self.ids) if job is not None]
        there = Counter((job.queue, job.status) for job in stored)
        listed = {info.name: info for info in await self.queue.queues()}
        for name in QUEUES:
            info = listed.get(name)
            told = (info.queued, info.scheduled, info.running) if info else (0, 0, 0)
            waiting = (JobStatus.QUEUED, JobStatus.SCHEDULED, JobStatus.RUNNING)
            assert told == tuple(there[name, status] for status in waiting), name


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_counts_of_queues_stay_exact_through_every_kind_of_step(
    backend: Backend, seed: int
) -> None:
    walk = Walk(backend, seed)
    await walk.submit()
    for _ in range(150):
        await walk.step()
        await walk.check()
    while any(job and not job.status.finished for job in await walk.queue.get(walk.ids)):
        await walk.pass_time()
        await walk.claim()
        await walk.finish()
    await walk.check()
