"""Queues on real servers, and workers on them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from conduit.core.model import JobStatus
from conduit.queue.redis import RedisQueue
from conduit.queue.redis.keys import Keys
from tests.conformance.backends import ManualClock
from tests.redis.support import RedisBench, Store
from tests.servers.redis import RedisServer


@pytest.fixture
def url(redis_url: str, namespace: str) -> str:
    """An empty namespace on the shared server."""
    return f"{redis_url}?namespace={namespace}"


Connect = Callable[..., Awaitable[RedisQueue]]


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Opens queues, which are closed when the test is over."""
    async with AsyncExitStack() as opened:

        async def connect(url: str, **options: Any) -> RedisQueue:
            return await opened.enter_async_context(RedisQueue(url, **options))

        yield connect


@pytest.fixture
def clock() -> ManualClock:
    """The clock of a queue that a test opens with it."""
    return ManualClock()


@pytest.fixture(params=["redis_server", "old_redis_server"])
def server(request: pytest.FixtureRequest) -> RedisServer:
    """The newest server, and the oldest that is supported."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def keys(namespace: str) -> Keys:
    """The names of the keys in the test's namespace."""
    return Keys(namespace)


@pytest.fixture
def store(redis_server: RedisServer, namespace: str) -> Store:
    """What lies on the shared server under the test's namespace."""
    return Store(redis_server, namespace)


@pytest.fixture
async def queue(connect: Connect, url: str) -> RedisQueue:
    """A queue on an empty namespace of the shared server."""
    return await connect(url)


StartBench = Callable[[str], Awaitable[RedisBench]]


@pytest.fixture
async def start_bench() -> AsyncIterator[StartBench]:
    """Makes benches for workers; what runs on them ends with the test."""
    async with AsyncExitStack() as opened:

        async def start(url: str) -> RedisBench:
            bench = RedisBench(url)
            opened.push_async_callback(bench.close)
            await bench.queue.open()
            return bench

        yield start


@pytest.fixture
async def bench(start_bench: StartBench, url: str) -> RedisBench:
    """A bench on an empty namespace of the shared server."""
    return await start_bench(url)


FINISHED = {JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED}
