"""The connections to one server, and how a dead one is told from a slow server.

A network can forget a connection without a word, as a NAT or a firewall does with one that was
idle: what is sent is lost, and no error ever comes. So one that was idle is asked for a sign of
life before it is used. One that falls silent under a call is doubted, and the server is asked over
a fresh one: where that is answered and the other still isn't, the other is dead. Silence on both
is a slow server, and is waited for.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from redis import exceptions as redis_errors
from redis.exceptions import RedisError, ResponseError

Client = Any
"""redis-py's client; its methods are partly untyped."""

YOUNG_S = 1.0
"""A connection used so lately is used as it is."""
IDLE_S = 6.0
"""One that was idle for longer is asked for a sign of life; no heartbeat's pause is that long."""
PROMPT_S = 0.5
"""How long that may take. A slow server is then waited for over a fresh connection."""
DOUBT_S = 1.0
"""A connection under a call is doubted when nothing came over it for so long."""
PROBE_S = 2.0
"""How long a fresh connection may take to be made and answered, before another is tried."""
GRACE_S = 0.1
"""An answer that was on its way before the fresh connection's one has come after so long."""

_PROBE = ("EVAL", "return 1", 0)
"""Waits where calls wait, as while a server pauses its writes; a PING would not."""

SOCKET_OPTIONS = {
    getattr(socket, name): value
    for name, value in {
        "TCP_KEEPIDLE": 15,
        "TCP_KEEPALIVE": 15,  # what macOS calls it
        "TCP_KEEPINTVL": 5,
        "TCP_KEEPCNT": 3,
        "TCP_USER_TIMEOUT": 10_000,
    }.items()
    if hasattr(socket, name)
}
"""The kernel asks after an idle connection before most networks forget it, and gives one up, in
milliseconds, over which nothing that was sent is acknowledged."""

_LAST_HEARD = struct.Struct("=52x2I")
"""Of Linux's tcp_info: milliseconds since the last data and the last acknowledgement came."""


class Pool:
    """The connections that calls take and give back, the one that was used last first."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._pool = client.connection_pool
        self._idle: list[tuple[Any, float]] = []  # connections, and since when
        self._closed = False
        self._doubted: set[_Watch] = set()
        self._probing: asyncio.Task[None] | None = None

    async def close(self) -> None:
        """Close every connection, also those in use."""
        self._closed = True
        self._idle.clear()
        if self._probing is not None:
            self._probing.cancel()
            with suppress(asyncio.CancelledError):
                await self._probing
        await close_client(self._client)

    # --- taking and giving back ---------------------------------------------------------------

    async def take(self) -> Any:
        """A connection that was alive just now."""
        now = asyncio.get_running_loop().time()
        while self._idle:
            connection, since = self._idle.pop()
            if now - since < YOUNG_S and connection.is_connected:
                return connection
            try:
                if now - since < IDLE_S:
                    await self._pool.ensure_connection(connection)
                    return connection
                if await _is_alive(connection):
                    return connection
            except BaseException:
                await self.discard(connection)
                raise
            await self.discard(connection)
            await self._let_go_of_idle(before=now)
        return await self.fresh()

    async def fresh(self) -> Any:
        """A connection that was made just now."""
        connection = await self._pool.get_connection()
        if self._closed:  # meanwhile
            await self.discard(connection)
            raise redis_errors.ConnectionError("it was closed here")
        return connection

    async def keep(self, connection: Any) -> None:
        """Take a connection back, for the next call."""
        if self._closed:
            await connection.disconnect(nowait=True)
        elif connection.is_connected:
            self._idle.append((connection, asyncio.get_running_loop().time()))
        else:
            await self._pool.release(connection)

    async def discard(self, connection: Any) -> None:
        """Take a connection back that is of no more use."""
        await connection.disconnect(nowait=True)
        if not self._closed:
            await self._pool.release(connection)  # to be connected anew when one is wanted

    async def _let_go_of_idle(self, *, before: float) -> None:
        """Close what hasn't been used since a moment: it may be as dead as another was."""
        kept = [each for each in self._idle if each[1] >= before]
        gone = [connection for connection, since in self._idle if since < before]
        self._idle = kept
        for connection in gone:
            await self.discard(connection)

    # --- asking -------------------------------------------------------------------------------

    async def ask(self, connection: Any, *words: Any, patience: float = 0.0) -> Any:
        """The answer to one command, for which the server may take `patience` seconds."""
        with self.watching(connection, patience):
            await connection.send_command(*words)
            return await connection.read_response()

    async def ask_all(
        self, connection: Any, commands: Sequence[tuple[Any, ...]], *, patience: float = 0.0
    ) -> list[Any]:
        """The answers, in redis-py's form, to commands that are sent together.

        Raises the first error among them.
        """
        answers: list[Any] = []
        refusal: ResponseError | None = None
        with self.watching(connection, patience):
            await connection.send_packed_command(connection.pack_commands(commands))
            for words in commands:  # all are read, or the next call would get this one's
                try:
                    answers.append(await self._client.parse_response(connection, words[0]))
                except ResponseError as error:
                    refusal = refusal or error
        if refusal is not None:
            raise refusal
        return answers

    def watching(self, connection: Any, patience: float = 0.0) -> _Watch:
        """While an answer is waited for, `patience` seconds at least: find out whether the
        connection is dead, and close it then, which ends the wait."""
        return _Watch(self, connection, patience)

    # --- doubt --------------------------------------------------------------------------------

    def doubt(self, watch: _Watch) -> None:
        """Find out whether a silent connection is dead."""
        self._doubted.add(watch)
        if self._probing is None or self._probing.done():
            self._probing = asyncio.create_task(self._probe_while_in_doubt())

    def trust(self, watch: _Watch) -> None:
        """The connection was answered, or its call has ended in another way."""
        self._doubted.discard(watch)

    async def _probe_while_in_doubt(self) -> None:
        while self._doubted and not self._closed:
            doubted, begun = set(self._doubted), asyncio.get_running_loop().time()
            if not await self._answers_afresh():
                await asyncio.sleep(GRACE_S)
                continue
            await asyncio.sleep(GRACE_S)
            dead = [each for each in doubted & self._doubted if not each.has_heard()]
            self._doubted -= doubted
            if dead:
                await self._let_go_of_idle(before=begun)
            for watch in dead:
                await watch.end()

    async def _answers_afresh(self) -> bool:
        """Whether the server answers a connection that is made now; a refusal is an answer."""
        try:
            async with asyncio.timeout(PROBE_S):
                connection = await self.fresh()
                try:
                    await connection.send_command(*_PROBE)
                    await connection.read_response()
                finally:
                    await self.keep(connection)
        except ResponseError as error:
            # A server that is busy with a script has said nothing about the other connection.
            return not str(error).startswith(("BUSY", "UNKILLABLE"))
        except (RedisError, OSError, RuntimeError):
            return False
        return True


