"""What a queue's URL says: which servers, how to reach them, whose jobs.

    redis://user:password@host:6379/0?namespace=shop
    rediss://host:6380?ssl_ca_certs=/etc/ca.pem                  TLS
    redis+sentinel://host1:26379,host2:26379/mymaster/0
    redis+cluster://host1:7000,host2:7001

`rediss+sentinel` and `rediss+cluster` are the same over TLS. After the question mark: `namespace`;
`durability` (see `Durability`), `replicas` (how many have to confirm) and `wait_ms` (for how long
to wait for that); `max_connections`; `sentinel_username` and `sentinel_password`; `ssl_ca_certs`,
`ssl_certfile`, `ssl_keyfile`, `ssl_cert_reqs`, `ssl_check_hostname`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from msgspec import Struct

from conduit.core.errors import ConfigurationError

DEFAULT_NAMESPACE = "default"
DEFAULT_CONNECTIONS = 32
DEFAULT_WAIT_MS = 1000
_PORTS = {"single": 6379, "sentinel": 26379, "cluster": 6379}
_CERT_REQS = ("none", "optional", "required")
_SSL = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs")


class Durability(StrEnum):
    """What has to have happened before a submit or an outcome is answered."""

    NONE = "none"
    """The server has it in memory."""
    AOF = "aof"
    """The same; the server is expected to write a log, which health checks look after."""
    REPLICA = "replica"
    """As many replicas as `replicas` says have it too."""
    FSYNC = "fsync"
    """It is on the server's disk."""


class Address(Struct, frozen=True, kw_only=True):
    """A URL taken apart. `topology` is single, sentinel or cluster."""

    topology: str
    hosts: tuple[tuple[str, int], ...]
    tls: bool = False
    database: int = 0
    service: str = ""
    username: str | None = None
    password: str | None = None
    namespace: str = DEFAULT_NAMESPACE
    durability: Durability = Durability.AOF
    replicas: int = 1
    wait_ms: int = DEFAULT_WAIT_MS
    max_connections: int = DEFAULT_CONNECTIONS
    sentinel_username: str | None = None
    sentinel_password: str | None = None
    ssl: dict[str, Any] = {}

    @property
    def shown(self) -> str:
        """The URL for people, its password masked."""
        scheme = "rediss" if self.tls else "redis"
        if self.topology != "single":
            scheme += f"+{self.topology}"
        user = f"{self.username or ''}:***@" if self.password else ""
        hosts = ",".join(f"[{h}]:{p}" if ":" in h else f"{h}:{p}" for h, p in self.hosts)
        service = f"/{self.service}" if self.service else ""
        database = f"/{self.database}" if self.database else ""
        own = self.namespace != DEFAULT_NAMESPACE
        return f"{scheme}://{user}{hosts}{service}{database}" + (
            f"?namespace={self.namespace}" if own else ""
        )


def parse(url: str) -> Address:
    """Take a URL apart. Raises `ConfigurationError` that says which part is wrong."""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise ConfigurationError(f"{url.rpartition('@')[2]!r} isn't a URL: {error}") from None
    base, _, topology = parts.scheme.partition("+")
    topology = topology or "single"
    if base not in ("redis", "rediss") or topology not in _PORTS:
        raise ConfigurationError(
            f"{parts.scheme}:// isn't a Redis address: use redis://, rediss://, "
            "redis+sentinel:// or redis+cluster://"
        )
    username, password, hosts = _authority(parts.netloc, _PORTS[topology])
    if topology == "single" and len(hosts) > 1:
        raise ConfigurationError(
            "redis:// names one server: use redis+sentinel:// or redis+cluster:// for several"
        )
    service, database = _path(parts, topology)
    options = _options(parts.query)
    if options.get("ssl") and base == "redis":
        raise ConfigurationError("ssl_ options need rediss://, which is Redis over TLS")
    return Address(
        topology=topology,
        hosts=hosts,
        tls=base == "rediss",
        database=database,
        service=service,
        username=username,
        password=password,
        **options,
    )


def _authority(
    netloc: str, default_port: int
) -> tuple[str | None, str | None, tuple[tuple[str, int], ...]]:
    credentials, _, hosts = netloc.rpartition("@")
    username, _, password = credentials.partition(":")
    return (
        unquote(username) or None,
        unquote(password) or None,
        tuple(_host(host, default_port) for host in hosts.split(",")),
    )


def _host(text: str, default_port: int) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    try:
        port = parts.port
    except ValueError as error:
        raise ConfigurationError(f"{text!r} isn't host:port: {error}") from None
    return parts.hostname or "localhost", default_port if port is None else port


def _path(parts: SplitResult, topology: str) -> tuple[str, int]:
    names = [unquote(name) for name in parts.path.split("/") if name]
    service = ""
    if topology == "sentinel":
        if not names:
            raise ConfigurationError(
                "a Sentinel address names the master: redis+sentinel://host:26379/mymaster"
            )
        service = names.pop(0)
    if topology == "cluster" and names:
        raise ConfigurationError("a cluster has one database: leave the path out")
    if len(names) > 1 or (names and not names[0].isdecimal()):
        raise ConfigurationError(f"{parts.path!r} isn't a database: write its number, such as /0")
    return service, int(names[0]) if names else 0


def _options(query: str) -> dict[str, Any]:
    options: dict[str, Any] = {}
    ssl: dict[str, Any] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name in ("namespace", "sentinel_username", "sentinel_password"):
            options[name] = value
        elif name in ("replicas", "wait_ms", "max_connections"):
            options[name] = _positive(name, value)
        elif name == "durability":
            options[name] = _durability(value)
        elif name == "ssl_cert_reqs" and value not in _CERT_REQS:
            raise ConfigurationError(f"{name}={value!r} isn't one of {', '.join(_CERT_REQS)}")
        elif name in _SSL:
            ssl[name] = value
        elif name == "ssl_check_hostname":
            ssl[name] = value.lower() in ("1", "true", "yes")
        else:
            known = "namespace, durability, replicas, wait_ms, max_connections, sentinel_username, "
            raise ConfigurationError(
                f"{name!r} isn't an option of a Redis address; there are {known}"
                f"sentinel_password, {', '.join(_SSL)}, ssl_check_hostname"
            )
    return options | ({"ssl": ssl} if ssl else {})


def _positive(name: str, value: str) -> int:
    if not value.isdecimal() or int(value) < 1:
        raise ConfigurationError(f"{name}={value!r} must be a whole number from 1")
    return int(value)


def _durability(value: str) -> Durability:
    try:
        return Durability(value)
    except ValueError:
        known = ", ".join(Durability)
        raise ConfigurationError(f"durability={value!r} isn't one of {known}") from None
