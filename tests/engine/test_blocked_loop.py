"""Code that blocks the worker's event loop."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from conduit.core.model import JobStatus, Reason
from conduit.engine.attempts.function import Hooks, Next
from conduit.engine.context import Context
from tests.engine.bench import PATIENCE, Bench, task
from tests.engine.heard import Heard

BLOCKS = "blocks the event loop"


class Blocker:
    """Blocks whoever calls it until the log has told of that."""

    def __init__(self) -> None:
        self._told = threading.Event()
        self.heard = Heard(BLOCKS, self._told.set)

    def block(self) -> None:
        assert self._told.wait(PATIENCE)


@pytest.fixture
def blocker() -> Blocker:
    return Blocker()


async def test_a_task_that_blocks_the_loop_is_told_of_with_its_job_and_line(
    bench: Bench, blocker: Blocker
) -> None:
    async def call_a_slow_service() -> None:
        blocker.block()  # as requests.get

    with blocker.heard.on("conduit.job"):
        await bench.start(task(call_a_slow_service))
        job = await bench.run("call_a_slow_service")
        (line,) = await blocker.heard.lines(1)
    assert line.startswith(f"job {job.id} (call_a_slow_service) blocks the event loop: ")
    assert "test_blocked_loop.py:" in line
    assert "Blocker.block" in line
    assert "plain def" in line


async def test_a_task_that_blocks_past_its_timeout_has_timed_out_and_says_where(
    bench: Bench, blocker: Blocker
) -> None:
    async def block() -> str:
        blocker.block()
        return "late"

    with blocker.heard.on("conduit.job"):
        await bench.start(task(block, timeout=0.1))
        job = await bench.run("block")
    assert (job.status, job.reason) == (JobStatus.FAILED, Reason.TIMEOUT)
    assert job.error is not None
    assert "its timeout of 0.1 s" in job.error.message
    assert "it blocked the event loop at " in job.error.message
    assert "test_blocked_loop.py:" in job.error.message


async def test_a_short_block_past_the_timeout_is_a_timeout_as_well(bench: Bench) -> None:
    async def block() -> str:
        time.sleep(0.2)  # noqa: ASYNC251 - that is what is wrong with it
        return "late"

    await bench.start(task(block, timeout=0.1))
    job = await bench.run("block")
    assert (job.status, job.reason) == (JobStatus.FAILED, Reason.TIMEOUT)


async def test_what_blocks_in_a_task_that_a_job_has_started_is_that_jobs(
    bench: Bench, blocker: Blocker
) -> None:
    async def part() -> None:
        blocker.block()

    async def fan_out() -> None:
        await asyncio.gather(part(), part())

    with blocker.heard.on("conduit.job"):
        await bench.start(task(fan_out))
        job = await bench.run("fan_out")
        (line,) = await blocker.heard.lines(1)
    assert line.startswith(f"job {job.id} (fan_out) blocks")


async def test_a_hook_that_blocks_is_named_as_one(bench: Bench, blocker: Blocker) -> None:
    async def mail(ctx: Context) -> None:
        blocker.block()

    async def job() -> None: ...

    with blocker.heard.on("conduit.job"):
        await bench.start(task(job, hooks=Hooks(on_complete=mail)))
        done = await bench.run("job")
        (line,) = await blocker.heard.lines(1)
    assert line.startswith(f"a hook of job {done.id} (job) blocks")


async def test_middleware_that_blocks_is_named_as_such(bench: Bench, blocker: Blocker) -> None:
    async def slow(ctx: Context, call_next: Next) -> object:
        blocker.block()
        return await call_next()

    async def job() -> None: ...

    with blocker.heard.on("conduit.job"):
        await bench.start(task(job), middleware=[slow])
        done = await bench.run("job")
        (line,) = await blocker.heard.lines(1)
    assert line.startswith(f"middleware of job {done.id} (job) blocks")


async def test_a_lifespan_that_blocks_is_named_as_such(bench: Bench, blocker: Blocker) -> None:
    @asynccontextmanager
    async def load_a_model() -> AsyncIterator[None]:
        blocker.block()
        yield

    async def job() -> None: ...

    with blocker.heard.on("conduit.engine"):
        await bench.start(task(job), lifespan=load_a_model)
        (line,) = await blocker.heard.lines(1)
    assert line.startswith("the lifespan blocks the event loop of worker orders: ")


async def test_code_beside_the_jobs_that_blocks_is_told_of_with_its_line(
    bench: Bench, blocker: Blocker
) -> None:
    async def job() -> None: ...

    async def route() -> None:
        blocker.block()

    with blocker.heard.on("conduit.engine"):
        await bench.start(task(job))
        await asyncio.create_task(route())
        (line,) = await blocker.heard.lines(1)
    assert line.startswith("code beside the jobs' own tasks blocks the event loop of worker orders")
    assert "test_blocked_loop.py:" in line


async def test_a_loop_that_is_busy_with_many_short_steps_is_not_called_blocked(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    together = asyncio.Barrier(30)

    async def compute() -> None:
        await together.wait()
        time.sleep(0.1)  # noqa: ASYNC251 - many of these in one turn of the loop

    await bench.start(task(compute), concurrency=30)
    jobs = [await bench.submit("compute") for _ in range(30)]
    for each in jobs:
        await bench.completed(each)
    assert BLOCKS not in caplog.text
