"""`/stats`, `/trends`, `/activity`, `/apis`: how much was done, how fast, and how much failed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from msgspec import structs
from starlette.responses import Response

from conduit.server.db import apis, statistics
from conduit.server.db.statistics import MAX_BUCKETS, Window
from conduit.server.http.answers import Json, answers
from conduit.server.http.dependencies import TheParts
from conduit.server.http.problems import invalid, not_found
from conduit.server.models.fields import iso
from conduit.server.models.statistics import (
    ActivityView,
    ApiDetail,
    ApisView,
    StatsView,
    TrendsView,
    activity_view,
    api_bucket_view,
    api_view,
    route_view,
    stats_view,
    trends_view,
)
from conduit.server.routes.params import Moment, Name, Texts, moment

HOUR_MS = 3_600_000
USUAL_BUCKETS = 60
_BUCKETS_S = (1, 5, 10, 30, 60, 300, 900, 1800, 3600, 3 * 3600, 6 * 3600, 12 * 3600, 86_400)

BucketLength = Annotated[int | None, Query(ge=1, le=366 * 86_400, description="Seconds")]

router = APIRouter(tags=["statistics"])


@router.get("/stats", **answers(StatsView))
async def get_stats(
    parts: TheParts,
    after: Moment | None = None,
    before: Moment | None = None,
    function: Texts = [],  # noqa: B006
    queue: Texts = [],  # noqa: B006
) -> Response:
    """Counts, throughput, wait and run times, error rates: overall and per function.

    Of the last hour, unless `after` (inclusive) and `before` (exclusive) say otherwise.
    """
    window = _window(after, before, function, queue)
    async with parts.database.read() as connection:
        found = await statistics.statistics(connection, window)
    return Json(stats_view(window, found))


@router.get("/trends", **answers(TrendsView))
async def get_trends(
    parts: TheParts,
    after: Moment | None = None,
    before: Moment | None = None,
    bucket: BucketLength = None,
    function: Texts = [],  # noqa: B006
    queue: Texts = [],  # noqa: B006
) -> Response:
    """The same over time, in about sixty buckets unless `bucket` gives their length.

    Buckets begin at multiples of their length since 1970, so the first and last may be cut.
    """
    window = _window(after, before, function, queue)
    bucket_ms = _bucket_ms(window, bucket)
    async with parts.database.read() as connection:
        found = await statistics.trends(connection, window, bucket_ms)
    return Json(trends_view(window, bucket_ms, found))


@router.get("/activity", **answers(ActivityView))
async def get_activity(
    parts: TheParts,
    after: Moment | None = None,
    before: Moment | None = None,
    bucket: BucketLength = None,
    by: Literal["function", "queue"] = "function",
) -> Response:
    """How many jobs ended over time, by function or by queue; buckets are as those of trends."""
    window = _window(after, before)
    bucket_ms = _bucket_ms(window, bucket)
    async with parts.database.read() as connection:
        found = await statistics.activity(connection, window, bucket_ms, by=by)
    return Json(activity_view(window, bucket_ms, found))


@router.get("/apis", **answers(ApisView))
async def list_apis(
    parts: TheParts, after: Moment | None = None, before: Moment | None = None
) -> Response:
    """HTTP APIs that were asked, by name; in the last hour unless said otherwise.

    Requests are counted by the minute, so `after` is that of the minute it lies in.
    """
    window = _whole_minutes(_window(after, before))
    async with parts.database.read() as connection:
        found = await apis.list_apis(connection, window.after, window.before)
    view = ApisView(
        after=iso(window.after),
        before=iso(window.before),
        items=[api_view(window, each) for each in found],
    )
    return Json(view)


@router.get("/apis/{name:path}", **answers(ApiDetail, 404))
async def get_api(
    name: Name,
    parts: TheParts,
    after: Moment | None = None,
    before: Moment | None = None,
    bucket: BucketLength = None,
) -> Response:
    """One API: how often it was asked, what it answered and how fast, by route and over time.

    Buckets are as those of trends, and of whole minutes.
    """
    window = _whole_minutes(_window(after, before))
    bucket_ms = _bucket_ms(window, bucket or max(60, _usual_bucket(window)))
    if bucket_ms % apis.MINUTE_MS:
        raise invalid("query.bucket", "isn't whole minutes, and requests are counted by the minute")
    async with parts.database.read() as connection:
        found = await apis.list_routes(connection, name, window.after, window.before)
        buckets = await apis.over_time(connection, name, window.after, window.before, bucket_ms)
    if not found:
        raise not_found("API", name, "nobody asked it in this time")
    view = ApiDetail(
        name=name,
        after=iso(window.after),
        before=iso(window.before),
        routes=[route_view(window, each) for each in found],
        bucket_ms=bucket_ms,
        items=[api_bucket_view(each) for each in buckets],
    )
    return Json(view)


def _window(
    after: str | None, before: str | None, functions: Sequence[str] = (), queues: Sequence[str] = ()
) -> Window:
    now = time.time_ns() // 1_000_000
    end = now if before is None else moment(before)
    start = max(end - HOUR_MS, 0) if after is None else moment(after)
    if start >= end:
        raise invalid("query.after", "isn't earlier than before")
    return Window(after=start, before=end, functions=tuple(functions), queues=tuple(queues))


def _whole_minutes(window: Window) -> Window:
    return structs.replace(window, after=window.after // apis.MINUTE_MS * apis.MINUTE_MS)


def _bucket_ms(window: Window, bucket_s: int | None) -> int:
    bucket_ms = (bucket_s or _usual_bucket(window)) * 1000
    if window.before - window.after > MAX_BUCKETS * bucket_ms:
        raise invalid("query.bucket", f"gives more than {MAX_BUCKETS} buckets: take longer ones")
    return bucket_ms


def _usual_bucket(window: Window) -> int:
    """Seconds: the shortest round length that gives no more buckets than people look at."""
    span_s = (window.before - window.after) / 1000
    for length in _BUCKETS_S:
        if span_s / length <= USUAL_BUCKETS:
            return length
    return -(-int(span_s) // USUAL_BUCKETS // 86_400) * 86_400
