"""uvicorn as a part of our own event loop: no signal handlers, no banner, no exit of the process.

Imported only when something is served, since uvicorn is an extra.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import uvicorn

from conduit.core.errors import ConfigurationError, ServiceCrashedError

BACKLOG = 2048


class HttpServer:
    """Serves an ASGI application at an address; `port` 0 takes a free one.

    `name` is what messages call it. `grace_s` bounds how long `stop` waits for requests under way.
    """

    def __init__(
        self, app: Any, name: str, host: str, port: int, *, grace_s: int | None = None
    ) -> None:
        self._app = app
        self._name = name
        self._host = host
        self._port = port
        self._grace_s = grace_s
        self._server: _Server
        self._serving: asyncio.Task[None]

    @property
    def port(self) -> int:
        """The port that it really has."""
        return self._port

    async def start(self) -> None:
        """Take the port, run the application's start-up, accept connections.

        Raises `ConfigurationError` when the address can't be had, `ServiceCrashedError` when the
        application doesn't start.
        """
        listening = listen(self._name, self._host, self._port)
        self._port = listening.getsockname()[1]
        config = uvicorn.Config(
            self._app,
            log_config=None,
            log_level="warning",
            access_log=False,
            lifespan="auto",
            server_header=False,
            timeout_graceful_shutdown=self._grace_s,
        )
        self._server = _Server(config)
        self._serving = asyncio.create_task(self._serve(listening), name=self._name)
        started = asyncio.create_task(self._server.ready.wait())
        try:
            await asyncio.wait({self._serving, started}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            started.cancel()
        if self._serving.done():
            await self._serving
            raise ServiceCrashedError(f"{self._name} ended while it started")

    async def stop(self) -> None:
        """Accept no more connections, answer the requests under way, run the shut-down."""
        self._server.should_exit = True
        await asyncio.wait({self._serving})

    async def stop_now(self) -> None:
        """Drop the requests under way."""
        self._server.force_exit = True
        await self.stop()

    async def wait(self) -> None:
        """Until stopped. Raises what it crashed of."""
        await asyncio.shield(self._serving)

    async def _serve(self, listening: socket.socket) -> None:
        try:
            await self._server.serve(sockets=[listening])
        except SystemExit as error:  # uvicorn's word for an application that doesn't start
            raise ServiceCrashedError(
                f"{self._name} did not start: see the error of its lifespan in the log"
            ) from error
        finally:
            listening.close()


def listen(name: str, host: str, port: int) -> socket.socket:
    """A socket that listens at an address. Raises `ConfigurationError` when it can't be had."""
    where = f"{host}:{port}"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise ConfigurationError(
            f"{name} can't listen on {where}: {error.strerror}; check host"
        ) from error
    listening = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":  # elsewhere this option would share a port that is in use
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise ConfigurationError(f"{name} can't listen on {where}: {_advice(error)}") from error
    listening.setblocking(False)
    return listening


def _advice(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "the port is in use; stop what uses it, or choose another port"
    if error.errno == errno.EACCES:
        return "this user may not use the port; take one from 1024 up"
    return f"{error.strerror}; check host and port"


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leave signals to whoever runs this server beside its other services."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self.ready.set()