class _Watch:
    """Looks after one connection while an answer is waited for."""

    __slots__ = ("_connection", "_is_dead", "_patience", "_pool", "_timer")

    def __init__(self, pool: Pool, connection: Any, patience: float) -> None:
        self._connection = connection
        self._is_dead = False
        self._pool = pool
        self._patience = patience
        self._timer: asyncio.TimerHandle

    def __enter__(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._patience + DOUBT_S, self._look)

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        self._timer.cancel()
        self._pool.trust(self)
        if self._is_dead and isinstance(error, RedisError | OSError):
            raise redis_errors.ConnectionError(
                "it was silent while the server answered another"
            ) from error

    async def end(self) -> None:
        """Close the connection, which is dead; whoever waits for its answer is told so."""
        self._is_dead = True
        await self._connection.disconnect(nowait=True)

    def has_heard(self) -> bool:
        """Whether something has come over the connection of late, or nobody can tell."""
        silence = _silence_of(self._connection)
        return silence is None or silence < DOUBT_S

    def _look(self) -> None:
        silence = _silence_of(self._connection)
        if silence is None:
            return
        if silence < DOUBT_S:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(DOUBT_S - silence, self._look)
        else:
            self._pool.doubt(self)


async def _is_alive(connection: Any) -> bool:
    try:
        async with asyncio.timeout(PROMPT_S):
            await connection.send_command("PING")
            await connection.read_response()
    except (RedisError, OSError, RuntimeError):
        return False
    return True


def _silence_of(connection: Any) -> float | None:
    """Seconds since the other end was heard of; None where the system doesn't tell.

    An acknowledgement is a sign of life, too: a large submit takes its time over a slow line.
    """
    if sys.platform != "linux" or connection._writer is None:
        return None
    end = connection._writer.get_extra_info("socket")
    try:
        told = end.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _LAST_HEARD.size)
    except OSError:  # a socket of another kind
        return None
    return min(_LAST_HEARD.unpack(told)) / 1000


async def close_client(client: Client) -> None:
    """Close a client's connections."""
    await client.aclose(close_connection_pool=True)
