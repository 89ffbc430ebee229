"""The error of a job has the short name of its type, and the one with its module."""

from __future__ import annotations

import pytest

from conduit.core.retry import RetryPolicy
from conduit.engine.attempts.function import Function
from tests.engine import process_jobs
from tests.engine.bench import Bench, process_task, task

DECLINED = "tests.engine.process_jobs.CardError.Declined"


async def declines() -> None:
    process_jobs.decline()


@pytest.mark.parametrize(
    "function",
    [
        task(declines, name="pay"),
        task(process_jobs.decline, name="pay"),
        process_task(process_jobs.decline, name="pay"),
    ],
    ids=lambda function: function.mode.value,
)
async def test_every_mode_tells_the_same_names(bench: Bench, function: Function) -> None:
    await bench.start(function)
    error = (await bench.run("pay")).error
    assert error is not None
    assert (error.type, error.qualified_name) == ("Declined", DECLINED)


async def test_an_error_that_cannot_come_to_the_worker_keeps_its_names(bench: Bench) -> None:
    await bench.start(process_task(process_jobs.decline_by_an_error_of_its_own, name="pay"))
    error = (await bench.run("pay")).error
    assert error is not None
    assert error.type == "OnlyHere"
    own = "decline_by_an_error_of_its_own.<locals>.OnlyHere"
    assert error.qualified_name == f"tests.engine.process_jobs.{own}"


async def test_errors_of_python_have_their_module_too_and_retries_go_by_the_type(
    bench: Bench,
) -> None:
    async def divide() -> None:
        raise ZeroDivisionError("no")

    retry = RetryPolicy(retries=2, delay=0.01, jitter=0, retry_on=(ArithmeticError,))
    await bench.start(task(divide, retry=retry))
    job = await bench.run("divide")
    assert job.error is not None
    assert (job.error.type, job.error.qualified_name) == (
        "ZeroDivisionError",
        "builtins.ZeroDivisionError",
    )
    assert job.failures == 3
