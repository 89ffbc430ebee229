"""What the routes work with, and who they let do what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, cast

from fastapi import Depends
from starlette.requests import Request

from conduit.server.artifacts.store import Store
from conduit.server.db.database import Database
from conduit.server.http.access import Access, Caller, Role, require
from conduit.server.http.live import Broker
from conduit.server.metrics import Metrics
from conduit.server.operations.listings import Listings
from conduit.server.operations.queue_connection import QueueLink


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The parts of one server."""

    database: Database
    link: QueueLink
    listings: Listings
    broker: Broker
    access: Access
    metrics: Metrics
    artifacts: Store


def parts_of(request: Request) -> Parts:
    """The parts of the server that a request came to."""
    return cast("Parts", request.app.state.parts)


TheParts = Annotated[Parts, Depends(parts_of)]
"""A route's parameter that is given the parts."""


def caller_of(request: Request) -> Caller:
    """Who sent the request, as the door found out."""
    return cast("Caller", request.state.caller)


def needs(role: Role) -> Any:
    """A dependency that lets only callers of a role pass: `dependencies=[needs(Role.ADMIN)]`."""

    def check(request: Request) -> None:
        require(caller_of(request), role)

    return Depends(check)
