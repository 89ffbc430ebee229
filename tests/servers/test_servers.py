"""The servers that other tests stand on do what they say, and so do the faults put between."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import psutil
import pytest
from redis import Redis, exceptions
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster
from redis.retry import Retry
from redis.sentinel import Sentinel

from tests.servers.fixtures import StartRedis
from tests.servers.process import ServerError, free_port, until
from tests.servers.proxy import Certificate, Proxy
from tests.servers.redis import (
    MASTER_NAME,
    Cluster,
    RedisServer,
    SentinelTrio,
    binaries,
    binary,
)


def connect(port: int, **options: object) -> Redis:
    """A client that tries once."""
    return Redis(port=port, retry=Retry(NoBackoff(), 0), decode_responses=True, **options)  # type: ignore[arg-type]


@pytest.fixture
def proxy(redis_server: RedisServer) -> Iterator[Proxy]:
    with Proxy(redis_server.port) as made:
        yield made


@pytest.fixture
def client(proxy: Proxy) -> Iterator[Redis]:
    with connect(proxy.port, socket_timeout=10) as made:
        yield made


# One server


def test_valkey_is_shared_unless_a_test_asks_for_the_oldest_redis(
    redis_server: RedisServer, old_redis_server: RedisServer
) -> None:
    assert redis_server.info()["server_name"] == "valkey"
    assert old_redis_server.info()["redis_version"].startswith("6.2.")


def test_a_server_keeps_an_append_only_file_and_evicts_nothing(redis_server: RedisServer) -> None:
    for name, value in [
        ("appendonly", "yes"),
        ("appendfsync", "everysec"),
        ("maxmemory-policy", "noeviction"),
        ("save", ""),
    ]:
        reply = redis_server.execute("CONFIG", "GET", name)
        assert list(reply.items() if isinstance(reply, dict) else [tuple(reply)]) == [(name, value)]


@pytest.mark.parametrize("name", ["valkey", "redis-6.2"])
def test_a_killed_server_is_gone_and_has_its_data_when_it_is_back(
    start_redis: StartRedis, name: str
) -> None:
    server = start_redis(binary=binary(name), config={"appendfsync": "always"})
    server.execute("SET", "kept", "yes")
    pid = server.pid

    server.kill()
    with connect(server.port) as client, pytest.raises(exceptions.ConnectionError):
        client.ping()
    server.restart()

    assert server.execute("GET", "kept") == "yes"
    assert server.pid != pid
    assert not psutil.pid_exists(pid)


def test_a_paused_server_keeps_connections_and_answers_once_it_goes_on(
    start_redis: StartRedis,
) -> None:
    server = start_redis()
    with connect(server.port) as client:
        client.ping()
        server.pause()
        with (
            connect(server.port, socket_timeout=0.2) as impatient,
            pytest.raises(exceptions.TimeoutError),
        ):
            impatient.ping()
        server.resume()
        assert client.ping()


def test_a_paused_server_can_be_stopped(start_redis: StartRedis) -> None:
    server = start_redis()
    server.pause()
    server.stop()
    assert not server.running


def test_a_server_asks_for_its_password(start_redis: StartRedis) -> None:
    server = start_redis(password="secret")
    with connect(server.port) as client, pytest.raises(exceptions.AuthenticationError):
        client.ping()
    with Redis.from_url(server.url) as client:
        assert client.ping()


def test_a_user_may_do_what_its_rules_say(start_redis: StartRedis) -> None:
    server = start_redis(users={"conduit": "on >secret ~* &* +@all -config", "default": "off"})
    with Redis.from_url(server.url_for("conduit", "secret")) as client:
        assert client.ping()
        with pytest.raises(exceptions.NoPermissionError):
            client.config_get("save")


def test_a_server_that_cannot_start_fails_with_its_log(tmp_path: Path) -> None:
    server = RedisServer(tmp_path, config={"no-such-setting": "1"})
    with pytest.raises(ServerError, match="no-such-setting"):
        server.start()
    assert not server.running


def test_a_missing_server_fails_and_names_what_is_there() -> None:
    assert {"valkey", "redis-6.2"} <= binaries().keys()
    with pytest.raises(ServerError, match=r"need the server 'redis-1'.*'valkey'"):
        binary("redis-1")


def test_ports_are_never_handed_out_twice() -> None:
    ports = [free_port() for _ in range(20)]
    assert len(set(ports)) == 20


def test_a_server_lives_on_when_the_thread_that_started_it_has_ended(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    thread = threading.Thread(target=server.start)
    thread.start()
    thread.join()
    try:
        assert server.execute("PING")
    finally:
        server.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
def test_a_server_dies_with_the_tests_that_were_killed(tmp_path: Path) -> None:
    tests = subprocess.Popen(
        [
            sys.executable,
            "-c",
            dedent(
                f"""
                import time
                from pathlib import Path
                from tests.servers.redis import RedisServer

                server = RedisServer(Path({str(tmp_path)!r}))
                server.start()
                print(server.pid, flush=True)
                time.sleep(600)
                """
            ),
        ],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        text=True,
    )
    with tests:
        assert tests.stdout is not None
        server = psutil.Process(int(tests.stdout.readline()))
        assert server.is_running()
        os.kill(tests.pid, signal.SIGKILL)
    server.wait(30)


# Sentinel


def test_sentinels_lead_to_a_master_whose_replica_follows(sentinel_trio: SentinelTrio) -> None:
    places = [("127.0.0.1", sentinel.port) for sentinel in sentinel_trio.sentinels]
    lookup = Sentinel(places)
    assert lookup.discover_master(MASTER_NAME) == ("127.0.0.1", sentinel_trio.master.port)
    assert len(lookup.discover_slaves(MASTER_NAME)) == 1
    assert sentinel_trio.url == (
        "redis+sentinel://" + ",".join(f"{host}:{port}" for host, port in places) + "/mymaster/0"
    )
    for sentinel in lookup.sentinels:
        sentinel.close()


def test_another_master_takes_over_and_the_old_one_comes_back_beside_it(
    sentinel_trio: SentinelTrio,
) -> None:
    sentinel_trio.master.execute("SET", "before", "yes")
    sentinel_trio.master.execute("WAIT", 1, 5000)

    old = sentinel_trio.kill_master()
    new = sentinel_trio.wait_for_master_other_than(old)
    assert new is not old
    assert new.execute("GET", "before") == "yes"
    new.execute("SET", "after", "yes")

    sentinel_trio.heal()
    roles = [server.info()["role"] for server in sentinel_trio.servers]
    assert sorted(roles) == ["master", "slave"]
    assert old.execute("GET", "after") == "yes"


def test_what_a_cut_replica_was_not_sent_is_lost_with_the_master(
    sentinel_trio: SentinelTrio, namespace: str
) -> None:
    master = sentinel_trio.master
    sentinel_trio.cut_replication()
    master.execute("SET", namespace, "accepted")
    assert master.execute("WAIT", 1, 100) == 0

    old = sentinel_trio.kill_master()
    new = sentinel_trio.wait_for_master_other_than(old)

    assert new.execute("GET", namespace) is None


# Cluster


def test_three_masters_share_all_slots(redis_cluster: Cluster) -> None:
    with RedisCluster.from_url(redis_cluster.nodes[0].url) as client:
        for number in range(30):
            client.set(f"key-{number}", number)
    sizes = [int(node.execute("DBSIZE")) for node in redis_cluster.nodes]
    assert sum(sizes) == 30
    assert all(sizes)
    spread = [redis_cluster.node_of(f"key-{number}") for number in range(30)]
    assert [spread.count(number) for number in range(3)] == sizes
    assert [redis_cluster.state(number) for number in range(3)] == ["ok"] * 3


def test_a_killed_node_takes_the_cluster_down_until_it_is_back_with_its_data(
    redis_cluster: Cluster, namespace: str
) -> None:
    number = redis_cluster.node_of(namespace)
    redis_cluster.nodes[number].execute("CONFIG", "SET", "appendfsync", "always")
    redis_cluster.nodes[number].execute("SET", namespace, "kept")

    redis_cluster.kill(number)
    other = (number + 1) % 3
    until(lambda: redis_cluster.state(other) == "fail", "the others notice")
    assert redis_cluster.state(number) == "unreachable"
    with pytest.raises(exceptions.ClusterDownError):
        redis_cluster.nodes[other].execute("GET", namespace)

    redis_cluster.restart(number)
    assert redis_cluster.nodes[number].execute("GET", namespace) == "kept"


# Faults


def test_a_proxy_forwards(client: Redis, namespace: str) -> None:
    client.set(namespace, "x" * 1_000_000)
    assert len(str(client.get(namespace))) == 1_000_000


def test_a_frozen_proxy_holds_requests_until_it_is_thawed(
    proxy: Proxy, client: Redis, redis_server: RedisServer, namespace: str
) -> None:
    client.ping()
    proxy.freeze()
    asked = threading.Thread(target=client.set, args=(namespace, "late"))
    asked.start()
    until(lambda: proxy.held > 0, "the request has reached the proxy")
    with connect(proxy.port, socket_timeout=0.2) as second, pytest.raises(exceptions.TimeoutError):
        second.ping()
    assert redis_server.execute("GET", namespace) is None
    proxy.thaw()
    asked.join()
    assert redis_server.execute("GET", namespace) == "late"


def test_what_a_frozen_proxy_holds_is_lost_when_it_is_cut(
    proxy: Proxy, client: Redis, redis_server: RedisServer, namespace: str
) -> None:
    client.ping()
    proxy.freeze()
    failures: list[exceptions.ConnectionError] = []

    def ask() -> None:
        try:
            client.set(namespace, "lost")
        except exceptions.ConnectionError as error:
            failures.append(error)

    asked = threading.Thread(target=ask)
    asked.start()
    until(lambda: proxy.held > 0, "the request has reached the proxy")
    proxy.cut()
    asked.join()
    proxy.thaw()
    assert len(failures) == 1
    assert redis_server.execute("GET", namespace) is None


def test_a_cut_resets_connections_and_new_ones_work(proxy: Proxy) -> None:
    with socket.create_connection(("127.0.0.1", proxy.port)) as old:
        old.sendall(b"PING\r\n")
        assert old.recv(100) == b"+PONG\r\n"
        assert proxy.connections == 1
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            old.recv(100)
    with connect(proxy.port) as new:
        assert new.ping()


def test_refused_connections_leave_the_others_alone(proxy: Proxy, client: Redis) -> None:
    client.ping()
    proxy.refuse()
    with connect(proxy.port) as second, pytest.raises(exceptions.ConnectionError, match="refused"):
        second.ping()
    assert client.ping()
    proxy.refuse(False)
    with connect(proxy.port) as second:
        assert second.ping()


def test_a_dropped_reply_hides_work_that_was_done(
    proxy: Proxy, client: Redis, namespace: str
) -> None:
    proxy.drop_replies(1, to=b"INCR")
    assert client.ping()
    with pytest.raises(exceptions.ConnectionError):
        client.incr(namespace)
    assert proxy.lost == 1
    assert client.get(namespace) == "1"
    assert client.incr(namespace) == 2


def test_a_request_that_is_never_answered_leaves_the_loss_to_the_next(
    proxy: Proxy, client: Redis, namespace: str
) -> None:
    proxy.drop_replies(1)
    with socket.create_connection(("127.0.0.1", proxy.port)) as unanswered:
        unanswered.sendall(f"BLPOP {namespace} 0\r\n".encode())
        until(lambda: proxy.connections == 1, "the request is on its way")
    until(lambda: proxy.connections == 0, "it was given up")
    assert proxy.lost == 0
    with pytest.raises(exceptions.ConnectionError):
        client.ping()
    assert proxy.lost == 1
    assert client.ping()


def test_each_request_is_delayed(proxy: Proxy, client: Redis) -> None:
    client.ping()
    proxy.delay(300)
    begun = time.monotonic()
    client.ping()
    assert time.monotonic() - begun >= 0.3
    proxy.delay(0)


def test_a_proxy_whose_server_is_down_resets(start_redis: StartRedis) -> None:
    server = start_redis()
    with Proxy(server.port) as proxy, connect(proxy.port) as client:
        assert client.ping()
        server.kill()
        with pytest.raises(exceptions.ConnectionError):
            client.ping()
        server.restart()
        assert client.ping()


def test_a_proxy_with_a_certificate_speaks_tls(redis_server: RedisServer, tmp_path: Path) -> None:
    certificate = Certificate(tmp_path)
    with Proxy(redis_server.port, certificate=certificate) as proxy:
        url = f"rediss://127.0.0.1:{proxy.port}/0"
        with Redis.from_url(url, ssl_ca_certs=str(certificate.path)) as client:
            assert client.ping()
        with (
            Redis.from_url(url, retry=Retry(NoBackoff(), 0)) as stranger,
            pytest.raises(exceptions.ConnectionError, match="CERTIFICATE_VERIFY_FAILED"),
        ):
            stranger.ping()


def test_a_certificate_needs_openssl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ServerError, match="openssl"):
        Certificate(tmp_path)
