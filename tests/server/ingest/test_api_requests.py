"""Requests of HTTP APIs: each is counted once, however its report comes, and shown by route."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import httpx
import msgspec
import pytest
from msgspec import Raw

from conduit import Api
from conduit.core.api_requests import REPORT_KIND, ApiRequests, RouteRequests
from conduit.core.events import Entry, Report
from conduit.queue.base import Queue, StoredEntry
from conduit.server.db import apis, tables
from conduit.server.db.database import Database
from conduit.server.ingest import api_requests
from conduit.server.ingest.apply import Change, apply_entries
from conduit.server.ingest.consumer import Ingest
from conduit.server.ingest.soundness import fault_of_report
from tests.server.ingest.conftest import Heard, all_of, until

MINUTE = 60_000
AT = 1_800_000_000_000

ROUTE = RouteRequests("GET", "/orders/{id}", 200, 3, 7.5, (0, 1, 2))


def a_report(
    number: int = 1,
    *routes: RouteRequests,
    api: str = "shop",
    instance: str = "i1",
    at: int = AT,
    age_ms: int = 0,
) -> Report:
    told = ApiRequests(instance=instance, number=number, age_ms=age_ms, routes=routes or (ROUTE,))
    return Report(kind=REPORT_KIND, subject=api, at=at, data=Raw(msgspec.json.encode(told)))


async def apply(database: Database, *reports: Report) -> list[Change]:
    """Apply reports in a transaction of their own."""
    async with database.begin() as connection:
        return await apply_entries(connection, [StoredEntry("1", Entry(reports=reports))], now=1)


async def counted(database: Database) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in await all_of(database, tables.api_requests)]


# --- adding up ----------------------------------------------------------------------------------


async def test_requests_are_added_up_by_the_minute(database: Database) -> None:
    failed = RouteRequests("GET", "/orders/{id}", 500, 1, 20.5, (0, 0, 0, 1))
    await apply(database, a_report(1), a_report(2, ROUTE, failed))
    await apply(database, a_report(3, at=AT + MINUTE), a_report(1, api="bank", instance="i2"))
    key = ("shop", "GET", "/orders/{id}")
    assert await counted(database) == [
        ("bank", "GET", "/orders/{id}", 200, AT, 3, 7.5, "[0,1,2]"),
        (*key, 200, AT, 6, 15.0, "[0,2,4]"),
        (*key, 200, AT + MINUTE, 3, 7.5, "[0,1,2]"),
        (*key, 500, AT, 1, 20.5, "[0,0,0,1]"),
    ]


async def test_requests_belong_to_the_minute_in_which_they_were(database: Database) -> None:
    await apply(database, a_report(at=AT + 5 * MINUTE, age_ms=5 * MINUTE - 1))
    ((*_, minute, _, _, _),) = await counted(database)
    assert minute == AT


async def test_processes_of_one_api_are_one_api(database: Database) -> None:
    await apply(database, a_report(instance="i1"), a_report(instance="i2"))
    ((*_, count, _, buckets),) = await counted(database)
    assert (count, buckets) == (6, "[0,2,4]")


async def test_a_report_is_told_of_in_short_and_once(database: Database) -> None:
    (change,) = await apply(database, a_report())
    assert (change.topic, change.subject, change.kind) == ("api", "shop", REPORT_KIND)
    assert msgspec.json.decode(change.data) == {"requests": 3, "errors": 0}
    assert await apply(database, a_report()) == []


async def test_other_reports_stay_as_they_are(database: Database) -> None:
    other = Report(kind="worker.started", subject="w1", at=AT, data=Raw(b'{"id":"w1"}'))
    first, second, third = await apply(database, other, a_report(), other)
    assert [each.topic for each in (first, second, third)] == ["worker", "api", "worker"]
    assert first.data == b'{"id":"w1"}'


# --- each report once ---------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
async def test_reports_in_any_order_and_told_again_are_counted_once(
    database: Database, history_url: str, seed: int
) -> None:
    random = Random(seed)
    reports = [a_report(number, instance=each) for number in range(1, 40) for each in ("a", "b")]
    often = reports + random.choices(reports, k=60)
    random.shuffle(often)

    async with Database(history_url) as other:
        servers = [database, other]

        async def share(number: int) -> None:
            mine = often[number::2]
            for start in range(0, len(mine), 7):
                await apply(servers[number], *mine[start : start + 7])

        await asyncio.gather(share(0), share(1))

    ((*_, count, _, buckets),) = await counted(database)
    assert (count, buckets) == (3 * len(reports), f"[0,{len(reports)},{2 * len(reports)}]")
    reporters = [tuple(row)[:3] for row in await all_of(database, tables.api_reporters)]
    assert reporters == [("a", 39, "[]"), ("b", 39, "[]")]


async def test_a_report_that_is_lost_keeps_no_others_from_being_counted(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_requests, "MAX_BEYOND", 10)
    numbers = [number for number in range(1, 40) if number != 3]
    for number in numbers:
        await apply(database, a_report(number))
        await apply(database, a_report(number))
    ((*_, count, _, _),) = await counted(database)
    assert count == 3 * len(numbers)
    ((_, through, beyond, _),) = await all_of(database, tables.api_reporters)
    assert (through, beyond) == (39, "[]")


async def test_what_was_committed_and_not_acknowledged_is_not_counted_twice(
    live_queue: Queue, database: Database, heard: Heard
) -> None:
    await live_queue.report([a_report()])
    (stored,) = await live_queue.read_events("server", "one that dies before it acknowledges")
    await apply(database, *stored.entry.reports)
    await live_queue.report([a_report(2)])

    ingest = Ingest(live_queue, database, heard, idle_ms=0)
    await ingest.start()
    await until(lambda: ingest.metrics.applied >= 2)
    await ingest.stop()
    await ingest.wait()
    assert sum(row[5] for row in await counted(database)) == 6


# --- what can't be counted ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"{}",
        b'{"instance":"","number":1,"age_ms":0,"routes":[]}',
        b'{"instance":"a\\u0000","number":1,"age_ms":0,"routes":[]}',
        b'{"instance":"a","number":0,"age_ms":0,"routes":[]}',
        b'{"instance":"a","number":1,"age_ms":-1,"routes":[]}',
        b'{"instance":"a","number":1,"age_ms":0,"routes":[["GET","/",200,-1,0,[]]]}',
        b'{"instance":"a","number":1,"age_ms":0,"routes":[["GET","/",200,1,1e999,[]]]}',
        b'{"instance":"a","number":1,"age_ms":0,"routes":[["G\\u0000","/",200,1,1,[]]]}',
        b'{"instance":"a","number":1,"age_ms":0,"routes":[["GET","/",200,1,1,['
        + b"0," * 60
        + b"1]]]}",
    ],
)
def test_counts_that_make_no_sense_are_refused(data: bytes) -> None:
    report = Report(kind=REPORT_KIND, subject="shop", at=AT, data=Raw(data))
    assert fault_of_report(report) is not None


def test_a_report_without_counts_is_refused() -> None:
    assert fault_of_report(Report(kind=REPORT_KIND, subject="shop", at=AT)) is not None


async def test_names_as_long_as_one_likes_are_cut(database: Database) -> None:
    long = RouteRequests("GET", "/" + "\N{GRINNING FACE}" * 5000 + "\0", 200, 1, 1.0, (1,))
    report = a_report(1, long, api="s\0" + "\N{GRINNING FACE}" * 5000)
    assert fault_of_report(report) is None
    await apply(database, report)
    ((api, _, route, *_),) = await counted(database)
    assert api.startswith("s\N{REPLACEMENT CHARACTER}")
    assert (api[-1], route[-1]) == ("…", "…")


# --- from a request to the history ---------------------------------------------------------------


async def test_requests_of_an_api_arrive_in_the_history(
    queue_url: str, live_queue: Queue, database: Database, heard: Heard,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("CONDUIT_QUEUE_URL", queue_url)
    api = Api("shop", port=0)

    @api.get("/orders/{order_id}")
    async def order(order_id: int) -> int:
        return order_id

    async with api, httpx.AsyncClient(timeout=20) as client:
        for number in (1, 2, "three"):
            await client.get(f"http://127.0.0.1:{api.port}/orders/{number}")

    ingest = Ingest(live_queue, database, heard)
    await ingest.start()
    await heard.until_kind("shop", REPORT_KIND)
    await ingest.stop()
    await ingest.wait()
    async with database.read() as connection:
        (route,) = await apis.list_routes(connection, "shop", 0, 2**62)
    assert (route.method, route.route, route.requests) == ("GET", "/orders/{order_id}", 3)
    assert route.statuses == {200: 2, 422: 1}
    assert route.latency.of == 3
    assert route.latency.p50 is not None
