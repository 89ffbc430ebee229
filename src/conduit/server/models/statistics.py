"""Counts and times: of jobs, and of requests of the APIs beside the workers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated

from msgspec import Meta, Struct

from conduit.core.model import (
    JobStatus,
)
from conduit.server.db.apis import ApiBucket, ApiCount, RouteCount
from conduit.server.db.statistics import (
    Bucket,
    Ended,
    Percentiles,
    Series,
    Statistics,
    Window,
)
from conduit.server.models.fields import (
    Time,
    iso,
)


class SpentView(Struct, frozen=True, kw_only=True):
    """Milliseconds that half, 95 % and 99 % stayed within; `of` is how many jobs that tells of."""

    p50: float | None
    p95: float | None
    p99: float | None
    of: int


class EndedView(Struct, frozen=True, kw_only=True):
    """Jobs that ended, how many of them in a second, and how long they waited and ran.

    `error_rate` is the share that failed, of those that weren't cancelled.
    """

    total: int
    completed: int
    failed: int
    cancelled: int
    per_second: float
    error_rate: float | None
    wait_ms: SpentView
    run_ms: SpentView


class StatsView(Struct, frozen=True, kw_only=True):
    """What happened from `after` until `before`. `statuses` counts all jobs as they are now."""

    after: Time
    before: Time
    submitted: int
    statuses: Annotated[dict[JobStatus, int], Meta(examples=[{"queued": 3, "completed": 40}])]
    overall: EndedView
    functions: dict[str, EndedView]


class BucketView(Struct, frozen=True, kw_only=True):
    """What happened from `at` until the next bucket."""

    at: Time
    submitted: int
    ended: EndedView


class TrendsView(Struct, frozen=True, kw_only=True):
    """Buckets of `bucket_ms`, oldest first, also where nothing happened."""

    after: Time
    before: Time
    bucket_ms: int
    items: list[BucketView]


class SeriesView(Struct, frozen=True, kw_only=True):
    """How many jobs ended, bucket by bucket."""

    completed: list[int]
    failed: list[int]
    cancelled: list[int]


class ActivityView(Struct, frozen=True, kw_only=True):
    """What ended over time, by function or queue; those of which nothing ended aren't there."""

    after: Time
    before: Time
    bucket_ms: int
    items: dict[str, SeriesView]


def stats_view(window: Window, found: Statistics) -> StatsView:
    """Statistics of a window."""
    ms = window.before - window.after
    return StatsView(
        after=iso(window.after),
        before=iso(window.before),
        submitted=found.submitted,
        statuses=dict(found.statuses),
        overall=_ended_view(found.overall, ms),
        functions={name: _ended_view(each, ms) for name, each in found.functions.items()},
    )


def trends_view(window: Window, bucket_ms: int, buckets: Sequence[Bucket]) -> TrendsView:
    """Statistics over time."""
    return TrendsView(
        after=iso(window.after),
        before=iso(window.before),
        bucket_ms=bucket_ms,
        items=[
            BucketView(
                at=iso(each.at), submitted=each.submitted, ended=_ended_view(each.ended, bucket_ms)
            )
            for each in buckets
        ],
    )


def activity_view(window: Window, bucket_ms: int, found: Mapping[str, Series]) -> ActivityView:
    """What ended over time, by name."""
    return ActivityView(
        after=iso(window.after),
        before=iso(window.before),
        bucket_ms=bucket_ms,
        items={
            name: SeriesView(
                completed=list(each.completed),
                failed=list(each.failed),
                cancelled=list(each.cancelled),
            )
            for name, each in found.items()
        },
    )


def _ended_view(ended: Ended, ms: int) -> EndedView:
    return EndedView(
        total=ended.total,
        completed=ended.completed,
        failed=ended.failed,
        cancelled=ended.cancelled,
        per_second=ended.total * 1000 / ms,
        error_rate=ended.error_rate,
        wait_ms=_spent_view(ended.wait),
        run_ms=_spent_view(ended.run),
    )


def _spent_view(spent: Percentiles) -> SpentView:
    return SpentView(p50=spent.p50, p95=spent.p95, p99=spent.p99, of=spent.of)


class ApiView(Struct, frozen=True, kw_only=True):
    """An HTTP API beside the workers.

    `statuses` counts by class, `2xx` and so on; `errors` are the 5xx. `mean_ms` and `latency_ms`
    are what callers waited for.
    """

    name: str
    requests: int
    per_second: float
    errors: int
    statuses: dict[str, int]
    mean_ms: float
    latency_ms: SpentView
    last_minute: Time


class ApisView(Struct, frozen=True, kw_only=True):
    """APIs that were asked in the minutes that began from `after` until `before`."""

    after: Time
    before: Time
    items: list[ApiView]


class RouteView(Struct, frozen=True, kw_only=True):
    """Requests of one route, as it was declared; `statuses` counts by status."""

    method: str
    route: str
    requests: int
    per_second: float
    errors: int
    statuses: dict[str, int]
    mean_ms: float
    latency_ms: SpentView


class ApiBucketView(Struct, frozen=True, kw_only=True):
    """Requests of an API from `at` until the next bucket; `statuses` counts by class."""

    at: Time
    requests: int
    errors: int
    statuses: dict[str, int]
    latency_ms: SpentView


class ApiDetail(Struct, frozen=True, kw_only=True):
    """One API, route by route, and over time.

    `items` are buckets of `bucket_ms`, oldest first, also where nobody asked.
    """

    name: str
    after: Time
    before: Time
    routes: list[RouteView]
    bucket_ms: int
    items: list[ApiBucketView]


def api_view(window: Window, found: ApiCount) -> ApiView:
    """An API with its counts."""
    return ApiView(
        name=found.name,
        requests=found.requests,
        per_second=_per_second(window, found.requests),
        errors=found.errors,
        statuses=_by_class(found.statuses),
        mean_ms=found.total_ms / found.requests,
        latency_ms=_spent_view(found.latency),
        last_minute=iso(found.last_minute),
    )


def route_view(window: Window, found: RouteCount) -> RouteView:
    """A route with its counts."""
    return RouteView(
        method=found.method,
        route=found.route,
        requests=found.requests,
        per_second=_per_second(window, found.requests),
        errors=found.errors,
        statuses={str(status): many for status, many in found.statuses.items()},
        mean_ms=found.total_ms / found.requests,
        latency_ms=_spent_view(found.latency),
    )


def api_bucket_view(found: ApiBucket) -> ApiBucketView:
    """What an API was asked in a part of the time."""
    return ApiBucketView(
        at=iso(found.at),
        requests=found.requests,
        errors=found.errors,
        statuses=_by_class(found.statuses),
        latency_ms=_spent_view(found.latency),
    )


def _by_class(statuses: Mapping[int, int]) -> dict[str, int]:
    classes: Counter[str] = Counter()
    for status, many in statuses.items():
        classes[f"{status // 100}xx"] += many
    return dict(classes)


def _per_second(window: Window, requests: int) -> float:
    return requests * 1000 / (window.before - window.after)
