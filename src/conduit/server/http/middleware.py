"""What surrounds every request: its id, its caller, its body's limit, the headers of safety."""

from __future__ import annotations

import logging
import re
import time
from typing import cast

import uuid_utils
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from conduit.core.errors import ConduitError
from conduit.server.http.access import Access
from conduit.server.http.problems import ProblemError, problem_of, respond
from conduit.server.metrics import Metrics

API = "/api/v1"
STREAM = f"{API}/stream"
OPEN = frozenset(f"{API}/{name}" for name in ("health", "ready", "openapi.json", "session"))
"""Paths under the API that answer callers without a key, or see to it themselves."""
MOST_BODY = 4 * 1024 * 1024
"""Bytes. A job's arguments may take 1 MiB, and JSON may spell them longer than they are stored."""

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}

_log = logging.getLogger(__name__)


class Edge:
    """ASGI middleware: the outermost, so that nothing leaves without a request id."""

    def __init__(self, app: ASGIApp, access: Access, metrics: Metrics) -> None:
        self._app = app
        self._access = access
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        told = _as_get(scope)
        exchange = _Exchange(Request(told, receive), send)
        started = time.perf_counter()
        try:
            await self._serve(exchange)
        except Exception as error:
            await self._answer(exchange, error)
        finally:
            took = time.perf_counter() - started
            self._metrics.request(scope["method"], _route_of(told), exchange.status, took)

    async def _serve(self, exchange: _Exchange) -> None:
        request = exchange.request
        _check_length(request)
        self._access.check_origin(request)
        if _is_guarded(request.url.path):
            request.state.caller = await self._access.caller(request)
        await self._app(request.scope, exchange.receive, exchange.send)

    async def _answer(self, exchange: _Exchange, error: Exception) -> None:
        """Tell what went wrong, unless an answer is under way: then the connection breaks."""
        if exchange.status:
            raise error
        problem = problem_of(error)
        if problem.status >= 500 and not isinstance(error, (ProblemError, ConduitError)):
            _log.error(
                "request %s failed: %s %s",
                exchange.id,
                exchange.request.method,
                exchange.request.url.path,
                exc_info=error,
            )
        response = respond(problem, exchange.request)
        await response(exchange.request.scope, exchange.request.receive, exchange.send)


class _Exchange:
    """One request and its answer."""

    def __init__(self, request: Request, send: Send) -> None:
        given = request.headers.get("x-request-id", "")
        self.id = given if _REQUEST_ID.fullmatch(given) else str(uuid_utils.uuid7())
        request.state.request_id = self.id
        self.request = request
        self.status = 0
        self._send = send
        self._received = 0

    async def receive(self) -> Message:
        """The next part of the body, as long as it isn't too long."""
        message = await self.request.receive()
        self._received += len(cast("bytes", message.get("body", b"")))
        if self._received > MOST_BODY:
            raise _too_large()
        return message

    async def send(self, message: Message) -> None:
        """A part of the answer, its head with our headers."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
            headers["X-Request-Id"] = self.id
        await self._send(message)


def _as_get(scope: Scope) -> Scope:
    """A `HEAD` of the API is answered as a `GET`, whose body the server under us leaves out.

    Not that of the stream, which has no end.
    """
    path: str = scope["path"]
    if scope["method"] == "HEAD" and path.startswith(f"{API}/") and path != STREAM:
        return {**scope, "method": "GET"}
    return scope


def _route_of(scope: Scope) -> str:
    """The pattern of the route that a request took, as it is served."""
    route = getattr(scope.get("route"), "path", "other")
    # A router that is included under a prefix tells its routes without it.
    is_within = scope["path"].startswith(f"{API}/") and route.startswith("/")
    return API + route if is_within and not route.startswith(API) else route


def _is_guarded(path: str) -> bool:
    return path == "/metrics" or (path.startswith(f"{API}/") and path not in OPEN)


def _check_length(request: Request) -> None:
    length = request.headers.get("content-length", "0")
    if length.isascii() and length.isdigit() and int(length[:20]) > MOST_BODY:
        raise _too_large()


def _too_large() -> ProblemError:
    return ProblemError(
        413, "too-large", "The body is too large", f"a body may have {MOST_BODY:,} bytes at most"
    )
