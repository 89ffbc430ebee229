"""A network with faults: a proxy between a client and a server that freezes, cuts and loses."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
import struct
import subprocess
import threading
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, Self, TypeVar

from tests.servers.process import PATIENCE_S, ServerError, free_port

T = TypeVar("T")

_PIECE = 1 << 16
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER with no time: closing sends RST, not FIN


class Certificate:
    """A self-signed certificate for 127.0.0.1 and its key. Clients trust it by `path`."""

    def __init__(self, folder: Path) -> None:
        if shutil.which("openssl") is None:
            raise ServerError("the tests need the program `openssl` on PATH to make a certificate")
        self.path = folder / "certificate.pem"
        self._key = folder / "key.pem"
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-days", "2", "-nodes", "-subj", "/CN=localhost"),
                *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
                *("-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"),
                *("-keyout", self._key, "-out", self.path),
            ],
            check=True,
            capture_output=True,
        )

    def for_servers(self) -> ssl.SSLContext:
        """What a server needs to show it."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.path, self._key)
        return context


class _Link:
    """A client's connection, and the one to the server that goes with it."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.client = client
        self.server = server
        self.loses_reply = False
        self.is_forgotten = False
        self.pumps: set[asyncio.Task[None]] = set()

    def reset(self) -> None:
        """End both as if a cable had been pulled and the machines had noticed."""
        for pump in self.pumps:
            pump.cancel()
        _reset(self.client)
        _reset(self.server)

    async def close(self) -> None:
        """End both once they have been sent what is theirs."""
        for pump in self.pumps:
            pump.cancel()
        await asyncio.gather(*self.pumps, return_exceptions=True)
        for writer in (self.client, self.server):
            if not writer.is_closing():  # closed after an abort, TLS forgets its transport
                writer.close()
            with suppress(OSError):  # it has ended in another way
                await writer.wait_closed()


def _reset(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    if connection is not None:  # TLS has none any more once it has ended by itself
        with suppress(OSError):  # without TLS it has one then, which is closed
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()


class Proxy:
    """Forwards `port` to `target` on the loopback, in a thread of its own, until it is closed.

    With a certificate it speaks TLS to clients, and plainly to the server: the servers of the
    tests are built without TLS. All methods can be called from any thread, and what they say is
    done when they return.
    """

    def __init__(self, target: int, *, certificate: Certificate | None = None) -> None:
        self.port = free_port()
        self.lost = 0
        """How many replies have been swallowed."""
        self.held = 0
        """How many requests and replies a frozen proxy keeps back now."""
        self._target = target
        self._tls = certificate.for_servers() if certificate else None
        self._links: set[_Link] = set()
        self._handlers: set[asyncio.Task[Any]] = set()
        self._listener: asyncio.Server | None = None
        self._delay_s = 0.0
        self._trickle: int | None = None
        self._to_lose = 0
        self._lose_where = b""
        self._forget_where = b""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._do(self._open())
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def connections(self) -> int:
        """How many connections go through it now."""
        return len(self._links)

    def freeze(self) -> None:
        """Keep all connections, new ones too, and forward nothing, as a network that is gone."""
        self._do(self._flow(False))

    def thaw(self) -> None:
        """Forward again, first what has piled up."""
        self._do(self._flow(True))

    def forget(self) -> None:
        """Lose in silence all that comes over the connections of now, as a NAT that has forgotten
        them. New ones work."""
        self._do(self._forget())

    def forget_upon(self, request: bytes) -> None:
        """Forget the connection over which such a request comes next, once it was forwarded."""
        self._do(self._forget_when(request))

    def trickle(self, size: int | None) -> None:
        """Forward replies in pieces of this many bytes, ten in a second; None: as they come."""
        self._do(self._slow_down(size))

    def cut(self) -> None:
        """Reset all connections. What a frozen proxy held back is lost."""
        self._do(self._cut())

    def refuse(self, refused: bool = True) -> None:
        """Whether new connections are refused, as by a server that is down. Others go on."""
        self._do(self._stop_listening() if refused else self._listen())

    def drop_replies(self, count: int, *, to: bytes = b"") -> None:
        """For the next `count` requests that hold `to`: forward, swallow the reply, then cut.

        Without `to` any request counts. A request is what arrives at once: a pipeline is one. One
        whose connection ends before it was answered doesn't count.
        """
        self._do(self._lose(count, to))

    def delay(self, ms: int) -> None:
        """Hold each request back this long."""
        self._do(self._hold_back(ms / 1000))

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_S)

    async def _open(self) -> None:
        self._flowing = asyncio.Event()
        self._flowing.set()
        await self._listen()

    async def _close(self) -> None:
        await self._stop_listening()
        while self._handlers:
            await self._cut()
            await asyncio.wait(self._handlers, timeout=0.1)

    async def _flow(self, flowing: bool) -> None:
        if flowing:
            self._flowing.set()
        else:
            self._flowing.clear()

    async def _forget(self) -> None:
        for link in self._links:
            link.is_forgotten = True

    async def _forget_when(self, request: bytes) -> None:
        self._forget_where = request

    async def _slow_down(self, size: int | None) -> None:
        self._trickle = size

    async def _cut(self) -> None:
        for link in self._links:
            link.reset()

    async def _lose(self, count: int, where: bytes) -> None:
        self._to_lose, self._lose_where = count, where
        for link in self._links:
            link.loses_reply = False

    async def _hold_back(self, seconds: float) -> None:
        self._delay_s = seconds

    async def _listen(self) -> None:
        if self._listener is None:
            self._listener = await asyncio.start_server(
                self._accept, "127.0.0.1", self.port, ssl=self._tls
            )

    async def _stop_listening(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    async def _accept(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        handler = asyncio.current_task()
        assert handler is not None
        self._handlers.add(handler)
        handler.add_done_callback(self._handlers.discard)
        try:
            answers, server = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            _reset(client)
            return
        link = _Link(client, server)
        self._links.add(link)
        link.pumps = {
            asyncio.create_task(self._forward_requests(reader, link)),
            asyncio.create_task(self._forward_replies(answers, link)),
        }
        await asyncio.wait(link.pumps, return_when=asyncio.FIRST_COMPLETED)
        await link.close()
        self._to_lose += link.loses_reply
        self._links.discard(link)

    async def _passage(self) -> None:
        self.held += 1
        try:
            await self._flowing.wait()
        finally:
            self.held -= 1

    async def _forward_requests(self, reader: asyncio.StreamReader, link: _Link) -> None:
        while piece := await _read(reader):
            if self._delay_s:
                await asyncio.sleep(self._delay_s)
            await self._passage()
            if link.is_forgotten:
                continue
            if self._forget_where and self._forget_where in piece:
                self._forget_where = b""
                link.is_forgotten = True
            if self._to_lose and self._lose_where in piece:
                self._to_lose -= 1
                link.loses_reply = True
            link.server.write(piece)
            await _drained(link.server)

    async def _forward_replies(self, reader: asyncio.StreamReader, link: _Link) -> None:
        while piece := await _read(reader):
            await self._passage()
            if link.is_forgotten:
                continue
            if link.loses_reply:
                self.lost += 1
                link.loses_reply = False
                _reset(link.client)  # alone: the server may have more of it to read and do
                return
            for part in _parts(piece, self._trickle):
                if self._trickle:
                    await asyncio.sleep(0.1)
                link.client.write(part)
                await _drained(link.client)


async def _read(reader: asyncio.StreamReader) -> bytes:
    """What has come in; nothing once the other side has ended, however it did."""
    try:
        return await reader.read(_PIECE)
    except OSError:
        return b""


def _parts(piece: bytes, size: int | None) -> list[bytes]:
    size = size or len(piece)
    return [piece[at : at + size] for at in range(0, len(piece), size)]


async def _drained(writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):  # it has ended, as the side that reads from it sees, too
        await writer.drain()
