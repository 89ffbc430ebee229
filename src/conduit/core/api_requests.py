"""What an HTTP API tells of its requests: the body of a report of the kind `api.requests`.

Counts per route, never a request by itself: no paths as they were asked for, no query, no body.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

REPORT_KIND = "api.requests"

BOUNDS_MS = tuple(2 ** (step / 2 - 3) for step in range(41))
"""Where one bucket of latencies ends and the next begins: from 1/8 ms to 131 s, two to each
doubling. Counts are stored by a bucket's place in here, so these numbers stay as they are."""

_Count = Annotated[int, Meta(ge=0, le=2**40)]


class RouteRequests(Struct, frozen=True, array_like=True):
    """Requests of one route that were answered with one status.

    `buckets` counts them by latency; those at its end that are 0 are left out.
    """

    method: Annotated[str, Meta(max_length=16)]
    route: str
    status: Annotated[int, Meta(ge=0, le=9999)]
    count: Annotated[int, Meta(ge=1, le=2**40)]
    total_ms: Annotated[float, Meta(ge=0, le=2**53)]
    buckets: Annotated[tuple[_Count, ...], Meta(max_length=len(BOUNDS_MS) + 1)]


class ApiRequests(Struct, frozen=True, kw_only=True):
    """Requests since the last report of `instance`, one process's run of an API.

    `number` counts the reports of an instance from 1, so that one told twice is counted once.
    `age_ms` is how long ago the first of the requests was.
    """

    instance: Annotated[str, Meta(min_length=1, max_length=64)]
    number: Annotated[int, Meta(ge=1, le=2**53)]
    age_ms: Annotated[int, Meta(ge=0, le=2**53)]
    routes: tuple[RouteRequests, ...]
