"""Who waits is woken: at once, whatever happens to connections, and without asking all the time."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

import pytest

from conduit.core.model import JobStatus
from conduit.queue.redis import RedisQueue, hints
from conduit.queue.redis import queue as queue_module
from conduit.queue.redis.listener import Listener
from tests.conformance.builders import (
    cancel,
    claim_one,
    complete,
    fail,
    retry,
    running,
    submit,
)
from tests.engine.bench import task
from tests.redis.conftest import Connect, StartBench
from tests.redis.support import commands_run, execute, until
from tests.servers.fixtures import StartRedis
from tests.servers.redis import RedisServer, binary


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks after nothing by itself for as long as a test takes: a hint that is lost shows."""
    monkeypatch.setattr(queue_module, "ANNOUNCE_S", 3600.0)
    monkeypatch.setattr(queue_module, "ASK_AGAIN_S", 3600.0)


async def work() -> None: ...


@pytest.mark.parametrize("name", ["valkey", "redis-6.2"])
async def test_an_idle_worker_asks_for_little(
    start_redis: StartRedis, start_bench: StartBench, name: str
) -> None:
    server = start_redis(binary=binary(name))
    bench = await start_bench(server.url)
    await bench.start(task(work))
    await bench.run("work")
    await bench.queue.pause_function("work")
    for _ in range(5):
        await bench.submit("work")
    idle = asyncio.create_task(bench.queue.wait_finished([await bench.submit("other")], 60))

    async def asks_for_little() -> bool:
        calls, commands, begun = scripts_run(server), commands_run(server), time.monotonic()
        await asyncio.sleep(2)
        calls, commands = scripts_run(server) - calls, commands_run(server) - commands
        # Two or three sweeps, a renewal of their lock, a heartbeat; and what they ask inside.
        took = time.monotonic() - begun
        return calls <= 3 * took and commands <= 40 * took

    await until(asks_for_little)
    idle.cancel()


def scripts_run(server: RedisServer) -> int:
    stats = {name: figure for name, figure in server_stats(server).items() if "eval" in name}
    return sum(int(figure["calls"]) for figure in stats.values())


def server_stats(server: RedisServer) -> dict[str, Any]:
    with server.client() as client:
        return dict(client.info("commandstats"))  # type: ignore[arg-type]


