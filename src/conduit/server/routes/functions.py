"""`/functions` and `/events`: what can be submitted, what is paused, what comes of an event."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from fastapi import APIRouter
from msgspec import structs
from starlette.responses import Response

from conduit.core.model import FunctionInfo
from conduit.queue.base import Queue, listed_functions
from conduit.server.http.access import Role
from conduit.server.http.answers import Json, answers
from conduit.server.http.dependencies import TheParts, needs
from conduit.server.http.problems import not_known
from conduit.server.models.fields import iso
from conduit.server.models.listings import (
    EventsView,
    EventView,
    FunctionDetail,
    FunctionsView,
    FunctionView,
    function_detail,
    function_view,
)
from conduit.server.operations.listings import FUNCTIONS
from conduit.server.routes.params import Name

router = APIRouter()


@router.get("/functions", tags=["functions"], **answers(FunctionsView))
async def list_functions(parts: TheParts) -> Response:
    """Functions that some worker has registered, or that are paused; by name."""
    found = await parts.listings.get(FUNCTIONS)
    items = [function_view(info) for info in found.items]
    return Json(FunctionsView(items, found.stale, iso(found.at)))


@router.get("/functions/{name:path}", tags=["functions"], **answers(FunctionDetail, 404))
async def get_function(name: Name, parts: TheParts) -> Response:
    """One function, as it was known last while the queue is away."""
    found = await parts.listings.get(FUNCTIONS)
    return Json(function_detail(_known(name, found.items, stale=found.stale), found))


@router.post(
    "/functions/{name:path}/pause",
    tags=["functions"],
    dependencies=[needs(Role.OPERATE)],
    **answers(FunctionView, 404),
)
async def pause_function(name: Name, parts: TheParts) -> Response:
    """Stop claims of a function's jobs, in every queue; submits and running jobs go on."""

    async def pause(queue: Queue) -> FunctionInfo:
        _known(name, await listed_functions(queue))
        await queue.pause_function(name)
        return _known(name, await listed_functions(queue))

    return Json(function_view(await parts.link.ask(pause)))


@router.post(
    "/functions/{name:path}/resume",
    tags=["functions"],
    dependencies=[needs(Role.OPERATE)],
    **answers(FunctionView, 404),
)
async def resume_function(name: Name, parts: TheParts) -> Response:
    """Allow claims of a function's jobs again."""

    async def resume(queue: Queue) -> FunctionInfo:
        info = _known(name, await listed_functions(queue))
        await queue.resume_function(name)
        return structs.replace(info, paused=False)

    return Json(function_view(await parts.link.ask(resume)))


@router.get("/events", tags=["events"], **answers(EventsView))
async def list_events(parts: TheParts) -> Response:
    """Event patterns and the functions that handle them."""
    found = await parts.listings.get(FUNCTIONS)
    handlers: defaultdict[str, list[str]] = defaultdict(list)
    for info in found.items:
        if info.event is not None:
            handlers[info.event].append(info.name)
    items = [EventView(pattern, sorted(names)) for pattern, names in sorted(handlers.items())]
    return Json(EventsView(items, found.stale, iso(found.at)))


def _known(name: str, functions: Iterable[FunctionInfo], *, stale: bool = False) -> FunctionInfo:
    """The function of that name; where several workers have it, that of the one seen last."""
    known = {info.name: info for info in functions}
    if name not in known:
        raise not_known("function", name, "no worker has registered it", stale=stale)
    return known[name]
