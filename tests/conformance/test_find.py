"""get, find, queues."""

from __future__ import annotations

import pytest

from conduit.core.model import JobStatus, NewJob, QueueInfo
from conduit.core.transitions import OutcomeKind
from conduit.queue.base import JobFilter, JobPage, Queue, Registration
from tests.conformance.backends import Backend
from tests.conformance.builders import (
    HOUR,
    MINUTE,
    SECOND,
    a_job,
    a_worker,
    cancel,
    claim,
    claim_one,
    complete,
    fail,
    failed,
    finish,
    running,
    submit,
)


async def find_ids(queue: Queue, **fields: object) -> list[str]:
    page = await queue.find(JobFilter(**fields))  # pyright: ignore[reportArgumentType]
    assert page.total == len(page.items)
    return [job.id for job in page.items]


async def test_get_answers_in_order_with_none_for_what_is_not_stored(queue: Queue) -> None:
    first, second = await submit(queue), await submit(queue)
    found = await queue.get([second.id, "nobody", first.id, second.id])
    assert [job and job.id for job in found] == [second.id, None, first.id, second.id]
    assert await queue.get([]) == []


async def test_jobs_are_found_newest_first(backend: Backend) -> None:
    jobs: list[NewJob] = []
    for _ in range(4):
        jobs.append(await submit(backend.queue))
        backend.clock.advance(1)
    assert await find_ids(backend.queue) == [job.id for job in reversed(jobs)]


async def test_an_empty_queue_has_no_jobs(queue: Queue) -> None:
    assert await queue.find(JobFilter()) == JobPage(items=[], total=0, next_cursor=None)


async def test_find_gives_whole_jobs(queue: Queue) -> None:
    job = await failed(queue, args=b'{"n":1}', key="k", metadata=b'{"a":1}')
    assert (await queue.find(JobFilter())).items == [job]


@pytest.fixture
async def many(backend: Backend) -> dict[str, str]:
    """A job in each status, by the status' name."""
    queue = backend.queue
    names = ("completed", "failed", "running")
    made = {name: await running(queue, worker_id=f"w-{name}", function=name) for name in names}
    await complete(queue, made["completed"])
    await fail(queue, made["failed"])
    ids = {name: job.id for name, job in made.items()}
    ids["cancelled"] = (await submit(queue, function="cancelled", queue="other")).id
    await cancel(queue, ids["cancelled"])
    ids["queued"] = (await submit(queue, function="queued", queue="other")).id
    ids["scheduled"] = (await submit(queue, function="scheduled", delay_ms=HOUR)).id
    return ids


@pytest.mark.parametrize("status", [s for s in JobStatus if s is not JobStatus.BLOCKED])
async def test_find_by_status(queue: Queue, many: dict[str, str], status: JobStatus) -> None:
    assert await find_ids(queue, statuses=(status,)) == [many[status.value]]


async def test_several_values_of_one_field_are_alternatives(
    queue: Queue, many: dict[str, str]
) -> None:
    statuses = (JobStatus.FAILED, JobStatus.QUEUED)
    assert set(await find_ids(queue, statuses=statuses)) == {many["failed"], many["queued"]}
    functions = ("failed", "scheduled", "no such function")
    assert set(await find_ids(queue, functions=functions)) == {many["failed"], many["scheduled"]}
    workers = ("w-failed", "w-completed")
    assert set(await find_ids(queue, worker_ids=workers)) == {many["failed"], many["completed"]}
    assert len(await find_ids(queue, queues=("default", "other"))) == 6


async def test_find_by_queue_and_by_worker(queue: Queue, many: dict[str, str]) -> None:
    assert set(await find_ids(queue, queues=("other",))) == {many["queued"], many["cancelled"]}
    assert await find_ids(queue, worker_ids=("w-running",)) == [many["running"]]
    assert await find_ids(queue, queues=("no such queue",)) == []


async def test_fields_combine_by_and(queue: Queue, many: dict[str, str]) -> None:
    statuses = (JobStatus.QUEUED, JobStatus.RUNNING)
    assert await find_ids(queue, statuses=statuses, queues=("other",)) == [many["queued"]]
    assert await find_ids(queue, statuses=statuses, functions=("failed",)) == []


async def test_find_by_key_parent_and_root(queue: Queue) -> None:
    await submit(queue)
    keyed = await submit(queue, key="k")
    child = await submit(queue, parent_id="p", root_id="r")
    grandchild = await submit(queue, parent_id=child.id, root_id="r")
    assert await find_ids(queue, key="k") == [keyed.id]
    assert await find_ids(queue, key="other") == []
    assert await find_ids(queue, parent_id="p") == [child.id]
    assert set(await find_ids(queue, root_id="r")) == {child.id, grandchild.id}