async def test_a_slip_of_who_is_told_is_not_taken_for_a_lost_connection(
    queue: RedisQueue, redis_server: RedisServer, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    def slip(_: str, message: bytes) -> None:
        raise RuntimeError(message.decode())

    listener = Listener(queue._server, slip, lambda: None)
    await listener.subscribe(namespace)
    await execute(redis_server, "PUBLISH", namespace, "a slip")

    async def told() -> bool:
        return any(each.exc_info and "a slip" in caplog.text for each in caplog.records)

    await until(told)
    await listener.close()


async def test_a_job_submitted_as_its_worker_falls_idle_is_run(
    start_bench: StartBench, url: str, patient: None
) -> None:
    bench = await start_bench(url)
    await bench.start(task(work), concurrency=2)
    dice = random.Random(7)
    for _ in range(300):
        job = await bench.run("work")
        assert job.status is JobStatus.COMPLETED
        for _ in range(dice.randrange(6)):
            await asyncio.sleep(0)


async def test_submits_from_elsewhere_find_workers_at_every_turn(
    start_bench: StartBench, connect: Connect, url: str, patient: None
) -> None:
    bench = await start_bench(url)
    submitters = [await connect(url) for _ in range(3)]
    await bench.start(task(work), concurrency=3)
    await bench.start(task(work), concurrency=1)
    dice = random.Random(7)

    async def submit_some(queue: Any) -> None:
        for _ in range(60):
            job = await submit(queue, function="work", priority=dice.randrange(2))
            assert await queue.wait_finished([job.id], 30)

    await asyncio.gather(*(submit_some(queue) for queue in submitters))


async def test_workers_of_two_queues_are_each_woken_for_their_own(
    start_bench: StartBench, url: str, patient: None
) -> None:
    bench = await start_bench(url)
    await bench.start(task(work), queues={"one": 1}, name="first")
    await bench.start(task(work), queues={"two": 1}, name="second")
    for _ in range(20):
        for queue in ("one", "two"):
            assert (await bench.run("work", queue=queue)).status is JobStatus.COMPLETED


async def test_a_delayed_job_starts_when_it_is_due_though_all_are_asleep(
    start_bench: StartBench, url: str, patient: None
) -> None:
    bench = await start_bench(url)
    await bench.start(task(work))
    await bench.run("work")
    far = await bench.submit("work", delay_ms=3_600_000)
    near = await bench.submit("work", delay_ms=150)
    job = await bench.finished(near)
    assert job.started_at is not None
    assert job.started_at >= job.run_at
    assert (await bench.job(far)).status is JobStatus.SCHEDULED


async def test_waits_outlive_the_connection_that_listens_for_them(
    start_redis: StartRedis, start_bench: StartBench, connect: Connect, patient: None
) -> None:
    server = start_redis()
    bench = await start_bench(server.url)
    other = await connect(server.url)
    await bench.start(task(work))
    await bench.run("work")
    job = await running(other, function="held")
    for _ in range(5):
        waiting = asyncio.create_task(bench.queue.wait_finished([job.id], 60))
        cancels = asyncio.create_task(bench.queue.wait_for_cancels("w1", 60))
        jobs = asyncio.create_task(bench.queue.wait_for_jobs(["default"], 60))
        await asyncio.sleep(0.05)
        await execute(server, "CLIENT", "KILL", "TYPE", "pubsub")
        # While nobody listens: a job for the worker, the end and the cancel of others.
        new = await submit(other, function="work")
        await cancel(other, job.id)
        await complete(other, job)
        assert [done.id for done in await waiting] == [job.id]
        assert (await bench.finished(new.id)).status is JobStatus.COMPLETED
        await jobs
        cancels.cancel()
        job = await running(other, function="held")


async def test_a_cancel_made_while_nobody_listened_is_heard(
    start_redis: StartRedis, connect: Connect, patient: None
) -> None:
    server = start_redis()
    queue, other = await connect(server.url), await connect(server.url)
    for _ in range(5):
        job = await running(queue)
        waiting = asyncio.create_task(queue.wait_for_cancels("w1", 60))
        await asyncio.sleep(0.02)
        await execute(server, "CLIENT", "KILL", "TYPE", "pubsub")
        await cancel(other, job.id)
        assert [lease.job_id for lease in await waiting] == [job.id]
        await complete(queue, job)


@pytest.mark.parametrize("retrier", ["the one who waits", "another"])
async def test_a_wait_sees_a_retried_job_to_its_new_end(
    url: str, connect: Connect, patient: None, monkeypatch: pytest.MonkeyPatch, retrier: str
) -> None:
    monkeypatch.setattr(hints, "FRESH_S", 0.05)
    queue, other = await connect(url), await connect(url)
    job, last = await running(queue), await running(queue)
    waiting = asyncio.create_task(queue.wait_finished([job.id, last.id], 60))
    assert await queue.wait_finished([job.id], 0) == []
    waiting.cancel()  # the server tells of the ends all the same
    await fail(other, job)
    await complete(other, last)
    assert await queue.wait_finished([last.id], 60)  # told after the other
    if retrier == "another":
        await retry(other, job.id)
        await asyncio.sleep(0.1)
    else:
        await retry(queue, job.id)

    waiting = asyncio.create_task(queue.wait_finished([job.id], 60))
    await complete(other, await claim_one(other), b"2")
    (done,) = await waiting
    assert (done.status, done.generation, done.result) == (JobStatus.COMPLETED, 2, b"2")


async def test_many_who_wait_for_many_are_all_told(
    url: str, connect: Connect, patient: None
) -> None:
    queues = [await connect(url) for _ in range(4)]
    jobs = [await running(queues[0]) for _ in range(100)]

    async def wait(queue: Any) -> set[str]:
        left = {job.id for job in jobs}
        while left:
            done = await queue.wait_finished(list(left), 60)
            assert done
            left -= {job.id for job in done}
        return left

    waits = [asyncio.create_task(wait(queue)) for queue in queues for _ in range(3)]
    await asyncio.sleep(0)
    for job in jobs:
        await complete(queues[0], job)
    assert await asyncio.gather(*waits) == [set()] * 12
