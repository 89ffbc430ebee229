"""Lessons on the public interface: futures, waits, keys, retries, checkpoints, executors, runs."""

from __future__ import annotations

import asyncio
import json
import signal
import threading
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from conduit import (
    Context,
    Fail,
    Future,
    JobStatus,
    TaskFailedError,
    Worker,
    current_job,
    gather,
    map_tasks,
    submit_many,
)
from conduit.queue import Queue, open_queue
from conduit.queue.base import JobFilter, Retention
from conduit.queue.redis import RedisQueue, connection, listener
from conduit.queue.redis.address import parse
from conduit.queue.redis.keys import Keys
from tests.cli.conftest import Cli
from tests.lessons.conftest import job_of, until
from tests.lessons.process_jobs import tenant, whose
from tests.sdk.support import run_script

HOUR = 3600.0


async def double(number: int) -> int:
    return 2 * number


# --- futures and waits -----------------------------------------------------------------------


# Review 12: `submit()` returns a `Future`; `map_tasks`, `submit_many`, `gather` work with it.
async def test_submit_returns_a_future_and_the_parallel_helpers_work_with_futures(
    worker: Worker,
) -> None:
    handle = worker.task(double)
    future = await handle.submit(1)
    assert isinstance(future, Future)
    many = await submit_many(handle, [2, (3,), {"number": 4}])
    assert all(isinstance(each, Future) for each in many)
    async with worker:
        assert await gather(future, *many) == [2, 4, 6, 8]
        assert await map_tasks(handle, range(20), concurrency=3) == [2 * n for n in range(20)]
        assert await Future.of(future.job_id, handle).value() == 2


class SkippingLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock can be put ahead: what is due by then happens at once."""

    ahead = 0.0

    def time(self) -> float:
        return super().time() + self.ahead


def run_with_skips(test: Callable[[SkippingLoop], Coroutine[Any, Any, None]]) -> None:
    loop = SkippingLoop()
    with pytest.MonkeyPatch.context() as patch, asyncio.Runner(loop_factory=lambda: loop) as runner:
        for module in (connection, listener):  # an answer may be under way as hours are skipped
            patch.setattr(module, "ANSWER_TIMEOUT_S", 1000 * HOUR)
        runner.run(test(loop))


# Review 13: `wait()` has no hidden 30 s limit.
def test_wait_waits_for_a_day(worker: Worker, queue_url: str) -> None:
    handle = worker.task(double)

    async def wait(loop: SkippingLoop) -> None:
        waiting = asyncio.create_task(handle.wait(1))
        await until_waiting(queue_url)
        for _ in range(24):
            loop.ahead += HOUR
            done, _ = await asyncio.wait({waiting}, timeout=0.01)
            assert not done
        async with worker:
            assert (await waiting).value == 2

    run_with_skips(wait)


# Review 13: an explicit limit is passed through, and is the only one.
def test_wait_waits_for_as_long_as_it_is_told(worker: Worker, queue_url: str) -> None:
    handle = worker.task(double)

    async def wait(loop: SkippingLoop) -> None:
        waiting = asyncio.create_task(handle.options(wait_timeout=2 * HOUR).wait(1))
        job_id = await until_waiting(queue_url)
        loop.ahead += 2 * HOUR - 60
        done, _ = await asyncio.wait({waiting}, timeout=0.01)
        assert not done
        loop.ahead += 60
        with pytest.raises(TimeoutError, match="goes on"):
            await waiting
        async with worker:
            assert await handle.future(job_id).value() == 2

    run_with_skips(wait)


async def until_waiting(queue_url: str) -> str:
    """Until the one job has been submitted, and whoever submitted it waits for it; its id."""
    async with open_queue(queue_url) as queue:

        async def submitted() -> bool:
            return (await queue.find(JobFilter())).total == 1

        await until(submitted)
        if isinstance(queue, RedisQueue):
            await until(partial(is_anyone_waiting, queue_url))
        (job,) = (await queue.find(JobFilter())).items
        return job.id


async def is_anyone_waiting(redis_url: str) -> bool:
    """Whether the server was asked to tell of some job's end: nothing is on its way any more."""
    waits = Keys(parse(redis_url).namespace).name("waits")
    with Redis.from_url(redis_url.partition("?")[0]) as client:
        return bool(client.exists(waits))


TWO_SUBMITS = """
import asyncio, conduit

worker = conduit.Worker("test")

@worker.task
async def double(number: int) -> int: ...

print(double.submit_sync(1).status_sync())
asyncio.run(double.submit(2))
print(double.submit_sync(3).status_sync())
"""


# Lesson: the second `submit_sync` in a process failed with "Event loop is closed".
def test_a_second_submit_sync_in_a_process_works(queue_url: str, tmp_path: Path) -> None:
    done = run_script(tmp_path, TWO_SUBMITS)
    assert (done.stdout, done.stderr, done.returncode) == ("queued\nqueued\n", "", 0)


# --- keys and retries ------------------------------------------------------------------------


# Lesson: a duplicate idempotent submit raised, instead of handing back the running job.
async def test_a_duplicate_submit_hands_back_the_running_jobs_future(
    worker: Worker, queue: Queue
) -> None:
    running, go = asyncio.Event(), asyncio.Event()

    @worker.task
    async def pay(order_id: str) -> str:
        running.set()
        await go.wait()
        return f"paid {order_id}"

    keyed = pay.options(key="order-1")
    async with worker:
        first = await keyed.submit("1")
        await running.wait()
        second = await keyed.submit("1")
        assert isinstance(second, Future)
        assert second.job_id == first.job_id
        assert (await queue.find(JobFilter())).total == 1
        go.set()
        assert await gather(first, second) == ["paid 1", "paid 1"]


