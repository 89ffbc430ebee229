"""Connections to the server that holds the namespace, wherever it is at the moment.

A namespace lies in one slot, so also of a cluster one node is spoken to. Failed calls aren't sent
again here: who called knows whether they may be.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

from redis import exceptions as redis_errors
from redis.asyncio import Redis
from redis.asyncio.connection import Connection, ConnectionPool, SSLConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.crc import key_slot

from conduit.core.errors import ConfigurationError, QueueAccessError, QueueUnavailableError
from conduit.queue.forks import inherited, keep_for_ever
from conduit.queue.redis.address import Address, Durability
from conduit.queue.redis.failures import (
    CALL_ERRORS,
    is_a_cluster,
    is_of_uvloop,
    translate,
    wants_another_node,
)
from conduit.queue.redis.keys import Keys
from conduit.queue.redis.packing import pack
from conduit.queue.redis.pool import SOCKET_OPTIONS, Client, Pool, close_client
from conduit.queue.redis.scripts import script

ANSWER_TIMEOUT_S = 10.0
CONNECT_TIMEOUT_S = 5.0
LOOKUP_TIMEOUT_S = 2.0
"""For how long one sentinel or node is asked where the master is, before the next one is."""
OLDEST_REDIS = (6, 2)
WAITAOF_SINCE = (7, 2)
UNBOUNDED = 2**31
CLIENT_NAME = f"conduit-{os.getpid()}"
_MISLED = {"sentinel": "is a sentinel: use redis+sentinel://"}


class Server:
    """The server of one namespace. Open it first; close it last."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.keys = Keys(address.namespace)
        self.version: tuple[int, ...] = ()
        self.info: dict[str, Any] = {}
        self._pool: Pool | None = None
        self._sentinel: Any = None
        self._room = asyncio.Semaphore(address.max_connections)
        self._looking_up = asyncio.Lock()
        self._nodes = list(address.hosts)  # of a cluster: those named, then those heard of
        self._inherited = False

    # --- life ---------------------------------------------------------------------------------

    async def open(self) -> None:
        """Connect and learn the version. Raises what stands in the way."""
        self._inherited = False
        self.info = await self.command("INFO")
        version = str(self.info.get("redis_version", "0"))
        self.version = tuple(int(part) for part in version.split(".")[:3] if part.isdecimal())
        if self.version < OLDEST_REDIS:
            raise ConfigurationError(
                f"{self.address.shown} is Redis {version}; the queue needs 6.2 or newer"
            )
        mode = str(self.info.get("redis_mode") or self.info.get("server_mode"))
        if mode in _MISLED:
            raise ConfigurationError(f"{self.address.shown} {_MISLED[mode]}")
        if self.address.durability is Durability.FSYNC and not int(self.info.get("aof_enabled", 0)):
            raise ConfigurationError(
                f"durability is fsync, and {self.address.shown} writes no append-only file: set "
                "its appendonly to yes"
            )

    async def close(self) -> None:
        """Let go of every connection."""
        await self._drop(self._pool)
        if self._sentinel is not None:
            sentinel, self._sentinel = self._sentinel, None
            await sentinel.aclose()

    def abandon(self) -> None:
        """In a forked child: leave the connections to the parent, and make none."""
        keep_for_ever(vars(self).copy())
        self._pool = self._sentinel = None
        self._room = asyncio.Semaphore(self.address.max_connections)
        self._looking_up = asyncio.Lock()
        self._inherited = True

    async def _drop(self, pool: Pool | None) -> None:
        """Let go of connections; the next call makes others, to the address that holds then."""
        if pool is not None:
            if pool is self._pool:
                self._pool = None
            await pool.close()

    # --- calls --------------------------------------------------------------------------------

    async def command(self, *words: Any) -> Any:
        """The answer to one command. Raises the queue's errors."""
        (answer,) = await self.commands(words)
        return answer

    async def commands(self, *commands: tuple[Any, ...]) -> list[Any]:
        """The answers to several commands, sent together and carried out in turn."""
        async with self._room:
            return await self._call(lambda pool, link: pool.ask_all(link, commands))

    async def blocking(self, timeout: float, *words: Any) -> Any:
        """The answer to a command that may take `timeout` seconds before it is answered."""

        async def ask(pool: Pool, link: Any) -> list[Any]:
            return await pool.ask_all(link, [words], patience=timeout)

        (answer,) = await self._call(ask, patience=timeout)
        return answer

    async def _call(
        self, use: Callable[[Pool, Any], Awaitable[Any]], *, patience: float = 0.0
    ) -> Any:
        """Use a connection for a call that ends `patience` seconds later than others."""
        pool: Pool | None = None
        sent = False
        try:
            pool = await self._current()
            async with asyncio.timeout(patience + ANSWER_TIMEOUT_S):
                link = await pool.take()
                sent = True
                try:
                    return await use(pool, link)
                finally:
                    await pool.keep(link)
        except CALL_ERRORS as error:
            await self._after(error, pool)
            if isinstance(error, redis_errors.MovedError) and self._is_single:
                raise is_a_cluster(self.address.shown) from error
            raise translate(error, self.address.shown, sent=sent) from error

    @asynccontextmanager
    async def apart(self) -> AsyncGenerator[tuple[Pool, Any]]:
        """A pool and a new connection of it for who listens all the time, closed at the end."""
        pool: Pool | None = None
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                pool = await self._current()
                link = await pool.fresh()
        except CALL_ERRORS as error:
            await self._after(error, pool)
            raise
        try:
            yield pool, link
        finally:
            await pool.discard(link)

    async def run(
        self,
        name: str,
        now: int | None,
        *inputs: Any,
        durable: bool = False,
        files: Sequence[bytes] = (),
    ) -> Any:
        """Run a script. `now` is the time by a test's clock, else None.

        `files` are bytes that go beside the inputs, which can only be text.
        `durable`: answer only once the server has done what the address's durability asks for.
        Raises `NotConfirmedError` when it hasn't in time, though the script has run, and
        `AnswerLostError` when it may have.
        """
        text = script(name, flags=self.version >= (7,))
        arguments = (1, self.keys.prefix, "" if now is None else now, pack(inputs), *files)
        confirmation = self.confirmation() if durable else None
        patience = 0.0 if confirmation is None else self.address.wait_ms / 1000

        async def evaluate(pool: Pool, link: Any) -> Any:
            try:
                answer = await pool.ask(link, "EVALSHA", text.sha, *arguments)
            except redis_errors.NoScriptError:  # a new, restarted or flushed server
                answer = await pool.ask(link, "EVAL", text.text, *arguments)
            if confirmation is not None:  # the server counts by connection
                self._confirm(await pool.ask(link, *confirmation, patience=patience))
            return answer

        async with self._room:
            return await self._call(evaluate, patience=patience)

    def confirmation(self) -> tuple[Any, ...] | None:
        """The command that waits until what the connection has written is safe enough."""
        address = self.address
        if address.durability is Durability.REPLICA:
            return "WAIT", address.replicas, address.wait_ms
        if address.durability is Durability.FSYNC and self.version >= WAITAOF_SINCE:
            return "WAITAOF", 1, 0, address.wait_ms
        return None  # with fsync, an older server is expected to flush at each write

    def _confirm(self, confirmed: Any) -> None:
        # WAITAOF counts the server itself and its replicas, WAIT only those.
        syncs = self.address.durability is Durability.FSYNC
        if confirmed[0] < 1 if syncs else confirmed < self.address.replicas:
            raise NotConfirmedError(
                f"{self.address.shown} has it, but no confirmation came within "
                f"{self.address.wait_ms} ms ({self.address.durability.value})"
            )

    # --- clients ------------------------------------------------------------------------------

    @property
    def _is_single(self) -> bool:
        return self.address.topology == "single"

    async def _current(self) -> Pool:
        if self._pool is None:
            async with self._looking_up:
                if self._pool is None:
                    self._pool = Pool(await self._connect())
        return self._pool

    async def _connect(self) -> Client:
        address = self.address
        if self._inherited:
            raise inherited(address.shown)
        options = self._options()
        if address.topology == "sentinel":
            if self._sentinel is None:  # one for all, which asks the one first that helped last
                secure = {"ssl": True, **address.ssl} if address.tls else {}
                self._sentinel = _Sentinels(
                    list(address.hosts),
                    sentinel_kwargs=self._options(sentinel=True) | secure,
                    **options | secure,
                )
            return self._sentinel.master_for(address.service)
        host, port = address.hosts[0]
        if address.topology == "cluster":
            host, port = await self._owner()
        return self._to(host, port, options)

    def _to(self, host: str, port: int, options: dict[str, Any]) -> Client:
        secure = {"connection_class": SSLConnection, **self.address.ssl} if self.address.tls else {}
        pool = ConnectionPool(
            **({"connection_class": Connection} | secure), host=host, port=port, **options
        )
        return Redis.from_pool(pool)

    def _options(self, *, sentinel: bool = False) -> dict[str, Any]:
        address = self.address
        patience = LOOKUP_TIMEOUT_S if sentinel else None
        # `_room` bounds how many calls are under way; redis-py's own limit would fail the others.
        own = {"db": address.database, "client_name": CLIENT_NAME, "max_connections": UNBOUNDED}
        return {
            "username": address.sentinel_username if sentinel else address.username,
            "password": address.sentinel_password if sentinel else address.password,
            # `_call` bounds a whole call. redis-py would use asyncio.wait_for at each send, which
            # before Python 3.12 can swallow a cancel (python/cpython#86296).
            "socket_timeout": patience,
            "socket_connect_timeout": patience or CONNECT_TIMEOUT_S,
            "socket_keepalive": True,
            "socket_keepalive_options": SOCKET_OPTIONS,
            "retry": Retry(NoBackoff(), 0),
            "protocol": 2,
            **({} if sentinel else own),
        }

    async def _owner(self) -> tuple[str, int]:
        """Ask the cluster's nodes in turn for the one that holds the namespace's slot."""
        slot = key_slot(self.keys.prefix.encode())
        complaints: list[str] = []
        for host, port in list(self._nodes):
            client = self._to(host, port, self._options())
            try:
                async with asyncio.timeout(LOOKUP_TIMEOUT_S):
                    slots = await _cluster_slots(client)
            except CALL_ERRORS as error:
                told = translate(error, f"{host}:{port}")
                if isinstance(told, QueueAccessError) or not isinstance(
                    told, QueueUnavailableError
                ):
                    raise told from error
                complaints.append(str(told))
                continue
            finally:
                await close_client(client)
            owners = [(first, last, _place(node, host)) for first, last, node, *_ in slots]
            self._nodes += [place for *_, place in owners if place not in self._nodes]
            for first, last, place in owners:
                if first <= slot <= last:
                    return place
            complaints.append(f"{host}:{port} knows no node for this namespace's slot")
        raise QueueUnavailableError(f"no node of the cluster helps: {'; '.join(complaints)}")

    async def _after(self, error: BaseException, pool: Pool | None) -> None:
        """Look the address up again where the error says that it may have changed."""
        lost = is_of_uvloop(error) or isinstance(
            error, redis_errors.ConnectionError | redis_errors.TimeoutError | OSError
        )
        if wants_another_node(error) or (lost and self.address.topology == "cluster"):
            await self._drop(pool)


class _Sentinels(Sentinel):
    """Sentinels that are asked so seldom that a network would forget a connection to one."""

    async def discover_master(self, service_name: str) -> Any:
        """Where the master is, asked over connections that are closed then."""
        try:
            return cast("Any", await super().discover_master(service_name))
        finally:
            for sentinel in self.sentinels:
                await sentinel.connection_pool.disconnect(inuse_connections=False)


async def _cluster_slots(client: Client) -> list[Any]:
    """CLUSTER SLOTS as the server answers it: [first, last, [host, port, …], …]."""
    connection = await client.connection_pool.get_connection()
    try:
        await connection.send_command("CLUSTER", "SLOTS")
        return await connection.read_response()
    finally:
        await client.connection_pool.release(connection)


def _place(node: list[Any], asked: str) -> tuple[str, int]:
    """Where a node is; one that doesn't know its own host is where it was asked."""
    return (node[0].decode() if node[0] else asked), node[1]


class NotConfirmedError(QueueUnavailableError):
    """The script has run, but its durability wasn't confirmed in time."""
