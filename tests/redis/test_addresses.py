"""What a queue's URL may say, what is refused in it, and what the settings add to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from conduit.core.errors import ConfigurationError
from conduit.queue.redis import RedisQueue
from conduit.queue.redis.address import Address, Durability, parse
from conduit.settings import load_settings


@pytest.mark.parametrize(
    ("url", "hosts"),
    [
        ("redis://queue", (("queue", 6379),)),
        ("redis://queue:7000", (("queue", 7000),)),
        ("redis://", (("localhost", 6379),)),
        ("redis://:7000", (("localhost", 7000),)),
        ("redis://[::1]:7000/1", (("::1", 7000),)),
        ("redis://[::1]", (("::1", 6379),)),
        ("redis+sentinel://one,two:7000/main", (("one", 26379), ("two", 7000))),
        ("redis+cluster://one:7000,[::1]:7001", (("one", 7000), ("::1", 7001))),
    ],
)
def test_hosts_and_ports_have_defaults(url: str, hosts: tuple[tuple[str, int], ...]) -> None:
    assert parse(url).hosts == hosts


@pytest.mark.parametrize(
    ("scheme", "topology", "tls"),
    [
        ("redis", "single", False),
        ("rediss", "single", True),
        ("redis+sentinel", "sentinel", False),
        ("rediss+sentinel", "sentinel", True),
        ("redis+cluster", "cluster", False),
        ("rediss+cluster", "cluster", True),
    ],
)
def test_the_scheme_says_what_there_is_and_whether_it_is_encrypted(
    scheme: str, topology: str, tls: bool
) -> None:
    path = "/main" if topology == "sentinel" else ""
    address = parse(f"{scheme}://queue{path}")
    assert (address.topology, address.tls) == (topology, tls)


@pytest.mark.parametrize(
    ("url", "database", "service"),
    [
        ("redis://queue", 0, ""),
        ("redis://queue/3", 3, ""),
        ("redis://queue/3/", 3, ""),
        ("redis+sentinel://queue/main", 0, "main"),
        ("redis+sentinel://queue/main/3", 3, "main"),
        ("redis+sentinel://queue/my%20main", 0, "my main"),
    ],
)
def test_the_path_names_the_database_and_a_sentinels_master(
    url: str, database: int, service: str
) -> None:
    address = parse(url)
    assert (address.database, address.service) == (database, service)


@pytest.mark.parametrize(
    ("login", "username", "password"),
    [
        ("", None, None),
        (":secret@", None, "secret"),
        ("conduit:secret@", "conduit", "secret"),
        ("conduit:p%40ss%3Aw%2Ford@", "conduit", "p@ss:w/ord"),
        ("conduit:p@ss@", "conduit", "p@ss"),
    ],
)
def test_user_and_password_come_before_the_hosts(
    login: str, username: str | None, password: str | None
) -> None:
    address = parse(f"redis://{login}queue:7000")
    assert (address.username, address.password) == (username, password)
    assert address.hosts == (("queue", 7000),)


def test_options_follow_the_question_mark() -> None:
    address = parse(
        "rediss+sentinel://one/main?namespace=shop&durability=replica&replicas=2&wait_ms=50"
        "&max_connections=4&sentinel_username=watcher&sentinel_password=p%26s"
        "&ssl_ca_certs=/etc/ca.pem&ssl_check_hostname=no"
    )
    assert address == Address(
        topology="sentinel",
        hosts=(("one", 26379),),
        tls=True,
        service="main",
        namespace="shop",
        durability=Durability.REPLICA,
        replicas=2,
        wait_ms=50,
        max_connections=4,
        sentinel_username="watcher",
        sentinel_password="p&s",
        ssl={"ssl_ca_certs": "/etc/ca.pem", "ssl_check_hostname": False},
    )


@pytest.mark.parametrize(
    "url",
    [
        "redis://conduit:secret@queue:7000/2",
        "rediss://:secret@queue:7000?namespace=shop&sentinel_password=secret",
        "redis+sentinel://conduit:secret@one:1,two:2/main/3?sentinel_password=secret",
        "redis+cluster://conduit:secret@one:1,[::1]:2",
    ],
)
def test_the_address_is_shown_without_its_passwords(url: str) -> None:
    shown = parse(url).shown
    assert "secret" not in shown
    assert "***@" in shown
    without = parse(shown)
    assert (without.hosts, without.database) == (parse(url).hosts, parse(url).database)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://queue", "isn't a Redis address"),
        ("redis+proxy://queue", "use redis://, rediss://"),
        ("redis://one,two", "use redis\\+sentinel:// or redis\\+cluster://"),
        ("redis+sentinel://one", "names the master"),
        ("redis+sentinel://one/main/x", "isn't a database"),
        ("redis://queue/shop", "isn't a database"),
        ("redis://queue/-1", "isn't a database"),
        ("redis://queue/0/1", "isn't a database"),
        ("redis+cluster://one/1", "a cluster has one database"),
        ("redis://queue:port", "isn't host:port"),
        ("redis://queue:70000", "isn't host:port"),
        ("redis://[::1", "isn't a URL"),
        ("redis://queue?durable=yes", "'durable' isn't an option"),
        ("redis://queue?durability=disk", "isn't one of none, aof, replica, fsync"),
        ("redis://queue?replicas=0", "a whole number from 1"),
        ("redis://queue?wait_ms=1.5", "a whole number from 1"),
        ("redis://queue?max_connections=many", "a whole number from 1"),
        ("redis://queue?ssl_ca_certs=/ca.pem", "need rediss://"),
        ("redis://queue?namespace=", "can't be a namespace"),
        ("redis://queue?namespace=a:b", "can't be a namespace"),
        ("redis://queue?namespace={a}", "can't be a namespace"),
        ("redis://queue?namespace=" + "n" * 65, "can't be a namespace"),
        ("rediss://queue?ssl_cert_reqs=maybe", "ssl_cert_reqs='maybe'"),
    ],
)
def test_what_is_wrong_with_a_url_is_said(url: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        RedisQueue(url)


def test_the_password_is_in_no_error() -> None:
    for url in ("redis://conduit:secret@queue:port/0", "redis://conduit:secret@[queue/0"):
        with pytest.raises(ConfigurationError) as caught:
            parse(url)
        assert "secret" not in str(caught.value)


# Settings


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("QUEUE_URL", "REDIS_URL", "NAMESPACE", "DURABILITY", "DATA_DIR"):
        monkeypatch.delenv(f"CONDUIT_{name}", raising=False)


def test_namespace_and_durability_of_the_environment_become_options(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CONDUIT_QUEUE_URL", "redis://conduit:p%40ss@queue:7000/2")
    monkeypatch.setenv("CONDUIT_NAMESPACE", "shop")
    monkeypatch.setenv("CONDUIT_DURABILITY", "fsync")
    address = parse(load_settings().queue_url)
    assert (address.namespace, address.durability) == ("shop", Durability.FSYNC)
    assert (address.username, address.password, address.database) == ("conduit", "p@ss", 2)


def test_options_of_the_url_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONDUIT_NAMESPACE", "shop")
    monkeypatch.setenv("CONDUIT_DURABILITY", "fsync")
    url = "redis+cluster://one:1,two:2?namespace=own&durability=replica&wait_ms=7"
    address = parse(load_settings(queue_url=url).queue_url)
    assert (address.namespace, address.durability) == ("own", Durability.REPLICA)
    assert (address.hosts, address.wait_ms) == ((("one", 1), ("two", 2)), 7)


def test_a_wrong_durability_of_the_environment_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONDUIT_REDIS_URL", "redis://queue")
    monkeypatch.setenv("CONDUIT_DURABILITY", "certain")
    with pytest.raises(ConfigurationError, match="'certain' isn't one of"):
        RedisQueue(load_settings().queue_url)


def test_pyproject_sets_them_too(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[tool.conduit]\nqueue_url = "redis://queue"\nnamespace = "shop"\ndurability = "none"\n'
    )
    address = parse(load_settings().queue_url)
    assert (address.namespace, address.durability) == ("shop", Durability.NONE)
