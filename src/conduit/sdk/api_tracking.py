"""Counts the requests of an `Api` and reports them through the queue, for the server to show.

All requests are counted, in memory: per method, route template and status, with their latencies in
buckets. Every two seconds, and when the API stops, the counts go out as one report, if there are
any. Without a queue they are kept, and nothing else changes for the API.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import time
from bisect import bisect_left
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import msgspec
from msgspec import Raw

from conduit.core.api_requests import BOUNDS_MS, REPORT_KIND, ApiRequests, RouteRequests
from conduit.core.errors import ConduitError
from conduit.core.events import Report
from conduit.sdk.client import connect, resolve_url

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.types import Message, Receive, Scope, Send

EVERY_S = 2.0
LONGEST_PAUSE_S = 30.0
"""Between attempts while the queue can't be reached."""
STOP_S = 2.0
"""How long a stop waits at most for the last report."""
WINDOW_S = 60.0
MAX_WINDOWS = 60
MAX_ROUTES = 1000
"""Of one window; what is beyond counts as `OTHER`. Bounds the memory, whoever asks for what."""

UNMATCHED = "(unmatched)"
OTHER = "(other)"

_METHODS = frozenset(
    {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "QUERY"}
)
_INTERNAL_ERROR = 500

_Key = tuple[str, str, int]  # method, route, status

logger = logging.getLogger("conduit.api")


class RequestTracking:
    """An ASGI application around another: the same, and counted. `name` is the API's."""

    def __init__(self, app: FastAPI, name: str, *, every_s: float = EVERY_S) -> None:
        self._app = app
        self._name = name
        self._every_s = every_s
        self._counts = _Window()
        self._unsent: deque[_Window] = deque()
        self._instance = ""
        self._number = 0
        self._task: asyncio.Task[None] | None = None
        self._told = False

    # --- counting -----------------------------------------------------------------------------

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on whatever comes; count what is HTTP."""
        if scope["type"] == "http":
            await self._track(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._app(scope, receive, self._before_shutdown_is_complete(send))
        else:
            await self._app(scope, receive, send)

    async def _track(self, scope: Scope, receive: Receive, send: Send) -> None:
        root_path = self._app.root_path or scope.get("root_path", "")
        began = time.perf_counter()
        status = 0
        counted = False

        def count(status: int) -> None:
            nonlocal counted
            counted = True
            self._count(scope, root_path, status, (time.perf_counter() - began) * 1000)

        async def watched(message: Message) -> None:
            nonlocal status
            await send(message)
            if message["type"] == "http.response.start":
                status = message["status"]
            elif message["type"] == "http.response.body" and not message.get("more_body"):
                count(status)  # what the application still does then, nobody waits for

        try:
            await self._app(scope, receive, watched)
        except Exception:
            if not counted:
                count(status or _INTERNAL_ERROR)
            raise
        if not counted:
            count(status or _INTERNAL_ERROR)

    def _count(self, scope: Scope, root_path: str, status: int, spent_ms: float) -> None:
        method = scope["method"] if scope["method"] in _METHODS else OTHER
        key = (method, _template(self._app, scope, root_path), status)
        self._counts.tally(key).add(spent_ms)
        if self._task is None or self._task.done():
            # Not with the context of the request that happened to be the first.
            self._task = asyncio.get_running_loop().create_task(
                self._run(), name=f"requests of api {self._name!r}", context=contextvars.Context()
            )

    # --- reporting ----------------------------------------------------------------------------

    def abandon(self) -> None:
        """Report no more until another request comes."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _run(self) -> None:
        pause = self._every_s
        while True:
            await asyncio.sleep(pause)
            pause = self._every_s if await self._send() else min(2 * pause, LONGEST_PAUSE_S)

    def _before_shutdown_is_complete(self, send: Send) -> Send:
        async def watched(message: Message) -> None:
            if message["type"].startswith("lifespan.shutdown."):
                await self._finish()
            await send(message)

        return watched

    async def _finish(self) -> None:
        self.abandon()
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_S):
                await self._send()

    async def _send(self) -> bool:
        """Report what isn't yet; whether that went well. Never raises for want of a queue."""
        self._close_window()
        try:
            while self._unsent:
                await self._send_window(self._unsent[0])
                self._unsent.popleft()
        except (ConduitError, OSError) as error:
            self._tell(error)
            return False
        except Exception as error:  # whatever it is, the API has to go on
            self._tell(error, exc_info=error)
            return False
        self._told = False
        return True

    def _tell(self, error: Exception, *, exc_info: Exception | None = None) -> None:
        level = logging.DEBUG if self._told else logging.WARNING
        self._told = True
        logger.log(
            level,
            "the requests of api %r are counted, and reported once the queue can be reached: %s",
            *(self._name, error),
            exc_info=exc_info,
        )

    def _close_window(self) -> None:
        """Put what was counted with what waits to be sent, and begin anew."""
        counts = self._counts
        if not counts.tallies:
            return
        self._counts = _Window()
        last = self._unsent[-1] if self._unsent else None
        if last is not None and not last.number and not self._is_full(last):
            last.merge(counts)
        else:
            self._unsent.append(counts)

    def _is_full(self, window: _Window) -> bool:
        return len(self._unsent) < MAX_WINDOWS and window.age_s > WINDOW_S

    async def _send_window(self, window: _Window) -> None:
        queue = await (await connect(resolve_url(None))).open()
        if not window.number:
            # From now on it stays as it is: an attempt that seems to fail may have arrived, and
            # the number tells the server when it comes again.
            self._instance = self._instance or uuid4().hex
            self._number += 1
            window.instance, window.number = self._instance, self._number
        data = Raw(msgspec.json.encode(window.told()))
        await queue.report([Report(kind=REPORT_KIND, subject=self._name, at=0, data=data)])