# Lesson: retry from the API ran with empty arguments, because they were never stored.
async def test_a_retry_runs_with_the_arguments_of_the_first_time(
    worker: Worker, queue_url: str, cli: Cli
) -> None:
    seen: list[tuple[str, int]] = []

    @worker.task
    async def charge(order_id: str, cents: int = 100) -> int:
        seen.append((order_id, cents))
        if len(seen) < 3:
            raise Fail("the bank is closed")
        return cents

    async with worker:
        future = await charge.submit("a", cents=5)
        with pytest.raises(TaskFailedError):
            await future.result()
        await future.retry()
        with pytest.raises(TaskFailedError):
            await future.result()
        retry = ("jobs", "retry", future.job_id, "--queue-url", queue_url)
        assert (await asyncio.to_thread(cli, *retry)).returncode == 0
        assert await future.value() == 5
    assert seen == [("a", 5)] * 3


# --- inside a job ----------------------------------------------------------------------------


# Lesson: `checkpoint` could be written and never read.
async def test_a_checkpoint_can_be_read_on_the_next_attempt(worker: Worker) -> None:
    @worker.task(retries=1, retry_delay=0)
    async def resume() -> Any:
        ctx = current_job()
        if ctx.attempt == 1:
            assert ctx.checkpoint is None
            await ctx.save_checkpoint({"page": 7, "seen": ["a", "b"]})
            raise OSError("connection reset")
        return ctx.checkpoint

    async with worker:
        assert (await resume.wait()).value == {"page": 7, "seen": ["a", "b"]}


# Review 2: `set_metadata` finds the stored job by its id, merges, and leaves its life span alone.
async def test_metadata_is_merged_on_the_stored_job_which_lives_as_long_as_before(
    worker: Worker, queue: Queue, queue_url: str
) -> None:
    noted, go = asyncio.Event(), asyncio.Event()

    @worker.task
    async def work() -> None:
        await current_job().set_metadata(colour="red", size=2)
        noted.set()
        await go.wait()

    async with worker:
        future = await work.options(metadata={"shop": "here", "size": 1}).submit()
        await noted.wait()
        async with open_queue(queue_url) as another:
            stored = (await job_of(another, future.job_id)).metadata
        assert json.loads(stored) == {"shop": "here", "size": 2, "colour": "red"}
        await queue.sweep(Retention(results_ms=0))
        assert await future.status() is JobStatus.RUNNING
        go.set()
        await future.result()
    await queue.sweep(Retention())
    assert await future.status() is JobStatus.COMPLETED
    await queue.sweep(Retention(results_ms=0))
    assert await queue.get([future.job_id]) == [None]


async def as_tenant(ctx: Context, call_next: Callable[[], Awaitable[Any]]) -> Any:
    tenant.set(threading.Lock())  # what can't be pickled
    return await call_next()


# Review 18: the process executor never ships a `contextvars.Context`, but a call target.
async def test_a_process_gets_a_call_target_and_none_of_the_callers_context(
    queue_url: str,
) -> None:
    worker = Worker("test", sync_executor="process", processes=1, middleware=[as_tenant])
    handle = worker.task(whose)
    async with worker:
        assert (await handle.wait("order 1")).value == "order 1 of nobody"


# Review 18: the policy for threads: they get a copy.
async def test_a_thread_gets_a_copy_of_the_callers_context(queue_url: str) -> None:
    worker = Worker("test", sync_executor="thread", middleware=[as_tenant])
    handle = worker.task(whose)
    async with worker:
        assert "lock" in str((await handle.wait("order 1")).value)


# --- an API-only run -------------------------------------------------------------------------

SHOP = """
    import conduit

    worker = conduit.Worker("orders")
    api = conduit.Api("shop", port=0)

    @worker.task
    async def charge(order_id: str) -> None: ...

    @api.get("/")
    async def greet() -> str:
        return "hello"

    @api.post("/orders/{order_id}")
    async def create(order_id: str) -> str:
        return (await charge.submit(order_id)).job_id
"""


# Review 14: `--only` filters before workers are initialised: an API-only run needs no queue.
def test_an_api_only_run_needs_no_queue_until_a_route_submits(
    cli: Cli, unreachable_url: str
) -> None:
    run, address = start_shop(cli, unreachable_url)
    assert ask(f"{address}/") == (200, "hello")
    status, _ = ask(f"{address}/orders/1", data=b"")
    assert status >= 500
    assert ask(f"{address}/") == (200, "hello")
    run.send(signal.SIGTERM)
    assert run.end() == 0


# Review 14: a route that submits connects at its first submit.
def test_a_route_of_an_api_only_run_connects_at_its_first_submit(cli: Cli, queue_url: str) -> None:
    run, address = start_shop(cli, queue_url)
    status, job_id = ask(f"{address}/orders/1", data=b"")
    assert status == 200
    assert Future[None](job_id).status_sync() is JobStatus.QUEUED
    assert run.stop() == 0


def start_shop(cli: Cli, queue_url: str) -> Any:
    """The API alone; the run and the API's address."""
    cli.write("shop.py", SHOP)
    run = cli.start("run", "shop.py", "--only", "shop", "--queue-url", queue_url)
    banner = run.until("  stop ")
    (address,) = [word for word in banner.split() if word.startswith("http://")]
    assert "orders" not in banner
    return run, address


def ask(url: str, data: bytes | None = None) -> tuple[int, Any]:
    try:
        with urllib.request.urlopen(url, data=data, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()
