"""A cluster of three: one namespace in one slot, whose node dies, comes back, or hands it over."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from redis.crc import key_slot

from conduit.core.errors import ConfigurationError, QueueUnavailableError, SubmitUnknownError
from conduit.core.model import JobStatus
from conduit.queue.base import Submitted
from conduit.queue.redis import RedisQueue, connection
from conduit.queue.redis.keys import Keys
from tests.conformance.builders import a_job, claim_one, complete, submit
from tests.conformance.history import check_history
from tests.engine.bench import task
from tests.redis.conftest import Connect, StartBench
from tests.redis.support import execute, once_back
from tests.servers.process import free_port
from tests.servers.proxy import Proxy
from tests.servers.redis import Cluster, RedisServer

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def url(redis_cluster: Cluster, namespace: str) -> str:
    """An empty namespace of the cluster."""
    return f"{redis_cluster.url}?namespace={namespace}"


@pytest.fixture
def owner(redis_cluster: Cluster, namespace: str) -> int:
    """The number of the node that holds the namespace."""
    return redis_cluster.node_of(Keys(namespace).prefix)


async def test_jobs_run_and_all_keys_of_a_namespace_lie_in_one_slot(
    redis_cluster: Cluster, start_bench: StartBench, url: str, owner: int, namespace: str
) -> None:
    bench = await start_bench(url)

    async def work(number: int) -> int:
        return number

    await bench.start(task(work))
    keyed = [await bench.submit("work", args=b'{"number":1}', key=f"k{n}") for n in range(3)]
    delayed = await bench.submit("work", args=b'{"number":1}', delay_ms=20, metadata=b'{"a":1}')
    for job_id in (*keyed, delayed):
        assert (await bench.finished(job_id)).result == b"1"
    other = await bench.submit("other", priority=3)
    await bench.submit("other", after=(other,))
    assert await bench.queue.read_events("group", "one", timeout=1)
    keys = Keys(namespace)
    found = {
        number: [str(key) for key in node.execute("KEYS", "*") if namespace in str(key)]
        for number, node in enumerate(redis_cluster.nodes)
    }
    assert {number for number, held in found.items() if held} == {owner}
    assert {key_slot(key.encode()) for key in found[owner]} == {key_slot(keys.prefix.encode())}
    await check_history(bench.queue)


async def test_namespaces_of_different_nodes_are_all_served(
    redis_cluster: Cluster, connect: Connect, namespace: str
) -> None:
    nodes: set[int] = set()
    for number in range(8):
        name = f"{namespace}.{number}"
        queue = await connect(f"{redis_cluster.url}?namespace={name}")
        job = await submit(queue)
        waiting = asyncio.create_task(queue.wait_finished([job.id], 30))
        await complete(queue, await claim_one(queue))
        assert [done.id for done in await waiting] == [job.id]
        nodes.add(redis_cluster.node_of(Keys(name).prefix))
    assert len(nodes) > 1


async def test_the_death_of_the_node_that_holds_the_namespace_costs_nothing(
    redis_cluster: Cluster, start_bench: StartBench, url: str, owner: int
) -> None:
    bench = await start_bench(url)

    async def work() -> None:
        await asyncio.sleep(0.01)

    node = redis_cluster.nodes[owner]
    await execute(node, "CONFIG", "SET", "appendfsync", "always")  # back at its restart
    await bench.start(task(work), concurrency=5)
    ids = [await bench.submit("work") for _ in range(50)]
    waiting = asyncio.create_task(once_back(lambda: bench.finished(ids[-1])))
    await bench.finished(ids[5])
    await asyncio.to_thread(redis_cluster.kill, owner)
    with pytest.raises((QueueUnavailableError, SubmitUnknownError)):
        await bench.submit("work")
    await asyncio.to_thread(redis_cluster.restart, owner)

    jobs = [await once_back(lambda job_id=job_id: bench.finished(job_id)) for job_id in ids]
    assert Counter(job.status for job in jobs) == {JobStatus.COMPLETED: 50}
    assert (await waiting).status is JobStatus.COMPLETED
    await check_history(bench.queue)


async def test_a_seed_that_is_dead_or_frozen_is_passed_over(
    redis_cluster: Cluster,
    connect: Connect,
    namespace: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection, "LOOKUP_TIMEOUT_S", 0.3)
    with Proxy(redis_cluster.nodes[0].port) as frozen:
        frozen.freeze()
        ports = (free_port(), frozen.port, redis_cluster.nodes[1].port)
        seeds = ",".join(f"127.0.0.1:{port}" for port in ports)
        queue = await connect(f"redis+cluster://{seeds}?namespace={namespace}")
        await submit(queue)


async def test_nodes_that_were_heard_of_help_when_every_seed_is_gone(
    redis_cluster: Cluster, connect: Connect, namespace: str, owner: int
) -> None:
    with Proxy(redis_cluster.nodes[0].port) as seed:
        queue = await connect(f"redis+cluster://127.0.0.1:{seed.port}?namespace={namespace}")
        job = await submit(queue)
        seed.refuse()
        seed.cut()
        await execute(redis_cluster.nodes[owner], "CLIENT", "KILL", "TYPE", "normal")
        found = await once_back(lambda: queue.get([job.id]))
        assert [stored.id for stored in found] == [job.id]


async def test_a_cluster_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(QueueUnavailableError, match="no node of the cluster helps"):
        async with RedisQueue(f"redis+cluster://127.0.0.1:{free_port()}"):
            pass


async def test_a_namespace_that_moves_to_another_node_is_followed(
    redis_cluster: Cluster, start_bench: StartBench, url: str, owner: int, namespace: str
) -> None:
    bench = await start_bench(url)
    queue = bench.queue

    async def work() -> None: ...

    await bench.start(task(work))
    await bench.run("work")
    delayed = await bench.submit("work", delay_ms=3_600_000)
    slot = key_slot(Keys(namespace).prefix.encode())
    there, other = redis_cluster.nodes[owner], redis_cluster.nodes[(owner + 1) % 3]
    try:
        await asyncio.to_thread(move, slot, there, other, redis_cluster)
        assert (await once_back(lambda: bench.run("work"))).status is JobStatus.COMPLETED
        assert (await bench.job(delayed)).status is JobStatus.SCHEDULED
        waiting = asyncio.create_task(bench.finished(await bench.submit("work", delay_ms=100)))
        assert (await waiting).status is JobStatus.COMPLETED
        await check_history(queue)
    finally:
        await asyncio.to_thread(move, slot, other, there, redis_cluster)
    new = a_job(function="work")
    assert await once_back(lambda: queue.submit([new])) == [Submitted(new.id)]
    assert (await bench.finished(new.id)).status is JobStatus.COMPLETED


def move(slot: int, source: RedisServer, target: RedisServer, cluster: Cluster) -> None:
    """Move a slot with its keys, as an operator's tool would."""
    target_id, source_id = (str(node.execute("CLUSTER", "MYID")) for node in (target, source))
    target.execute("CLUSTER", "SETSLOT", slot, "IMPORTING", source_id)
    source.execute("CLUSTER", "SETSLOT", slot, "MIGRATING", target_id)
    while keys := source.execute("CLUSTER", "GETKEYSINSLOT", slot, 100):
        source.execute("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
    for node in (target, source, *cluster.nodes):
        node.execute("CLUSTER", "SETSLOT", slot, "NODE", target_id)


async def test_a_node_of_a_cluster_is_no_server(redis_cluster: Cluster) -> None:
    elsewhere = (redis_cluster.node_of("{default}") + 1) % 3
    with pytest.raises(ConfigurationError, match=r"redis\+cluster://"):
        async with RedisQueue(redis_cluster.nodes[elsewhere].url):
            pass


async def test_a_frozen_node_is_waited_for_no_longer_than_any_answer(
    redis_cluster: Cluster, connect: Connect, url: str, owner: int
) -> None:
    queue = await connect(url)
    job = await submit(queue)
    redis_cluster.nodes[owner].pause()
    with pytest.MonkeyPatch.context() as impatience:
        impatience.setattr(connection, "ANSWER_TIMEOUT_S", 0.4)
        with pytest.raises(QueueUnavailableError):
            await queue.get([job.id])
    redis_cluster.nodes[owner].resume()
    found: Any = await once_back(lambda: queue.get([job.id]))
    assert found[0].id == job.id
