"""Networks that forget connections without a word, and servers that are merely slow."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import uvloop

from conduit.core.errors import QueueUnavailableError
from conduit.core.events import EventKind
from conduit.core.model import JobStatus
from conduit.queue.base import StoredEntry, Submitted
from conduit.queue.redis import RedisQueue, connection, listener, pool
from conduit.queue.redis import queue as queue_module
from conduit.queue.redis.scripts import script
from tests.conformance.builders import a_job, claim, complete, get, running, submit
from tests.conformance.history import check_history, kinds_of
from tests.engine.bench import task
from tests.redis.conftest import Connect, StartBench
from tests.redis.support import execute, until
from tests.servers.proxy import Certificate, Proxy
from tests.servers.redis import MASTER_NAME, RedisServer, SentinelTrio

FOR_EVER_S = 1000.0


@pytest.fixture
def proxy(redis_server: RedisServer) -> Iterator[Proxy]:
    with Proxy(redis_server.port) as proxy:
        yield proxy


@pytest.fixture
def proxied_url(proxy: Proxy, namespace: str) -> str:
    return f"redis://127.0.0.1:{proxy.port}?namespace={namespace}"


@pytest.fixture
async def queue(connect: Connect, proxied_url: str) -> RedisQueue:
    return await connect(proxied_url)


@pytest.fixture
async def direct(connect: Connect, redis_server: RedisServer, namespace: str) -> RedisQueue:
    return await connect(f"{redis_server.url}?namespace={namespace}")


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """What only gives up on a silent server after its time hangs instead."""
    for module in (connection, listener):
        monkeypatch.setattr(module, "ANSWER_TIMEOUT_S", FOR_EVER_S)
    monkeypatch.setattr(queue_module, "ASK_AGAIN_S", FOR_EVER_S)


# Forgotten connections


@pytest.mark.parametrize("idle_s", [pool.IDLE_S, 0.0])
async def test_the_first_submit_over_a_forgotten_connection_is_kept_and_known_to_be(
    queue: RedisQueue, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, idle_s: float
) -> None:
    monkeypatch.setattr(pool, "YOUNG_S", min(idle_s, pool.YOUNG_S))
    monkeypatch.setattr(pool, "IDLE_S", idle_s)
    await submit(queue)
    await asyncio.to_thread(proxy.forget)
    new = a_job()
    assert await queue.submit([new]) == [Submitted(new.id)]
    assert await kinds_of(queue, new.id) == [EventKind.SUBMITTED]


async def test_all_submits_that_were_under_way_on_forgotten_connections_are_kept_once(
    queue: RedisQueue, proxy: Proxy
) -> None:
    await asyncio.gather(*(submit(queue) for _ in range(10)))
    await asyncio.to_thread(proxy.forget)
    jobs = [a_job() for _ in range(30)]
    answers = await asyncio.gather(*(queue.submit([job]) for job in jobs))
    assert answers == [[Submitted(job.id)] for job in jobs]
    for job in jobs:
        assert await kinds_of(queue, job.id) == [EventKind.SUBMITTED]


@pytest.mark.parametrize("verb", ["submit_plain", "submit"])
async def test_a_submit_that_arrived_and_whose_answer_never_comes_is_kept_once(
    queue: RedisQueue, proxy: Proxy, verb: str
) -> None:
    await submit(queue, key="seen")
    await submit(queue)
    await asyncio.to_thread(proxy.forget_upon, script(verb, flags=True).sha.encode())
    new = a_job(key="key" if verb == "submit" else None)
    assert await queue.submit([new]) == [Submitted(new.id)]
    assert await kinds_of(queue, new.id) == [EventKind.SUBMITTED]


async def test_a_submit_over_tls_survives_a_forgotten_connection(
    redis_server: RedisServer, namespace: str, tmp_path: Path, connect: Connect
) -> None:
    certificate = Certificate(tmp_path)
    with Proxy(redis_server.port, certificate=certificate) as proxy:
        queue = await connect(
            f"rediss://127.0.0.1:{proxy.port}?namespace={namespace}&ssl_ca_certs={certificate.path}"
        )
        await asyncio.to_thread(proxy.forget)
        new = a_job()
        assert await queue.submit([new]) == [Submitted(new.id)]


def test_a_submit_survives_a_forgotten_connection_under_uvloop(
    proxied_url: str, proxy: Proxy
) -> None:
    async def submit_after_it() -> list[Submitted]:
        async with RedisQueue(proxied_url) as queue:
            await asyncio.to_thread(proxy.forget)
            return await queue.submit([a_job(id="first")])

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(submit_after_it()) == [Submitted("first")]


async def test_a_waiter_whose_connection_was_forgotten_hears_of_the_end(
    queue: RedisQueue, direct: RedisQueue, proxy: Proxy
) -> None:
    job = await running(queue)
    waiting = asyncio.create_task(queue.wait_finished([job.id], FOR_EVER_S))
    watched = direct._server.keys.name("waits")

    async def is_watched() -> bool:
        return bool(await direct._server.command("EXISTS", watched))

    await until(is_watched)
    await asyncio.to_thread(proxy.forget)
    await complete(direct, job)
    assert [done.id for done in await waiting] == [job.id]


async def test_a_worker_whose_connections_were_forgotten_runs_what_is_submitted(
    start_bench: StartBench, proxied_url: str, direct: RedisQueue, proxy: Proxy
) -> None:
    bench = await start_bench(proxied_url)
    begun, go = asyncio.Event(), asyncio.Event()
    runs: Counter[str] = Counter()

    async def work() -> None:
        runs["work"] += 1

    async def long() -> None:
        runs["long"] += 1
        begun.set()
        await go.wait()

    await bench.start(task(work), task(long), lease_ms=6000)
    held = await bench.submit("long")
    await begun.wait()
    await until(lambda: _is_settled(direct))
    await asyncio.to_thread(proxy.forget)
    new = await submit(direct, function="work")
    assert [job.id for job in await direct.wait_finished([new.id], FOR_EVER_S)] == [new.id]
    go.set()
    done = await bench.finished(held)
    assert (done.status, done.attempt, done.rescues) == (JobStatus.COMPLETED, 1, 0)
    assert runs == {"work": 1, "long": 1}
    await check_history(direct)


async def _is_settled(direct: RedisQueue) -> bool:
    """Whether a worker waits for jobs, and has had its first heartbeat: it is connected."""
    idle = direct._server.keys.name("idle").replace("{", "\\{")
    waits = await direct._server.command("KEYS", f"{idle}*")
    return bool(waits) and all(each.seen_at > each.started_at for each in await direct.workers())


async def test_a_reader_whose_connection_was_forgotten_reads_what_comes(
    queue: RedisQueue, direct: RedisQueue, proxy: Proxy
) -> None:
    assert await queue.read_events("readers", "one") == []
    reading = asyncio.create_task(queue.read_events("readers", "one", timeout=1))
    await asyncio.sleep(0)
    await asyncio.to_thread(proxy.forget)
    new = await submit(direct)
    entries: list[StoredEntry] = []
    while not entries:
        with suppress(QueueUnavailableError):
            entries = await reading
        reading = asyncio.create_task(queue.read_events("readers", "one", timeout=1))
        # What was sent to the lost connection is pending, for whoever takes it over.
        entries += await queue.claim_stale("readers", "one", 0)
    reading.cancel()
    assert {event.job_id for each in entries for event in each.entry.events} == {new.id}


async def test_sentinels_are_asked_though_their_connections_were_forgotten(
    sentinel_trio: SentinelTrio, connect: Connect, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "LOOKUP_TIMEOUT_S", FOR_EVER_S)
    with Proxy(sentinel_trio.sentinels[0].port) as proxy:
        queue = await connect(
            f"redis+sentinel://127.0.0.1:{proxy.port}/{MASTER_NAME}?namespace={namespace}"
        )
        await asyncio.to_thread(proxy.forget)
        await execute(sentinel_trio.master, "CLIENT", "KILL", "TYPE", "normal")
        new = a_job()
        assert await queue.submit([new]) == [Submitted(new.id)]


# Slow servers


@pytest.mark.parametrize("mode", ["ALL", "WRITE"])
async def test_a_server_that_pauses_only_delays_a_submit_and_keeps_its_connection(
    redis_server: RedisServer, namespace: str, connect: Connect, mode: str
) -> None:
    queue = await connect(f"{redis_server.url}?namespace={namespace}")
    await submit(queue)
    mine = await queue._server.command("CLIENT", "ID")
    new = a_job()
    await execute(redis_server, "CLIENT", "PAUSE", 2500, mode)
    assert await queue.submit([new]) == [Submitted(new.id)]
    assert await queue._server.command("CLIENT", "ID") in (mine, mine + 1)
    assert await kinds_of(queue, new.id) == [EventKind.SUBMITTED]


async def test_a_server_that_sleeps_only_delays_what_it_is_asked_after_an_idle_time(
    redis_server: RedisServer, namespace: str, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "YOUNG_S", 0.0)
    monkeypatch.setattr(pool, "IDLE_S", 0.0)
    queue = await connect(f"{redis_server.url}?namespace={namespace}")
    await submit(queue)
    redis_server.pause()
    new = a_job()
    submitting = asyncio.create_task(queue.submit([new]))
    await asyncio.sleep(2)  # the fault lasts so long
    redis_server.resume()
    assert await submitting == [Submitted(new.id)]
    assert await kinds_of(queue, new.id) == [EventKind.SUBMITTED]


async def test_a_large_answer_over_a_slow_line_is_waited_for(
    queue: RedisQueue, proxy: Proxy
) -> None:
    job = await running(queue, function="large", args=b'{"text":"%s"}' % (b"x" * 400_000))
    await asyncio.to_thread(proxy.trickle, 16_384)
    assert (await get(queue, job.id)).args == job.args
    await asyncio.to_thread(proxy.trickle, None)
    assert len(await claim(queue, functions=("large",))) == 0
