"""`/functions` and `/events`: what can be submitted, and what comes of an event."""

from __future__ import annotations

from collections import defaultdict

from fastapi import APIRouter
from starlette.responses import Response

from conduit.server.answers import Json, answers
from conduit.server.listings import FUNCTIONS
from conduit.server.models.fields import iso
from conduit.server.models.listings import (
    EventsView,
    EventView,
    FunctionsView,
    FunctionView,
    function_view,
)
from conduit.server.parts import TheParts
from conduit.server.problems import not_found
from conduit.server.routes.params import Name

router = APIRouter()


@router.get("/functions", tags=["functions"], **answers(FunctionsView))
async def list_functions(parts: TheParts) -> Response:
    """Functions that some worker has registered, by name."""
    found = await parts.listings.get(FUNCTIONS)
    items = [function_view(info) for info in found.items]
    return Json(FunctionsView(items, found.stale, iso(found.at)))


@router.get("/functions/{name:path}", tags=["functions"], **answers(FunctionView, 404))
async def get_function(name: Name, parts: TheParts) -> Response:
    """One function."""
    for info in (await parts.listings.get(FUNCTIONS)).items:
        if info.name == name:
            return Json(function_view(info))
    raise not_found("function", name, "no worker has registered it")


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
