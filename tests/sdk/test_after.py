"""`options(after=...)`: tasks that wait for other jobs, with real workers, on either store."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from uuid import uuid4

import pytest

from conduit.core.errors import (
    DependencyNotFoundError,
    InvalidOptionError,
    JobStateError,
    TaskCancelledError,
)
from conduit.core.model import MAX_AFTER, JobStatus
from conduit.queue import Queue
from conduit.sdk.future import Future
from conduit.sdk.parallel import gather, submit_many
from conduit.sdk.worker import Worker


@pytest.fixture(autouse=True, params=["sqlite", "redis"])
def queue_url(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> str:
    """In place of the one for all tests here: each is run on both stores."""
    if request.param == "redis":
        url = f"{request.getfixturevalue('redis_url')}?namespace=after-{uuid4().hex}"
    else:
        url = f"sqlite:///{tmp_path / 'queue.db'}"
    monkeypatch.setenv("CONDUIT_QUEUE_URL", url)
    return url


async def test_a_task_runs_once_those_that_it_waits_for_have_completed(worker: Worker) -> None:
    told: list[str] = []

    @worker.task
    async def tell(word: str) -> str:
        told.append(word)
        return word

    first = await tell.submit("first")
    middle = await submit_many(tell.options(after=first), ["left", "right"])
    last = await tell.options(after=middle).submit("last")
    assert await last.status() is JobStatus.BLOCKED
    async with worker:
        assert await last.value() == "last"
        assert await gather(*middle) == ["left", "right"]
    assert (told[0], told[-1], len(told)) == ("first", "last", 4)


async def test_a_future_an_id_and_several_of_both_can_be_waited_for(
    worker: Worker, queue: Queue
) -> None:
    @worker.task
    def nothing() -> None: ...

    one, other = await nothing.submit(), await nothing.submit()
    for after, expected in (
        (one, [one]),
        (one.job_id, [one]),
        ((one, other.job_id, one), [one, other]),
        ((each for each in (other, one)), [other, one]),
        ([], []),
    ):
        future = await nothing.options(after=after).submit()
        (job,) = await queue.get([future.job_id])
        assert job is not None
        assert list(job.after) == [each.job_id for each in expected]


async def test_options_given_later_replace_what_is_waited_for(worker: Worker, queue: Queue) -> None:
    @worker.task
    def nothing() -> None: ...

    first = await nothing.submit()
    waiting = nothing.options(after=first)
    futures = [await waiting.options(priority=1).submit(), await waiting.options(after=()).submit()]
    jobs = await queue.get([each.job_id for each in futures])
    assert [job and job.after for job in jobs] == [(first.job_id,), ()]


async def test_the_future_of_a_job_whose_dependency_failed_says_so(worker: Worker) -> None:
    @worker.task
    async def divide(by: int) -> float:
        return 1 / by

    first = await divide.submit(0)
    last = await divide.options(after=first).submit(1)
    async with worker:
        with pytest.raises(TaskCancelledError, match=f"job {first.job_id} that it waits for has"):
            await last.value()
        with pytest.raises(JobStateError, match="retry that one first"):
            await last.retry()
        late = await divide.options(after=first).submit(1)
        assert (await late.outcome()).status is JobStatus.CANCELLED


async def test_cancelling_a_running_job_cancels_those_that_wait_once_it_stops(
    worker: Worker,
) -> None:
    started = asyncio.Event()

    @worker.task
    async def forever() -> None:
        started.set()
        await asyncio.Event().wait()

    first = await forever.submit()
    last = await forever.options(after=first).submit()
    async with worker:
        await started.wait()
        assert await first.cancel()
        result = await last.outcome()
    assert result.error == f"job {first.job_id} that it waits for was cancelled"
    assert result.attempts == 0


async def test_a_job_that_is_not_there_cannot_be_waited_for(worker: Worker, queue: Queue) -> None:
    @worker.task
    def nothing() -> None: ...

    with pytest.raises(DependencyNotFoundError, match="'nobody', which isn't in this queue"):
        await nothing.options(after="nobody").submit()
    assert await queue.queues() == []


async def test_others_that_submit_at_the_same_time_are_kept_all_the_same(worker: Worker) -> None:
    @worker.task
    def nothing() -> None: ...

    lost = nothing.options(after="nobody")
    answers = await asyncio.gather(
        *(handle.submit() for handle in (nothing, nothing, lost, nothing)), return_exceptions=True
    )
    assert [isinstance(each, DependencyNotFoundError) for each in answers] == [
        *(False, False, True, False)
    ]


async def test_a_web_of_jobs_runs_in_order_whoever_runs_them_and_fails_only_behind_failures() -> (
    None
):
    """Sixty jobs, each waiting for some before it, on three workers; a few of them fail."""
    chance = random.Random(7)
    workers = [Worker(f"w{number}", concurrency=4) for number in range(3)]
    ended: set[int] = set()
    started: list[int] = []
    awaited: dict[int, list[int]] = {}

    async def step(number: int) -> None:
        assert ended.issuperset(awaited[number])
        started.append(number)
        await asyncio.sleep(chance.random() / 100)
        if number in (11, 23):
            raise ValueError(number)
        ended.add(number)

    handles = [worker.task(name=worker.name)(step) for worker in workers]
    futures: list[Future[None]] = []
    async with workers[0], workers[1], workers[2]:
        for number in range(60):
            awaited[number] = chance.sample(range(number), min(number, chance.randint(0, 3)))
            after = [futures[each] for each in awaited[number]]
            futures.append(await chance.choice(handles).options(after=after).submit(number))
        results = [await future.outcome() for future in futures]

    lost: set[int] = set()
    for number, result in enumerate(results):
        if lost.intersection(awaited[number]):
            assert (result.status, number in started) == (JobStatus.CANCELLED, False)
            lost.add(number)
        elif number in (11, 23):
            assert result.error == f"ValueError: {number}"
            lost.add(number)
        else:
            assert result.ok, result
    assert sorted(started) == sorted(set(started))
    assert len(lost) > 2


def test_a_job_waits_for_a_thousand_at_most(worker: Worker) -> None:
    @worker.task
    def nothing() -> None: ...

    ids = [str(number) for number in range(MAX_AFTER + 1)]
    nothing.options(after=[*ids[:-1], *ids[:-1]])
    with pytest.raises(InvalidOptionError, match="names 1,001 jobs"):
        nothing.options(after=ids)
