"""Whether a server is fit to be a queue: what lies under our names, and how it keeps its data."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Any, Protocol

from conduit.core.errors import (
    QueueAccessError,
    QueueCorruptError,
    QueueSchemaError,
    QueueUnavailableError,
)
from conduit.queue.base import Health
from conduit.queue.redis.address import Durability
from conduit.queue.redis.connection import WAITAOF_SINCE, Server
from conduit.queue.redis.failures import ForeignKeyError
from conduit.queue.redis.keys import FIXED, Keys

SCHEMA_VERSION = 4
"""Of what lies in a namespace. States are arrays, and nothing stored relies on a default."""
WARN_ENTRIES = 250_000
"""Entries of the event stream beyond which some group is so far behind that one should know."""


_ON_KEYS = """
    DEL EXISTS GET HDEL HEXISTS HGET HGETALL HINCRBY HKEYS HMGET HSCAN HSET HVALS INCRBY LINDEX
    LLEN LPOP LRANGE LTRIM RPUSH SADD SET SINTER SISMEMBER SMEMBERS SREM SSCAN TYPE XACK XADD
    XAUTOCLAIM XDEL XLEN XPENDING XRANGE ZADD ZCOUNT ZINCRBY ZRANGE ZRANGEBYSCORE ZREM
    ZREMRANGEBYRANK ZSCORE
"""
"""Commands with a key, by name."""


def needed(keys: Keys, confirmation: Sequence[Any] | None = None) -> list[tuple[str, ...]]:
    """Commands that a user has to be allowed, as their words, beside those for a connection.

    `confirmation` is the one that waits for the durability asked for, if there is such a one.
    Found out at once: a script that is refused a command halfway would leave half its writes.
    """
    key, channel = keys.name("jobs"), keys.name("wake")
    return [
        *((command, key, key, key, key) for command in _ON_KEYS.split()),
        ("XINFO", "GROUPS", key),
        ("XINFO", "CONSUMERS", key, "group"),
        ("XGROUP", "CREATE", key, "group", "0"),
        ("XGROUP", "DELCONSUMER", key, "group", "consumer"),
        ("XREADGROUP", "GROUP", "group", "consumer", "STREAMS", key, ">"),
        ("PUBLISH", channel, ""),
        ("SUBSCRIBE", channel),
        *((command,) for command in ("TIME", "INFO", "PING")),
        *([tuple(map(str, confirmation))] if confirmation else []),
    ]


class Run(Protocol):
    """Runs a script with its inputs."""

    def __call__(self, script: str, *inputs: Any) -> Awaitable[Any]: ...


async def check_namespace(run: Run, server: Server) -> None:
    """Refuse a user without the rights, foreign keys under our names, and another version's."""
    verdict, *details = await _open(run, server)
    if verdict == "NEW":
        await run("found", SCHEMA_VERSION)
        verdict, *details = await _open(run, server)  # another version may have come first
    if verdict == "DENIED":
        raise QueueAccessError(
            f"this user may not {details[0]}: see the rights that Conduit needs in docs/redis.md"
        )
    if verdict == "FOREIGN":
        key, found = details
        raise QueueCorruptError(
            f"{key} is a {found} that isn't Conduit's: choose another namespace, or remove it"
        )
    if verdict == "SCHEMA":
        age = "a newer" if int(details[0]) > SCHEMA_VERSION else "an older"
        raise QueueSchemaError(
            f"this namespace was written by {age} Conduit (schema {details[0]}, this one knows "
            f"{SCHEMA_VERSION}); use the same version everywhere, or another namespace"
        )


async def _open(run: Run, server: Server) -> list[str]:
    types = [part for pair in FIXED.items() for part in pair]
    answer = await run("open", SCHEMA_VERSION, types, needed(server.keys, server.confirmation()))
    return [part.decode() for part in answer]


async def name_foreign_key(server: Server, error: ForeignKeyError) -> QueueUnavailableError:
    """The same error, naming the key where it is one that there is one of."""
    names = {server.keys.name(key): kind for key, kind in FIXED.items()}
    found = await server.commands(*(("TYPE", name) for name in names))
    for (name, kind), there in zip(names.items(), map(bytes.decode, found), strict=True):
        if there not in ("none", kind):
            return QueueUnavailableError(
                f"{server.address.shown} holds a {there} that isn't Conduit's under {name}, and "
                "nothing was written: remove it"
            )
    return error


async def health(server: Server) -> Health:
    """Ask the server how it is, and what about it deserves a warning."""
    info = await server.command("INFO")
    warnings = [*_about_snapshots(info), *_about_memory(info), *await _about_disk(server, info)]
    warnings += await _about_events(server)
    durable = bool(int(info.get("aof_enabled", 0)))
    warnings += _about_replicas(server, info)
    name = "valkey" if "valkey_version" in info else "redis"
    return Health(
        backend=name,
        address=server.address.shown,
        version=str(info.get("valkey_version") or info.get("redis_version")),
        durable=durable,
        warnings=tuple(warnings),
    )


def _about_snapshots(info: dict[str, Any]) -> list[str]:
    if info.get("rdb_last_bgsave_status") in (None, "ok"):
        return []
    return [
        "the server's last snapshot failed: it may take no writes until one succeeds "
        "(stop-writes-on-bgsave-error); look at its log, its disk and its memory"
    ]


def _about_memory(info: dict[str, Any]) -> list[str]:
    policy = info.get("maxmemory_policy")
    if policy in (None, "noeviction"):
        return []
    return [
        f"maxmemory-policy is {policy}: when memory runs out the server drops jobs; "
        "set it to noeviction"
    ]


async def _about_disk(server: Server, info: dict[str, Any]) -> list[str]:
    if server.address.durability is Durability.NONE:
        return ["durability is none: a crash of the server may lose accepted jobs"]
    if int(info.get("aof_enabled", 0)):
        flushes = await _setting(server, "appendfsync")
        known = flushes or "unknown (CONFIG is not allowed)"
        wanted = server.address.durability is Durability.FSYNC and server.version < WAITAOF_SINCE
        if wanted and flushes != "always":
            return [
                f"durability is fsync and appendfsync is {known}: set it to always, or use "
                "Redis 7.2, where Conduit can wait for the flush"
            ]
        return []
    snapshots = await _setting(server, "save")
    if snapshots is None:
        return ["the append-only file is off, and CONFIG is not allowed: snapshots are unknown"]
    if snapshots:
        return [
            "the append-only file is off: a crash of the server loses what came since its last "
            "snapshot; set appendonly to yes"
        ]
    return ["persistence is off: a restart of the server loses every job; set appendonly to yes"]


async def _setting(server: Server, name: str) -> str | None:
    """A setting of the server; None where this user may not ask."""
    try:
        found: list[bytes] = await server.command("CONFIG", "GET", name)
    except QueueAccessError:
        return None
    return found[1].decode() if found else ""


def _about_replicas(server: Server, info: dict[str, Any]) -> list[str]:
    address, connected = server.address, int(info.get("connected_slaves", 0))
    if address.durability is not Durability.REPLICA or connected >= address.replicas:
        return []
    return [
        f"durability is replica, and of {address.replicas} replicas {connected} are connected: "
        "every submit and outcome waits in vain for confirmation"
    ]


async def _about_events(server: Server) -> list[str]:
    events = server.keys.name("events")
    length = await server.command("XLEN", events)
    if length <= WARN_ENTRIES:
        return []
    return [
        f"{length:,} entries wait in the event stream: some group of readers doesn't keep up, or "
        f"is gone; see XINFO GROUPS {events}, and destroy groups that nobody reads"
    ]
