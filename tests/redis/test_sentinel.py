"""A master with a replica, watched by sentinels: failovers under work, and what they may cost."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from conduit.core.errors import ConfigurationError, QueueUnavailableError, SubmitUnknownError
from conduit.core.model import JobStatus
from conduit.queue.base import Submitted
from conduit.queue.redis import RedisQueue, connection
from tests.conformance.builders import (
    a_job,
    complete,
    completed,
    failed,
    get,
    note,
    running,
    submit,
)
from tests.conformance.history import check_history
from tests.engine.bench import task
from tests.redis.conftest import Connect, StartBench
from tests.redis.support import once_back
from tests.servers.proxy import Certificate, Proxy
from tests.servers.redis import RedisServer, SentinelTrio

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def url(sentinel_trio: SentinelTrio, namespace: str) -> str:
    """An empty namespace on the master, whose submits wait for the replica."""
    return f"{sentinel_trio.url}?namespace={namespace}&durability=replica&wait_ms=300"


@pytest.fixture
def patient_url(url: str) -> str:
    """The same, for calls that a replica on a busy machine is to confirm."""
    return url.replace("wait_ms=300", "wait_ms=30000")


def follower(trio: SentinelTrio) -> RedisServer:
    return next(server for server in trio.servers if server is not trio.master)


async def accepted(queue: Any, job: Any) -> None:
    """Submit until the answer is yes, with the same id."""

    async def call() -> list[Submitted]:
        with suppress(SubmitUnknownError):
            return await queue.submit([job])
        raise QueueUnavailableError("unknown: submit again")

    assert await once_back(call) == [Submitted(job.id)]


async def test_a_failover_under_work_costs_no_acknowledged_job(
    sentinel_trio: SentinelTrio, start_bench: StartBench, url: str
) -> None:
    bench = await start_bench(url)
    runs: Counter[int] = Counter()

    async def work(number: int) -> int:
        runs[number] += 1
        await asyncio.sleep(0.01)
        return number

    await bench.start(task(work), concurrency=5, lease_ms=3000)
    jobs = [a_job(function="work", args=b'{"number":%d}' % number) for number in range(120)]
    waiting: list[asyncio.Task[Any]] = []
    for number, job in enumerate(jobs):
        if number == 60:
            finished = partial(bench.finished, jobs[59].id)
            waiting.append(asyncio.create_task(once_back(finished)))
            old = await asyncio.to_thread(sentinel_trio.kill_master)
            await asyncio.to_thread(sentinel_trio.wait_for_master_other_than, old)
            await asyncio.to_thread(old.start)
        await accepted(bench.queue, job)
    ended = [await once_back(lambda job_id=job.id: bench.finished(job_id)) for job in jobs]
    assert Counter(job.status for job in ended) == {JobStatus.COMPLETED: 120}
    assert sorted(int(job.result or b"") for job in ended) == list(range(120))
    assert (await waiting[0]).status is JobStatus.COMPLETED
    await check_history(bench.queue)


async def test_a_submit_that_no_replica_confirms_is_unknown_and_safe_to_repeat(
    sentinel_trio: SentinelTrio, connect: Connect, url: str, patient_url: str
) -> None:
    queue = await connect(url)
    known = await submit(await connect(patient_url))
    await asyncio.to_thread(sentinel_trio.cut_replication)
    lost = a_job()
    for _ in range(2):
        with pytest.raises(SubmitUnknownError) as caught:
            await queue.submit([lost])
        assert caught.value.job_id == lost.id
    assert await queue.get([lost.id]) != [None]  # the master has it, and dies with it

    old = await asyncio.to_thread(sentinel_trio.kill_master)
    await asyncio.to_thread(sentinel_trio.wait_for_master_other_than, old)
    assert [job is None for job in await once_back(lambda: queue.get([known.id, lost.id]))] == [
        False,
        True,
    ]
    await asyncio.to_thread(sentinel_trio.heal)
    await accepted(queue, lost)
    assert (await get(queue, lost.id)).status is JobStatus.QUEUED


async def test_a_replica_that_has_not_seen_a_job_does_not_confirm_it(
    sentinel_trio: SentinelTrio, connect: Connect, url: str, patient_url: str
) -> None:
    queue, another, patient = [await connect(each) for each in (url, url, patient_url)]
    job = await running(patient)
    replica = follower(sentinel_trio)
    replica.pause()
    new = a_job()
    for asked in (queue, queue, another):
        with pytest.raises(SubmitUnknownError):
            await asked.submit([new])
    for asked in (queue, another):
        with pytest.raises(QueueUnavailableError, match="no confirmation"):
            await complete(asked, job)
    replica.resume()
    await accepted(queue, new)
    assert await complete(patient, job) == "already"


async def test_what_a_replica_has_not_seen_is_not_confirmed_whoever_asks(
    sentinel_trio: SentinelTrio, connect: Connect, url: str, patient_url: str
) -> None:
    queue, another, patient = [await connect(each) for each in (url, url, patient_url)]
    broken, done, job = await failed(patient), await completed(patient), await running(patient)
    cancelled = await submit(patient)
    for kept in ({"checkpoint": b"1"}, {"steps": b'{"a":1}'}, {"metadata": b'{"a":1}'}):
        assert await note(patient, job, **kept)
    replica = follower(sentinel_trio)
    replica.pause()
    assert await note(queue, job, progress=0.5)  # nothing would be lost with it
    for asked in (queue, another):
        for call in (
            partial(note, asked, job, checkpoint=b"2"),
            partial(note, asked, job, steps=b'{"b":2}'),
            partial(note, asked, job, metadata=b'{"b":2}'),
            partial(asked.cancel, [cancelled.id], "enough"),
            partial(asked.retry, [broken.id]),
            partial(asked.delete, [done.id]),
        ):
            with pytest.raises(QueueUnavailableError, match="no confirmation"):
                await call()
    replica.resume()
    assert await once_back(partial(note, queue, job, checkpoint=b"2"))


async def test_a_sentinel_that_is_frozen_or_gone_is_passed_over(
    sentinel_trio: SentinelTrio, connect: Connect, namespace: str
) -> None:
    frozen, dead, _ = sentinel_trio.sentinels
    frozen.pause()
    dead.kill()
    queue = await connect(f"{sentinel_trio.url}?namespace={namespace}")
    job = await running(queue)
    waiting = asyncio.create_task(queue.wait_finished([job.id], 30))
    await complete(queue, job)
    assert [done.id for done in await waiting] == [job.id]


async def test_a_master_of_another_name_is_not_found(sentinel_trio: SentinelTrio) -> None:
    with pytest.raises(QueueUnavailableError, match="other"):
        async with RedisQueue(sentinel_trio.url.replace("mymaster", "other")):
            pass


async def test_a_sentinel_is_no_server(sentinel_trio: SentinelTrio) -> None:
    with pytest.raises(ConfigurationError, match=r"redis\+sentinel://"):
        async with RedisQueue(f"redis://127.0.0.1:{sentinel_trio.sentinels[0].port}"):
            pass


async def test_sentinels_are_asked_over_tls_too(
    sentinel_trio: SentinelTrio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "CONNECT_TIMEOUT_S", 0.5)
    certificate = Certificate(tmp_path)
    with Proxy(sentinel_trio.sentinels[0].port, certificate=certificate) as proxy:
        url = f"rediss+sentinel://127.0.0.1:{proxy.port}/mymaster?ssl_ca_certs={certificate.path}"
        with pytest.raises(QueueUnavailableError) as caught:
            async with RedisQueue(url):
                pass
    # They named the master, which has no TLS here.
    assert "No master found" not in str(caught.value)