class _Tally:
    __slots__ = ("buckets", "count", "total_ms")

    def __init__(self) -> None:
        self.count = 0
        self.total_ms = 0.0
        self.buckets = [0] * (len(BOUNDS_MS) + 1)

    def add(self, spent_ms: float) -> None:
        self.count += 1
        self.total_ms += spent_ms
        self.buckets[bisect_left(BOUNDS_MS, spent_ms)] += 1

    def merge(self, other: _Tally) -> None:
        self.count += other.count
        self.total_ms += other.total_ms
        self.buckets = [a + b for a, b in zip(self.buckets, other.buckets, strict=True)]


class _Window:
    """What was counted within a span of time. With a `number` it was sent, perhaps in vain."""

    def __init__(self) -> None:
        self.tallies: dict[_Key, _Tally] = {}
        self.instance = ""
        self.number = 0
        self._began = time.monotonic()

    @property
    def age_s(self) -> float:
        return time.monotonic() - self._began

    def tally(self, key: _Key) -> _Tally:
        """Where a request is counted."""
        found = self.tallies.get(key)
        if found is None:
            if not self.tallies:
                self._began = time.monotonic()
            if len(self.tallies) >= MAX_ROUTES:
                key = (OTHER, OTHER, key[2] // 100 * 100)
            found = self.tallies.setdefault(key, _Tally())
        return found

    def merge(self, other: _Window) -> None:
        for key, tally in other.tallies.items():
            self.tally(key).merge(tally)

    def told(self) -> ApiRequests:
        return ApiRequests(
            instance=self.instance,
            number=self.number,
            age_ms=int(self.age_s * 1000),
            routes=tuple(
                RouteRequests(*key, tally.count, round(tally.total_ms, 3), _trimmed(tally.buckets))
                for key, tally in self.tallies.items()
            ),
        )


def _trimmed(buckets: list[int]) -> tuple[int, ...]:
    last = max(place for place, many in enumerate(buckets) if many)
    return tuple(buckets[: last + 1])


# --- templates -------------------------------------------------------------------------------


def _template(app: FastAPI, scope: Scope, root_path: str) -> str:
    """The route that a request went to, as it was declared: `/orders/{order_id}`."""
    # Of a router that was included under a prefix, the route itself knows only its own part.
    included: Any = scope["fastapi"].get("effective_route_context") if "fastapi" in scope else None
    path: str | None = getattr(included, "path", None) or getattr(scope.get("route"), "path", None)
    if scope.get("root_path", "") != root_path:
        return f"{_mount_of(app, scope)}{path or '/{path}'}"
    return path or _plain_route_of(app, scope) or UNMATCHED


def _mount_of(app: FastAPI, scope: Scope) -> str:
    """The declared path under which the application is mounted that took the request."""
    takers = (scope.get("app"), scope.get("endpoint"))
    for route in app.routes:
        mounted = getattr(route, "app", None)
        if mounted is not None and any(mounted is taker for taker in takers):
            return getattr(route, "path", "")
    return "(mounted)"


def _plain_route_of(app: FastAPI, scope: Scope) -> str | None:
    """The path of a route that isn't FastAPI's, such as that of its own pages of documentation."""
    endpoint = scope.get("endpoint")
    if endpoint is None:
        return None
    found = (route for route in app.routes if getattr(route, "endpoint", None) is endpoint)
    return getattr(next(found, None), "path", None)
