"""Servers for tests, started when the first test asks for them, one set for each test process.

`CONDUIT_TEST_REDIS_URL` names a server to use for `redis_url` instead of an own one,
`CONDUIT_TEST_POSTGRES_URL` one for `postgres_url`, whose user may create databases.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import pytest

from tests.servers.objects import KEY, SECRET, ObjectServer
from tests.servers.postgres import PostgresServer, new_database
from tests.servers.redis import Cluster, RedisServer, SentinelTrio, binary


class StartRedis(Protocol):
    """Starts a server for one test; takes what `RedisServer` takes, save folder and name."""

    def __call__(self, **options: Any) -> RedisServer: ...


class StartPostgres(Protocol):
    """Starts a server for one test; takes settings of postgresql.conf."""

    def __call__(self, **settings: Any) -> PostgresServer: ...


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A server that tests share, each in a namespace of its own; none of them stops it."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def old_redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Redis 6.2, the oldest that Conduit supports; shared as `redis_server` is."""
    server = RedisServer(tmp_path_factory.mktemp("redis-6.2"), binary=binary("redis-6.2"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def redis_url(request: pytest.FixtureRequest) -> str:
    """The URL of a server to share: the one that the environment names, or `redis_server`."""
    given = os.environ.get("CONDUIT_TEST_REDIS_URL")
    return given or request.getfixturevalue("redis_server").url


@pytest.fixture
def start_redis(tmp_path: Path) -> Iterator[StartRedis]:
    """Starts servers that the test may kill, freeze and restart as it likes."""
    numbers = count()
    with ExitStack() as stack:

        def start(**options: Any) -> RedisServer:
            server = RedisServer(tmp_path, name=f"redis-{next(numbers)}", **options)
            stack.callback(server.stop)
            server.start()
            return server

        yield start


@pytest.fixture(scope="module")
def _trio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SentinelTrio]:
    trio = SentinelTrio(tmp_path_factory.mktemp("sentinel"))
    yield trio
    trio.stop()


@pytest.fixture
def sentinel_trio(_trio: SentinelTrio) -> SentinelTrio:
    """A master, a replica and three sentinels, shared by a module, all well as the test begins."""
    _trio.heal()
    return _trio


@pytest.fixture(scope="module")
def _cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def redis_cluster(_cluster: Cluster) -> Cluster:
    """Three masters, shared by a module, all well as the test begins."""
    _cluster.heal()
    return _cluster


@pytest.fixture
def namespace() -> str:
    """A prefix for keys that no other test has."""
    return f"test-{uuid4().hex[:12]}"


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """A server that tests share, each with a database of its own; none of them stops it."""
    server = PostgresServer(tmp_path_factory.mktemp("postgres"))
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="session")
def postgres_server_url(request: pytest.FixtureRequest) -> str:
    """The URL of a server to share: the one that the environment names, or `postgres_server`."""
    given = os.environ.get("CONDUIT_TEST_POSTGRES_URL")
    return given or request.getfixturevalue("postgres_server").url


@pytest.fixture
def postgres_url(postgres_server_url: str) -> Iterator[str]:
    """The URL of an empty database that no other test has."""
    with new_database(postgres_server_url) as url:
        yield url


@pytest.fixture
def start_postgres(tmp_path: Path) -> Iterator[StartPostgres]:
    """Starts servers that the test may kill, freeze and restart as it likes."""
    numbers = count()
    with ExitStack() as stack:

        def start(**settings: Any) -> PostgresServer:
            server = PostgresServer(tmp_path, name=f"postgres-{next(numbers)}", **settings)
            stack.callback(server.remove)
            server.start()
            return server

        yield start


@pytest.fixture(scope="session")
def object_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectServer]:
    """An S3-compatible store that tests share, each with a prefix; none stops it."""
    server = ObjectServer(tmp_path_factory.mktemp("objects"))
    server.start()
    yield server
    server.kill()  # asked to end, it takes a quarter of a minute


@pytest.fixture
def aws_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The credentials for `object_server`, where AWS's own tools look for them."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)


@pytest.fixture
def objects_url(object_server: ObjectServer, aws_environment: None) -> str:
    """The URL of a prefix that no other test has, in a bucket that they share.

    A bucket of its own for each would do, but SeaweedFS sets files of several megabytes aside for
    every bucket, and a server has room for a hundred of them.
    """
    object_server.make_bucket("test-bucket")
    return object_server.url("test-bucket", f"a/{uuid4().hex[:12]}")


@pytest.fixture
def own_object_server(tmp_path: Path, aws_environment: None) -> Iterator[ObjectServer]:
    """An S3-compatible store, not started, that the test may kill and start as it likes."""
    server = ObjectServer(tmp_path)
    yield server
    server.kill()
