"""What HTTP APIs answered: requests per API, and per route of one."""

from __future__ import annotations

from msgspec import Struct
from sqlalchemy import case, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from conduit.server.db import tables

_requests = tables.api_requests.c
_SERVER_ERROR = 500


class ApiCount(Struct, frozen=True, kw_only=True):
    """Requests of one API; `errors` were answered with 5xx. `last_minute` is in milliseconds."""

    name: str
    requests: int
    errors: int
    total_ms: float
    last_minute: int


class RouteCount(Struct, frozen=True, kw_only=True):
    """Requests of one route that were answered with one status."""

    method: str
    route: str
    status: int
    requests: int
    total_ms: float


async def list_apis(connection: AsyncConnection, after: int, before: int) -> list[ApiCount]:
    """The APIs that were asked between two times in milliseconds, by name."""
    errors = func.sum(case((_requests.status >= _SERVER_ERROR, _requests.count), else_=0))
    statement = (
        select(
            _requests.api,
            func.sum(_requests.count),
            errors,
            func.sum(_requests.total_ms),
            func.max(_requests.minute),
        )
        .where(_requests.minute >= after, _requests.minute < before)
        .group_by(_requests.api)
        .order_by(_requests.api)
    )
    return [
        ApiCount(name=name, requests=int(many), errors=int(bad), total_ms=ms, last_minute=last)
        for name, many, bad, ms, last in await connection.execute(statement)
    ]


async def list_routes(
    connection: AsyncConnection, name: str, after: int, before: int
) -> list[RouteCount]:
    """The routes of one API that were asked between two times, with what they answered."""
    key = (_requests.route, _requests.method, _requests.status)
    statement = (
        select(*key, func.sum(_requests.count), func.sum(_requests.total_ms))
        .where(_requests.api == name, _requests.minute >= after, _requests.minute < before)
        .group_by(*key)
        .order_by(*key)
    )
    return [
        RouteCount(method=method, route=route, status=status, requests=int(many), total_ms=ms)
        for route, method, status, many, ms in await connection.execute(statement)
    ]
