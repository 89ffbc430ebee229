"""`GET /stream`: what happens, as it happens."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query
from fastapi.sse import EventSourceResponse
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Send

from conduit.server.http.answers import answers
from conduit.server.http.dependencies import TheParts, caller_of
from conduit.server.http.live import MOST_CLIENTS
from conduit.server.http.problems import unavailable
from conduit.server.routes.params import Text

SLOW_S = 30.0
"""For how long a client may take nothing of what is sent to it."""

router = APIRouter(tags=["stream"])

_log = logging.getLogger(__name__)


class Topic(StrEnum):
    """What changes are about."""

    JOB = "job"
    WORKER = "worker"
    CRON = "cron"
    API = "api"
    QUEUE = "queue"
    FUNCTION = "function"


class _Stream(EventSourceResponse):
    """Ends where the client takes nothing any more: it would keep its place for ever."""

    def __init__(self, events: AsyncGenerator[bytes]) -> None:
        super().__init__(events, headers={"X-Accel-Buffering": "no"})
        self._events = events

    async def stream_response(self, send: Send) -> None:
        async def send_in_time(message: Message) -> None:
            async with asyncio.timeout(SLOW_S):
                await send(message)

        try:
            await super().stream_response(send_in_time)
        except TimeoutError:
            _log.warning("a client of live updates took nothing for %g s and is let go", SLOW_S)
        finally:
            await self._events.aclose()


def _described() -> dict[str, Any]:
    described = answers(str)
    text = {"schema": {"type": "string"}}
    described["responses"][200] = {
        "description": "Server-sent events: `ready` at first, then one for each change, named by "
        "its topic; `reset` where some were missed and all is to be loaded anew",
        "content": {"text/event-stream": text},
    }
    return described | {"response_class": Response}


@router.get("/stream", **_described())
async def stream(
    request: Request,
    parts: TheParts,
    topic: Annotated[list[Topic], Query(max_length=10)] = [],  # noqa: B006
    job_id: Text | None = None,
    last_event_id: Annotated[str | None, Header()] = None,
) -> Response:
    """Live updates, resumed after `Last-Event-ID`; some topics or one job's where asked for.

    Those of a browser end with its session.
    """
    if parts.broker.clients >= MOST_CLIENTS:
        raise unavailable("too-many-streams", "Too many streams", "close some, or ask again later")
    events = await parts.broker.stream(
        [each.value for each in topic],
        job_id,
        last_event_id or None,
        session=caller_of(request).session,
    )
    return _Stream(events)
