"""The rings that claims go by: what a claim reads, what is repaired, and what is forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from conduit.queue.base import Claim, Retention
from conduit.queue.redis import RedisQueue
from conduit.queue.redis.keys import Keys
from tests.conformance.backends import ManualClock
from tests.conformance.builders import (
    HOUR,
    MINUTE,
    PATIENCE,
    a_job,
    cancel,
    claim,
    claim_one,
    submit,
    sweep,
)
from tests.redis.conftest import Connect
from tests.redis.support import Store, commands_run
from tests.servers.fixtures import StartRedis
from tests.servers.redis import RedisServer


@pytest.fixture
async def queue(url: str, connect: Connect, clock: ManualClock) -> RedisQueue:
    return await connect(url, clock=clock)


MINE = tuple(f"mine{number}" for number in range(5))


async def cost_of(server: RedisServer, call: Callable[[], Awaitable[object]]) -> int:
    """How many commands a call makes the server run."""
    before = commands_run(server)
    await call()
    return commands_run(server) - before


async def cost_of_claims(server: RedisServer, queue: RedisQueue) -> int:
    """How many commands ten claims run that find jobs, and one that finds none."""
    await claim(queue, functions=MINE)
    await queue.submit([a_job(function=MINE[n % 5]) for n in range(50)])

    async def work() -> None:
        for _ in range(10):
            assert len(await claim(queue, functions=MINE, limit=5)) == 5
        assert await claim(queue, functions=MINE) == []

    return await cost_of(server, work)


async def test_a_claim_reads_no_more_whatever_foreign_functions_have_in_the_queue(
    start_redis: StartRedis, connect: Connect
) -> None:
    server = start_redis()
    queue = await connect(server.url)
    alone = await cost_of_claims(server, queue)
    await queue.submit([a_job(function=f"foreign{n % 700}", priority=n % 3) for n in range(5000)])
    assert await cost_of_claims(server, queue) <= alone + 5


async def test_a_claim_reads_no_more_whatever_waits_of_paused_functions_and_queues(
    start_redis: StartRedis, connect: Connect
) -> None:
    server = start_redis()
    queue = await connect(server.url)
    everything = (*MINE, *(f"held{number}" for number in range(50)))
    queues = ("default", "stopped")

    async def costs() -> int:
        await queue.submit([a_job(function=MINE[n % 5]) for n in range(50)])

        async def work() -> None:
            for _ in range(10):
                found = await claim(queue, functions=everything, queues=queues, limit=5)
                assert len(found) == 5

        return await cost_of(server, work)

    await claim(queue, functions=everything, queues=queues)
    alone = await costs()
    for number in range(50):
        await queue.pause_function(f"held{number}")
    await queue.pause("stopped")
    await queue.submit([a_job(function=f"held{n % 50}") for n in range(2000)])
    await queue.submit([a_job(function=MINE[n % 5], queue="stopped") for n in range(2000)])
    assert await costs() <= alone + 20


async def test_a_claim_reads_no_more_with_a_hundred_times_as_many_functions(
    start_redis: StartRedis, connect: Connect
) -> None:
    server = start_redis()
    queue = await connect(server.url)

    async def costs(functions: int) -> int:
        names = tuple(f"f{number}" for number in range(functions))
        await claim(queue, functions=names)
        await queue.submit([a_job(function=names[n % functions]) for n in range(10 * functions)])

        async def work() -> None:
            assert len(await claim(queue, functions=names, limit=50)) == 50

        return await cost_of(server, work)

    few = await costs(10)
    assert await costs(1000) <= 2 * few


async def test_a_submit_to_a_function_that_has_jobs_runs_no_command_for_the_rings(
    start_redis: StartRedis, connect: Connect
) -> None:
    server = start_redis()
    queue = await connect(server.url)
    costs: list[tuple[int, int]] = []
    for kinds in (1, 5):
        for number in range(kinds):
            await claim(queue, functions=("task", f"other{number}"))
        first = await cost_of(server, lambda: submit(queue))
        costs.append((first, await cost_of(server, lambda: submit(queue))))
    (first, second), (more, again) = costs
    assert second < first < more
    assert again == second


async def test_rings_that_somebody_removed_are_filled_again_by_the_sweep(
    queue: RedisQueue, redis_server: RedisServer, namespace: str, store: Store
) -> None:
    assert await claim(queue) == []
    jobs = {(await submit(queue)).id for _ in range(3)}
    rings = [name for name in store.names() if name.startswith(("ring:", "queue_ring:"))]
    assert len(rings) == 2
    for name in rings:
        redis_server.execute("DEL", Keys(namespace).prefix + name)
    assert await claim(queue) == []
    await sweep(queue)
    assert {job.id for job in await claim(queue)} == jobs


async def test_a_sweep_wakes_nobody_where_all_is_well(queue: RedisQueue) -> None:
    await queue.pause_function("task")
    await submit(queue)
    assert await claim(queue) == []
    await queue.wait_for_jobs(["default"], 0.01)
    assert await claim(queue) == []
    waiting = asyncio.create_task(queue.wait_for_jobs(["default"], PATIENCE))
    for _ in range(5):
        await sweep(queue)
        await queue.now()
    assert not waiting.done()
    waiting.cancel()


async def test_what_nobody_claims_any_more_is_forgotten_and_can_be_claimed_again(
    queue: RedisQueue, clock: ManualClock, store: Store
) -> None:
    await claim(queue, functions=("old", "task"))
    await submit(queue, function="task")
    for _ in range(70):
        clock.advance(MINUTE)
        await claim(queue, functions=("other",))
        await sweep(queue)
    known = [name for name in store.names() if name.startswith(("ring:", "weights:", "wants:"))]
    assert not [name for name in known if name.startswith("ring:")]
    assert len(known) == 2
    assert "wanted_by:old" not in store.names()

    clock.advance(HOUR)
    assert len(await claim(queue, functions=("old", "task"))) == 1


async def test_drained_lanes_leave_no_key_in_any_ring(queue: RedisQueue, store: Store) -> None:
    names = tuple(f"f{number}" for number in range(40))
    queues = tuple(f"q{number}" for number in range(5))
    await queue.submit([a_job(function=f, queue=q) for f in names for q in queues])
    while await claim(queue, functions=names, queues=queues, limit=33):
        pass
    assert not [name for name in store.names() if name.startswith(("ring:", "queue_ring:"))]


async def test_a_worker_that_died_while_it_made_its_claims_known_keeps_nobody_from_theirs(
    connect: Connect, url: str
) -> None:
    dying, other = await connect(url), await connect(url)
    job = await submit(other)
    asked = Claim(worker_id="w1", queues=("default",), functions=("task",), limit=1)
    wanted = dying._subscriptions.of(asked)
    queues = [part for pair in wanted.weights.items() for part in pair]
    await dying._run("subscribe", wanted.id, queues, wanted.functions)
    assert (await claim_one(other)).id == job.id


async def test_the_order_in_which_functions_and_queues_are_named_makes_no_other_claim(
    queue: RedisQueue, redis_server: RedisServer, namespace: str
) -> None:
    await claim(queue, functions=("a", "b"), queues=("one", "two"))
    await claim(queue, functions=("b", "a"), queues=("two", "one"))
    assert redis_server.execute("ZCARD", Keys(namespace).name("subscriptions")) == 1


@pytest.mark.parametrize("many", [1, 1200])
async def test_a_server_that_was_flushed_learns_what_is_claimed_and_wakes_who_waits(
    start_redis: StartRedis, connect: Connect, many: int
) -> None:
    server = start_redis()
    queue, other = await connect(server.url), await connect(server.url)
    names = tuple(f"f{number}" for number in range(many))
    assert await claim(queue, functions=names) == []
    await queue.wait_for_jobs(["default"], 0.01)
    server.execute("FLUSHALL")
    job = await submit(other, function=names[-1])
    assert [each.id for each in await claim(queue, functions=names)] == [job.id]
    waiting = asyncio.create_task(queue.wait_for_jobs(["default"], 10 * PATIENCE))
    await submit(other, function=names[0])
    await asyncio.wait_for(waiting, PATIENCE)
    assert len(await claim(queue, functions=names)) == 1


async def test_the_oldest_job_of_a_queue_is_found_behind_cancelled_and_urgent_ones(
    queue: RedisQueue, clock: ManualClock
) -> None:
    gone = [await submit(queue) for _ in range(20)]
    clock.advance(1000)
    oldest = clock.now
    await submit(queue, priority=-50)
    clock.advance(1000)
    await queue.submit([a_job(priority=5) for _ in range(300)])
    await submit(queue)
    for job in gone:
        await cancel(queue, job.id)
    (info,) = await queue.queues()
    assert (info.queued, info.oldest_at) == (302, oldest)


async def test_queues_are_read_in_slices_and_none_is_left_out(queue: RedisQueue) -> None:
    names = [f"q{number:04}" for number in range(1500)]
    for start in range(0, 1500, 500):
        await queue.submit([a_job(queue=name) for name in names[start : start + 500]])
    listed = await queue.queues()
    assert [(info.name, info.queued) for info in listed] == [(name, 1) for name in names]
    assert all(info.oldest_at for info in listed)
    await queue.sweep(Retention())
