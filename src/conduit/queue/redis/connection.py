"""Connections to the server that holds the namespace, wherever it is at the moment.

A namespace lies in one slot, so also of a cluster one node is spoken to. Failed calls aren't sent
again here: who called knows whether they may be.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from redis import exceptions as redis_errors
from redis.asyncio import Redis
from redis.asyncio.connection import Connection, ConnectionPool, SSLConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.crc import key_slot

from conduit.core.errors import ConfigurationError, QueueUnavailableError
from conduit.queue.redis.address import Address, Durability
from conduit.queue.redis.failures import translate, wants_another_node
from conduit.queue.redis.keys import Keys
from conduit.queue.redis.records import pack
from conduit.queue.redis.scripts import script

Client = Any
"""redis-py's client; its methods are partly untyped."""

ANSWER_TIMEOUT_S = 10.0
CONNECT_TIMEOUT_S = 5.0
OLDEST_REDIS = (6, 2)
KEPT_S = 1.0
CLIENT_NAME = f"conduit-{os.getpid()}"


class Server:
    """The server of one namespace. Open it first; close it last."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.keys = Keys(address.namespace)
        self.version: tuple[int, ...] = ()
        self.info: dict[str, Any] = {}
        self._client: Client = None
        self._patient: Client = None  # for blocking reads
        self._kept: list[tuple[Any, float]] = []  # idle connections, and since when
        self._room = asyncio.Semaphore(address.max_connections)
        self._looking_up = asyncio.Lock()

    # --- life ---------------------------------------------------------------------------------

    async def open(self) -> None:
        """Connect and learn the version. Raises what stands in the way."""
        self.info = await self.command("INFO", "server")
        version = str(self.info.get("redis_version", "0"))
        self.version = tuple(int(part) for part in version.split(".")[:3] if part.isdecimal())
        if self.version < OLDEST_REDIS:
            raise ConfigurationError(
                f"{self.address.shown} is Redis {version}; the queue needs 6.2 or newer"
            )

    async def close(self) -> None:
        """Let go of every connection."""
        clients, self._client, self._patient = (self._client, self._patient), None, None
        self._kept.clear()
        for client in clients:
            if client is not None:
                await client.aclose(close_connection_pool=True)

    # --- calls --------------------------------------------------------------------------------

    async def command(self, *words: Any) -> Any:
        """The answer to one command. Raises the queue's errors."""
        return await self._call(lambda client: client.execute_command(*words))

    async def commands(self, *commands: tuple[Any, ...]) -> list[Any]:
        """The answers to several commands, in one transaction."""

        async def send(client: Client) -> list[Any]:
            async with client.pipeline(transaction=True) as pipe:
                for words in commands:
                    pipe.execute_command(*words)
                return await pipe.execute()

        return await self._call(send)

    async def blocking(self, *words: Any) -> Any:
        """The answer to a command that may take as long as it likes."""
        try:
            if self._patient is None:
                self._patient = await self._connect()
            return await self._patient.execute_command(*words)
        except (redis_errors.RedisError, OSError) as error:
            await self._after(error)
            raise translate(error, self.address.shown) from error

    async def _call(self, send: Callable[[Client], Awaitable[Any]]) -> Any:
        async with self._room:
            try:
                client = await self._current()
                async with asyncio.timeout(ANSWER_TIMEOUT_S):
                    return await send(client)
            except (redis_errors.RedisError, OSError) as error:
                await self._after(error)
                raise translate(error, self.address.shown) from error

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
        Raises `NotConfirmedError` when it hasn't in time, though the script has run.
        """
        text = script(name, flags=self.version >= (7,))
        arguments = (1, self.keys.prefix, "" if now is None else now, pack(inputs), *files)
        confirm = _CONFIRM.get(self.address.durability) if durable else None
        if confirm is not None:
            return await self._call(
                lambda client: self._confirmed(client, text.text, arguments, confirm(self.address))
            )

        async def evaluate(client: Client) -> Any:
            try:
                return await self._exchange(client, "EVALSHA", text.sha, *arguments)
            except redis_errors.NoScriptError:  # a new, restarted or flushed server
                return await self._exchange(client, "EVAL", text.text, *arguments)

        return await self._call(evaluate)

    async def _exchange(self, client: Client, *words: Any) -> Any:
        """Send one command over a connection kept for that: half the way of `execute_command`."""
        connection = await self._take(client)
        try:
            await connection.send_command(*words)
            return await connection.read_response()
        finally:
            if client is self._client:
                self._kept.append((connection, asyncio.get_running_loop().time()))

    async def _take(self, client: Client) -> Any:
        """A connected connection. One that wasn't used for a while goes by the pool, which looks
        whether the server has closed it since."""
        pool = client.connection_pool
        while self._kept:
            connection, used_at = self._kept.pop()
            young = asyncio.get_running_loop().time() - used_at < KEPT_S
            if young and connection.is_connected:
                return connection
            await pool.release(connection)
        return await pool.get_connection()

    async def _confirmed(
        self, client: Client, text: str, arguments: tuple[Any, ...], confirm: tuple[Any, ...]
    ) -> Any:
        """Run a script and wait on the same connection, as the server counts per connection."""
        async with client.pipeline(transaction=False) as pipe:
            pipe.execute_command("EVAL", text, *arguments)
            pipe.execute_command(*confirm)
            answer, confirmed = await pipe.execute()
        # WAITAOF counts the server itself and its replicas, WAIT only those.
        syncs = self.address.durability is Durability.FSYNC
        if confirmed[0] < 1 if syncs else confirmed < self.address.replicas:
            raise NotConfirmedError(
                f"{self.address.shown} has it, but no confirmation came within "
                f"{self.address.wait_ms} ms ({self.address.durability.value})"
            )
        return answer

    # --- clients ------------------------------------------------------------------------------

    async def _current(self) -> Client:
        if self._client is None:
            async with self._looking_up:
                if self._client is None:
                    self._client = await self._connect()
        return self._client

    async def connect_apart(self) -> Client:
        """A client of its own for who listens all the time; the caller closes it."""
        return await self._connect()

    async def _connect(self) -> Client:
        address = self.address
        options = self._options()
        if address.topology == "sentinel":
            sentinel: Any = Sentinel(
                list(address.hosts),
                sentinel_kwargs=self._options(sentinel=True),
                **options,
                **({"ssl": True, **address.ssl} if address.tls else {}),
            )
            return sentinel.master_for(address.service)
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
        own = {"db": address.database, "client_name": CLIENT_NAME}
        return {
            "username": address.sentinel_username if sentinel else address.username,
            "password": address.sentinel_password if sentinel else address.password,
            # `_call` bounds a whole call. redis-py would use asyncio.wait_for at each send, which
            # before Python 3.12 can swallow a cancel (python/cpython#86296).
            "socket_timeout": ANSWER_TIMEOUT_S if sentinel else None,
            "socket_connect_timeout": CONNECT_TIMEOUT_S,
            "retry": Retry(NoBackoff(), 0),
            "protocol": 2,
            **({} if sentinel else own),
        }

    async def _owner(self) -> tuple[str, int]:
        """Ask the cluster's nodes in turn for the one that holds the namespace's slot."""
        slot = key_slot(self.keys.prefix.encode())
        complaints: list[str] = []
        for host, port in self.address.hosts:
            client = self._to(host, port, self._options())
            try:
                for first, last, node, *_ in await _cluster_slots(client):
                    if first <= slot <= last:
                        return (node[0].decode() or host), node[1]
                complaints.append(f"{host}:{port} knows no node for this namespace's slot")
            except (redis_errors.RedisError, OSError) as error:
                complaints.append(f"{host}:{port}: {error}")
            finally:
                await client.aclose(close_connection_pool=True)
        raise redis_errors.ClusterDownError("; ".join(complaints))

    async def _after(self, error: BaseException) -> None:
        """Look the address up again where the error says that it may have changed."""
        moved = self.address.topology == "cluster" and isinstance(
            error, redis_errors.ConnectionError | redis_errors.TimeoutError | OSError
        )
        if moved or (self.address.topology != "single" and wants_another_node(error)):
            await self.close()


async def _cluster_slots(client: Client) -> list[Any]:
    """CLUSTER SLOTS as the server answers it: [first, last, [host, port, …], …]."""
    connection = await client.connection_pool.get_connection()
    try:
        await connection.send_command("CLUSTER", "SLOTS")
        return await connection.read_response()
    finally:
        await client.connection_pool.release(connection)


class NotConfirmedError(QueueUnavailableError):
    """The script has run, but its durability wasn't confirmed in time."""


_CONFIRM: dict[Durability, Callable[[Address], tuple[Any, ...]]] = {
    Durability.REPLICA: lambda address: ("WAIT", address.replicas, address.wait_ms),
    Durability.FSYNC: lambda address: ("WAITAOF", 1, 0, address.wait_ms),
}
