"""Failed attempts and what follows them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from conduit.core.events import EventKind
from conduit.core.model import JobStatus, Reason
from conduit.core.retry import RetryPolicy
from conduit.engine.context import Fail, Retry, current_job
from tests.engine.bench import Bench, task

AT_ONCE = RetryPolicy(retries=3, delay=0)


class Flaky:
    """A job that raises what it is given, one error for each attempt, and then returns."""

    def __init__(self, *errors: BaseException) -> None:
        self._errors = list(errors)
        self.attempts: list[int] = []

    async def job(self) -> str:
        job = current_job()
        self.attempts.append(job.attempt)
        if self._errors:
            raise self._errors.pop(0)
        return f"{job.attempt} of {job.max_attempts}"


async def test_a_job_is_retried_until_it_completes(bench: Bench) -> None:
    flaky = Flaky(OSError("one"), OSError("two"))
    await bench.start(task(flaky.job, retry=AT_ONCE))
    job = await bench.run("job")
    assert (job.status, job.result, job.failures) == (JobStatus.COMPLETED, b'"3 of 4"', 2)
    assert flaky.attempts == [1, 2, 3]
    assert job.error is None


async def test_a_job_whose_retries_are_used_up_fails_with_its_last_error(bench: Bench) -> None:
    flaky = Flaky(*(OSError(f"number {n}") for n in range(1, 9)))
    await bench.start(task(flaky.job, retry=AT_ONCE))
    job = await bench.run("job")
    assert (job.status, job.reason, job.failures) == (JobStatus.FAILED, Reason.ERROR, 4)
    assert job.error is not None
    assert job.error.message == "number 4"
    assert flaky.attempts == [1, 2, 3, 4]


async def test_a_task_without_retries_fails_at_its_first_error(bench: Bench) -> None:
    flaky = Flaky(OSError("one"))
    await bench.start(task(flaky.job))
    assert (await bench.run("job")).status is JobStatus.FAILED
    assert flaky.attempts == [1]


async def test_the_next_attempt_waits_as_long_as_the_policy_says(bench: Bench) -> None:
    flaky = Flaky(OSError("one"), OSError("two"))
    policy = RetryPolicy(retries=2, delay=0.2, backoff=2, jitter=0)
    await bench.start(task(flaky.job, retry=policy))
    job = await bench.run("job")
    waits = [
        (event.run_at or 0) - event.at
        for event in await bench.events(job.id)
        if event.kind is EventKind.RETRYING
    ]
    assert waits == [200, 400]


async def test_retry_asks_for_another_attempt_after_its_own_delay(bench: Bench) -> None:
    flaky = Flaky(Retry(delay=0.25))
    await bench.start(task(flaky.job, retry=RetryPolicy(retries=2, delay=60)))
    job = await bench.run("job")
    assert job.status is JobStatus.COMPLETED
    retrying = await bench.event(job.id, EventKind.RETRYING)
    assert (retrying.run_at or 0) - retrying.at == 250


async def test_retry_works_from_a_thread(bench: Bench) -> None:
    attempts: list[int] = []

    def job() -> None:
        attempts.append(current_job().attempt)
        if len(attempts) == 1:
            raise Retry(delay=0)

    await bench.start(task(job))
    assert (await bench.run("job")).status is JobStatus.COMPLETED
    assert attempts == [1, 2]


async def test_a_task_without_retries_may_ask_for_one_as_often_as_it_likes(bench: Bench) -> None:
    flaky = Flaky(*(Retry(delay=0) for _ in range(6)))
    await bench.start(task(flaky.job))
    assert (await bench.run("job")).status is JobStatus.COMPLETED
    assert flaky.attempts == [1, 2, 3, 4, 5, 6, 7]


async def test_retry_is_bound_by_the_tasks_retries(bench: Bench) -> None:
    flaky = Flaky(*(Retry("not yet", delay=0) for _ in range(6)))
    await bench.start(task(flaky.job, retry=RetryPolicy(retries=1)))
    job = await bench.run("job")
    assert job.status is JobStatus.FAILED
    assert job.error is not None
    assert job.error.message == "not yet"
    assert flaky.attempts == [1, 2]


async def test_fail_ends_a_job_whatever_retries_are_left(bench: Bench) -> None:
    flaky = Flaky(Fail("no such card"))
    await bench.start(task(flaky.job, retry=AT_ONCE))
    job = await bench.run("job")
    assert (job.status, job.reason) == (JobStatus.FAILED, Reason.FAIL)
    assert job.error is not None
    assert job.error.message == "no such card"
    assert flaky.attempts == [1]


@pytest.mark.parametrize("rule", [(OSError,), lambda error: "again" in str(error)])
async def test_only_the_errors_that_retry_on_names_are_retried(
    bench: Bench, rule: tuple[type[BaseException], ...] | Callable[[Any], bool]
) -> None:
    flaky = Flaky(OSError("again"), ValueError("never"))
    await bench.start(task(flaky.job, retry=RetryPolicy(retries=5, delay=0, retry_on=rule)))
    job = await bench.run("job")
    assert job.status is JobStatus.FAILED
    assert job.error is not None
    assert job.error.type == "ValueError"
    assert flaky.attempts == [1, 2]


async def test_a_submit_may_bring_its_own_number_of_retries(bench: Bench) -> None:
    flaky = Flaky(OSError("one"))
    await bench.start(task(flaky.job, retry=RetryPolicy(retries=0, delay=0)))
    job = await bench.run("job", retries=1)
    assert (job.status, job.result) == (JobStatus.COMPLETED, b'"2 of 2"')


async def test_an_operators_retry_gives_fresh_attempts(bench: Bench) -> None:
    flaky = Flaky(OSError("one"), OSError("two"))
    await bench.start(task(flaky.job, retry=RetryPolicy(retries=1, delay=0)))
    job = await bench.run("job")
    assert job.status is JobStatus.FAILED
    await bench.queue.retry([job.id])
    again = await bench.completed(job.id)
    assert (again.generation, again.attempt, again.fence) == (2, 1, 3)
