"""Whether a server is fit to be a queue: what lies under our names, and how it keeps its data."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, Protocol

from conduit.core.errors import QueueAccessError, QueueCorruptError, QueueSchemaError
from conduit.queue.base import Health
from conduit.queue.redis.address import Durability
from conduit.queue.redis.connection import Server
from conduit.queue.redis.keys import FIXED

SCHEMA_VERSION = 1
WARN_ENTRIES = 250_000
"""Entries of the event stream beyond which some group is so far behind that one should know."""


class Run(Protocol):
    """Runs a script with its inputs."""

    def __call__(self, script: str, *inputs: Any) -> Awaitable[Any]: ...


async def check_names(run: Run) -> None:
    """Refuse foreign keys under our names, and a namespace of another version."""
    types = [part for pair in FIXED.items() for part in pair]
    verdict, *details = [part.decode() for part in await run("open", SCHEMA_VERSION, types)]
    if verdict == "FOREIGN":
        key, found = details
        raise QueueCorruptError(
            f"{key} is a {found} that isn't Conduit's: choose another namespace, or remove it"
        )
    if verdict == "SCHEMA":
        raise QueueSchemaError(
            f"this namespace was written by another Conduit (schema {details[0]}, this one knows "
            f"{SCHEMA_VERSION}); use the same version everywhere, or another namespace"
        )


async def health(server: Server) -> Health:
    """Ask the server how it is, and what about it deserves a warning."""
    info = await server.command("INFO")
    warnings = [*_about_memory(info), *await _about_disk(server, info)]
    warnings += await _about_events(server)
    durable = bool(int(info.get("aof_enabled", 0)))
    name = "valkey" if "valkey_version" in info else "redis"
    return Health(
        backend=name,
        address=server.address.shown,
        version=str(info.get("valkey_version") or info.get("redis_version")),
        durable=durable,
        warnings=tuple(warnings),
    )


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
        wanted = server.address.durability is Durability.FSYNC and server.version < (7, 2)
        if wanted and flushes not in (None, "always"):
            return [
                f"durability is fsync and appendfsync is {flushes}: set it to always, or use "
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


async def _about_events(server: Server) -> list[str]:
    events = server.keys.name("events")
    length = await server.command("XLEN", events)
    if length <= WARN_ENTRIES:
        return []
    return [
        f"{length:,} entries wait in the event stream: some group of readers doesn't keep up, or "
        f"is gone; see XINFO GROUPS {events}, and destroy groups that nobody reads"
    ]
