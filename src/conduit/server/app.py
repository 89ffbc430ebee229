"""The HTTP application: routes under `/api/v1`, every error a problem, one page for the rest."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec
from fastapi import Depends, FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from msgspec import Struct
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from conduit.server import models
from conduit.server.http import dashboard_files as page
from conduit.server.http.answers import components
from conduit.server.http.dependencies import Parts
from conduit.server.http.middleware import API, Edge
from conduit.server.http.problems import Problem, problem_of, respond
from conduit.server.routes import (
    actions,
    crons,
    dead_letters,
    functions,
    health,
    jobs,
    queues,
    session,
    statistics,
    stream,
    submit,
    workers,
)
from conduit.server.routes.params import only_known_parameters
from conduit.server.version import VERSION

_ROUTERS = (
    actions.router,
    submit.router,
    jobs.router,
    functions.router,
    queues.router,
    crons.router,
    workers.router,
    statistics.router,
    dead_letters.router,
    stream.router,
    session.router,
    health.router,
)
_MODELS = (models.jobs, models.acting, models.listings, models.statistics, models.service)
_DESCRIPTION = """\
Jobs, schedules and workers of Conduit. The queue decides about jobs; the history tells of them.

Every error is `application/problem+json`. Times are ISO 8601 in UTC.
"""


def build_app(parts: Parts) -> FastAPI:
    """The application that works with these parts."""
    app = _with_routes()
    app.state.parts = parts
    document = cache(openapi_document)

    async def openapi(_: Request) -> Response:
        return Response(document(), media_type="application/json")

    async def beside_the_api(request: Request) -> Response:
        if request.url.path == API or request.url.path.startswith("/api/"):
            raise HTTPException(404, "there is no such route")
        return page.answer(request)

    app.add_route(f"{API}/openapi.json", openapi, include_in_schema=False)
    app.include_router(health.router, include_in_schema=False)
    app.add_route("/{path:path}", beside_the_api, include_in_schema=False)
    for kind in (HTTPException, RequestValidationError):
        app.add_exception_handler(kind, _tell)
    app.add_middleware(Edge, access=parts.access, metrics=parts.metrics)
    return app


def _with_routes() -> FastAPI:
    """An application that has the API's routes, and nothing to work with."""
    app = FastAPI(
        title="Conduit",
        version=VERSION,
        description=_DESCRIPTION,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=_operation_id,
    )
    for router in _ROUTERS:
        strict = [] if router is health.router else [Depends(only_known_parameters)]
        app.include_router(router, prefix=API, dependencies=strict)
    app.include_router(health.metrics_router)
    return app


def _operation_id(route: APIRoute) -> str:
    return route.name


async def _tell(request: Request, error: Exception) -> Response:
    return respond(problem_of(error), request)


# --- the OpenAPI page ------------------------------------------------------------------------

_SECURITY = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "session": {"type": "apiKey", "in": "cookie", "name": "conduit_session"},
}


def openapi_document() -> bytes:
    """The OpenAPI document, as JSON: FastAPI's paths with our own schemas."""
    app = _with_routes()
    document = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    types = [each for module in _MODELS for each in vars(module).values() if _is_schema(each)]
    own = components([*types, Problem])
    theirs = document.setdefault("components", {}).setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        theirs.pop(name, None)
    document["components"] = {"schemas": theirs | own, "securitySchemes": _SECURITY}
    document["security"] = [{name: list[str]()} for name in _SECURITY]
    return msgspec.json.encode(document)


def _is_schema(thing: Any) -> bool:
    return (
        isinstance(thing, type)
        and issubclass(thing, Struct)
        and thing.__module__.startswith(f"{models.__name__}.")
    )