async def test_find_by_key_sees_earlier_holders_too(queue: Queue) -> None:
    old = await failed(queue, key="k")
    new = await submit(queue, key="k")
    assert set(await find_ids(queue, key="k")) == {old.id, new.id}


async def test_submitted_after_is_inclusive_and_before_is_not(backend: Backend) -> None:
    first = await submit(backend.queue)
    at = backend.clock.now
    backend.clock.advance(SECOND)
    second = await submit(backend.queue)
    now = backend.clock.now
    assert await find_ids(backend.queue, submitted_after=now) == [second.id]
    assert await find_ids(backend.queue, submitted_before=now) == [first.id]
    assert await find_ids(backend.queue, submitted_after=at, submitted_before=at) == []
    assert len(await find_ids(backend.queue, submitted_after=at, submitted_before=now + 1)) == 2


# --- pages ------------------------------------------------------------------------------------


async def test_a_cursor_leads_through_all_pages_with_exact_totals(queue: Queue) -> None:
    await queue.submit([a_job(function="other") for _ in range(3)])
    jobs = [a_job() for _ in range(7)]
    await queue.submit(jobs)
    seen: list[str] = []
    cursor = None
    while True:
        page = await queue.find(JobFilter(functions=("task",)), limit=3, cursor=cursor)
        assert page.total == 7
        assert len(page.items) <= 3
        seen.extend(job.id for job in page.items)
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == [job.id for job in reversed(jobs)]


async def test_a_page_that_holds_all_has_no_next(queue: Queue) -> None:
    await queue.submit([a_job() for _ in range(3)])
    assert (await queue.find(JobFilter(), limit=3)).next_cursor is None


async def test_pages_stay_in_place_while_new_jobs_come(backend: Backend) -> None:
    queue = backend.queue
    jobs = [a_job() for _ in range(6)]
    await queue.submit(jobs)
    first = await queue.find(JobFilter(), limit=2)
    await queue.submit([a_job() for _ in range(5)])
    second = await queue.find(JobFilter(), limit=2, cursor=first.next_cursor)
    backend.clock.advance(SECOND)
    await submit(queue)
    third = await queue.find(JobFilter(), limit=2, cursor=second.next_cursor)
    seen = [job.id for page in (first, second, third) for job in page.items]
    assert seen == [job.id for job in reversed(jobs)]


@pytest.mark.parametrize("cursor", ["nonsense", "", "-1;drop", "é", "9" * 40])
async def test_a_foreign_cursor_is_a_value_error(queue: Queue, cursor: str) -> None:
    await submit(queue)
    with pytest.raises(ValueError, match="cursor"):
        await queue.find(JobFilter(), cursor=cursor)


# --- queues -----------------------------------------------------------------------------------


async def test_queues_show_their_depth_and_oldest_job(backend: Backend) -> None:
    queue = backend.queue
    await queue.submit([a_job(queue="b") for _ in range(4)])
    await claim_one(queue, queues=("b",), limit=1)
    oldest = backend.clock.now
    backend.clock.advance(MINUTE)
    await queue.submit([a_job(queue="b"), a_job(queue="b", delay_ms=HOUR)])
    await submit(queue, queue="a", delay_ms=HOUR)

    assert await queue.queues() == [
        QueueInfo(name="a", scheduled=1),
        QueueInfo(name="b", queued=4, scheduled=1, running=1, oldest_at=oldest),
    ]


async def test_the_wait_of_a_delayed_job_begins_when_it_is_due(backend: Backend) -> None:
    queue = backend.queue
    job = await running(queue)
    backend.clock.advance(HOUR)
    await finish(queue, job, OutcomeKind.RETRY_LATER, delay_ms=MINUTE)
    due = backend.clock.now + MINUTE
    backend.clock.advance(HOUR)
    assert await claim(queue, functions=("other",)) == []
    (info,) = await queue.queues()
    assert (info.queued, info.oldest_at) == (1, due)


async def test_a_paused_queue_is_listed_though_it_is_empty(queue: Queue) -> None:
    await queue.pause("quiet")
    assert await queue.queues() == [QueueInfo(name="quiet", paused=True)]
    await queue.resume("quiet")
    assert [info for info in await queue.queues() if info.paused] == []


async def test_the_queues_of_workers_are_listed_though_they_are_empty(queue: Queue) -> None:
    await queue.register(Registration(worker=a_worker(queues=("x", "y"))))
    await submit(queue, queue="x")
    assert [(info.name, info.queued) for info in await queue.queues()] == [("x", 1), ("y", 0)]
