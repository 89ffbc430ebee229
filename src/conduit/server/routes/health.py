"""`/health`, `/ready`, `/metrics`: for those who watch over the server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST
from sqlalchemy import text
from starlette.requests import Request
from starlette.responses import Response

from conduit.core.errors import ConduitError
from conduit.server.http.access import Role
from conduit.server.http.answers import Json, answers, content
from conduit.server.http.dependencies import Parts, TheParts, needs
from conduit.server.http.problems import ProblemError
from conduit.server.models.service import CheckView, HealthView, ReadyView
from conduit.server.version import VERSION

CHECK_S = 3.0

router = APIRouter(tags=["server"])
metrics_router = APIRouter(tags=["server"])

_READY: dict[str, Any] = {
    "responses": {
        200: content("application/json", ReadyView, "All stores answer"),
        503: content("application/json", ReadyView, "At least one doesn't; which one, and why"),
    },
    "response_class": Json,
}


@router.head("/health", include_in_schema=False)
@router.get("/health", responses={200: content("application/json", HealthView, "Alive")})
async def health() -> Response:
    """Whether the server is alive. It is, without its stores too."""
    return Json(HealthView("ok", VERSION))


@router.head("/ready", include_in_schema=False)
@router.get("/ready", **_READY)
async def ready(request: Request, parts: TheParts) -> Response:
    """Whether the history and the queue answer; to strangers, without saying where they are."""
    database, queue = await asyncio.gather(
        _check(parts.database.shown, _ask_database(parts)),
        _check(parts.link.shown, parts.link.ask(lambda queue: queue.health())),
    )
    well = database.status == queue.status == "ok"
    checks = {"database": database, "queue": queue}
    if not await _may_know(request, parts):
        checks = {name: CheckView(check.status) for name, check in checks.items()}
    return Json(ReadyView("ok" if well else "unavailable", checks), 200 if well else 503)


async def _may_know(request: Request, parts: Parts) -> bool:
    try:
        await parts.access.caller(request)
    except (ProblemError, ConduitError):
        return False
    return True


async def _ask_database(parts: Parts) -> None:
    async with parts.database.read() as connection:
        await connection.execute(text("SELECT 1"))


async def _check(address: str, question: Awaitable[object]) -> CheckView:
    try:
        async with asyncio.timeout(CHECK_S):
            await question
    except TimeoutError:
        return CheckView("unavailable", address, f"no answer within {CHECK_S:g} s")
    except ConduitError as error:
        return CheckView("unavailable", address, str(error))
    return CheckView("ok", address)


@metrics_router.get(
    "/metrics",
    dependencies=[needs(Role.READ)],
    response_class=Response,
    responses={
        200: {"description": "Prometheus' text format", "content": {"text/plain": {}}},
        **{code: answers(str)["responses"][code] for code in (401, 403, 429, 503)},
    },
)
async def metrics(parts: TheParts) -> Response:
    """Counters and gauges for Prometheus."""
    return Response(parts.metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})
