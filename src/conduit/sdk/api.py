"""`Api`: HTTP routes served next to workers. FastAPI inside, which is an extra."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self, TypeVar

from conduit.core.checks import check_count, check_text
from conduit.core.errors import ConfigurationError
from conduit.sdk.api_tracking import RequestTracking

if TYPE_CHECKING:
    from fastapi import APIRouter, FastAPI
    from starlette.types import Receive, Scope, Send

    from conduit.http_server import HttpServer

F = TypeVar("F", bound=Callable[..., Any])

HIGHEST_PORT = 65_535


class Api:
    """An HTTP API as a component of a service.

        api = conduit.Api("shop", port=8000)

        @api.post("/orders")
        async def create(order: Order) -> dict[str, str]:
            future = await charge.submit(order.id, order.cents)
            return {"job_id": future.job_id}

    `app` is the FastAPI application, for all that has no method here. An `Api` is an ASGI
    application itself, too. `port` 0 takes a free one. Raises `ConfigurationError`.

    Requests are counted, by route and status, and the counts reported through the queue where there
    is one: see `conduit.sdk.api_tracking`.
    """

    def __init__(
        self, name: str, *, host: str = "127.0.0.1", port: int = 8000, title: str | None = None
    ) -> None:
        try:
            import fastapi

            importlib.import_module("uvicorn")  # needed later, missed better now
        except ImportError as error:
            raise ConfigurationError(
                f"an Api needs {error.name}, which isn't installed: pip install 'conduit[api]'"
            ) from error
        self._name = check_text("name", name, ConfigurationError)
        self._host = check_text("host", host, ConfigurationError)
        self._port = check_count("port", port, ConfigurationError, most=HIGHEST_PORT)
        self._app = fastapi.FastAPI(title=title or name)
        self._tracked = RequestTracking(self._app, self._name)
        self._server: HttpServer | None = None

    def __repr__(self) -> str:
        return f"<api {self._name!r}: {self._host}:{self.port}>"

    # --- facts --------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """What the API is called."""
        return self._name

    @property
    def host(self) -> str:
        """The address it listens on."""
        return self._host

    @property
    def port(self) -> int:
        """The port it listens on; once started, the real one."""
        return self._port if self._server is None else self._server.port

    @property
    def app(self) -> FastAPI:
        """The FastAPI application."""
        return self._app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve as an ASGI application, under any server."""
        await self._tracked(scope, receive, send)

    # --- routes: as FastAPI's methods of the same names ---------------------------------------

    def get(self, path: str, **options: Any) -> Callable[[F], F]:
        """A route for GET."""
        return self._app.get(path, **options)

    def post(self, path: str, **options: Any) -> Callable[[F], F]:
        """A route for POST."""
        return self._app.post(path, **options)

    def put(self, path: str, **options: Any) -> Callable[[F], F]:
        """A route for PUT."""
        return self._app.put(path, **options)

    def patch(self, path: str, **options: Any) -> Callable[[F], F]:
        """A route for PATCH."""
        return self._app.patch(path, **options)

    def delete(self, path: str, **options: Any) -> Callable[[F], F]:
        """A route for DELETE."""
        return self._app.delete(path, **options)

    def options(self, path: str, **options: Any) -> Callable[[F], F]:
        """A route for OPTIONS."""
        return self._app.options(path, **options)

    def head(self, path: str, **options: Any) -> Callable[[F], F]:
        """A route for HEAD."""
        return self._app.head(path, **options)

    def websocket(self, path: str, **options: Any) -> Callable[[F], F]:
        """A route for web sockets."""
        return self._app.websocket(path, **options)

    def include_router(self, router: APIRouter, **options: Any) -> None:
        """Add the routes of a router."""
        self._app.include_router(router, **options)

    def mount(self, path: str, app: Any, name: str | None = None) -> None:
        """Put another ASGI application under a path."""
        self._app.mount(path, app, name)

    def middleware(self, kind: str) -> Callable[[F], F]:
        """Put a function around every request: `@api.middleware("http")`."""
        return self._app.middleware(kind)

    def add_middleware(self, middleware: Any, **options: Any) -> None:
        """Put an ASGI middleware class around every request."""
        self._app.add_middleware(middleware, **options)

    def exception_handler(self, error: int | type[Exception]) -> Callable[[F], F]:
        """Answer an error, or a status, with a function."""
        return self._app.exception_handler(error)

    # --- running ------------------------------------------------------------------------------

    async def start(self) -> None:
        """Listen. Raises `ConfigurationError` when the port is in use."""
        from conduit.http_server import HttpServer

        server = HttpServer(self._tracked, f"api {self._name!r}", self._host, self._port)
        await server.start()
        self._server = server

    async def stop(self) -> None:
        """Accept no more requests, answer those under way."""
        if self._server is not None:
            await self._server.stop()
            self._tracked.abandon()

    async def stop_now(self) -> None:
        """Drop the requests under way."""
        if self._server is not None:
            await self._server.stop_now()
            self._tracked.abandon()

    async def wait(self) -> None:
        """Until the API has stopped. Raises what it crashed of."""
        if self._server is not None:
            await self._server.wait()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()
        await self.wait()
