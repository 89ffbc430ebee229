"""What an API tells of its requests, and that it works as well where nobody hears it."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from fastapi import APIRouter, BackgroundTasks, FastAPI, HTTPException, WebSocket
from fastapi.responses import StreamingResponse
from starlette.responses import PlainTextResponse

from conduit import Api
from conduit.core.api_requests import BOUNDS_MS, REPORT_KIND, ApiRequests
from conduit.core.events import Report
from conduit.queue import Queue, open_queue
from conduit.sdk import api_tracking
from conduit.sdk.api_tracking import RequestTracking

Counts = dict[tuple[str, str, int], int]


@pytest.fixture
def api() -> Api:
    return Api("shop", port=0)


def files(folder: Path) -> list[Path]:
    return list(folder.iterdir())


def client(api: Api) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=f"http://127.0.0.1:{api.port}", timeout=20)


async def reports(queue: Queue) -> list[Report]:
    """What has been reported since the last look."""
    entries = await queue.read_events("test", "test")
    return [report for stored in entries for report in stored.entry.reports]


def told(report: Report) -> ApiRequests:
    return msgspec.json.decode(bytes(report.data), type=ApiRequests)


def counts(found: list[Report]) -> Counts:
    """How often which route answered with which status."""
    total: Counter[tuple[str, str, int]] = Counter()
    for report in found:
        for each in told(report).routes:
            assert sum(each.buckets) == each.count
            total[each.method, each.route, each.status] += each.count
    return dict(total)


async def requested(api: Api, queue: Queue, *asked: tuple[str, str]) -> Counts:
    """What is reported of some requests, by the time that the API has stopped."""
    async with api, client(api) as http:
        for method, path in asked:
            await http.request(method, path)
    return counts(await reports(queue))


# --- what is counted -------------------------------------------------------------------------


async def test_requests_are_counted_by_method_template_and_status(api: Api, queue: Queue) -> None:
    @api.get("/orders/{order_id}")
    async def order(order_id: int) -> int:
        if order_id == 404:
            raise HTTPException(404)
        if order_id == 500:
            raise RuntimeError("no such shelf")
        return order_id

    @api.post("/orders")
    def create() -> None: ...

    asked = [("GET", f"/orders/{number}?secret=1") for number in (1, 2, 3, 404, 500)]
    assert await requested(api, queue, *asked, ("POST", "/orders"), ("PUT", "/orders/1")) == {
        ("GET", "/orders/{order_id}", 200): 3,
        ("GET", "/orders/{order_id}", 404): 1,
        ("GET", "/orders/{order_id}", 500): 1,
        ("POST", "/orders", 200): 1,
        ("PUT", "/orders/{order_id}", 405): 1,
    }


async def test_templates_are_whole_under_prefixes_and_mounts(api: Api, queue: Queue) -> None:
    router = APIRouter(prefix="/items")

    @router.get("/{item}")
    async def item(item: str) -> str:
        return item

    async def plain(scope: Any, receive: Any, send: Any) -> None:
        await PlainTextResponse("plain")(scope, receive, send)

    inner = FastAPI()
    inner.include_router(router, prefix="/v1")
    api.include_router(router, prefix="/v1/{tenant}")
    api.mount("/of/{tenant}", inner)
    api.mount("/plain", plain)

    asked = ["/v1/ada/items/1", "/of/bob/v1/items/2", "/of/bob/nothing", "/plain/x/y", "/docs"]
    assert await requested(api, queue, *(("GET", path) for path in asked)) == {
        ("GET", "/v1/{tenant}/items/{item}", 200): 1,
        ("GET", "/of/{tenant}/v1/items/{item}", 200): 1,
        ("GET", "/of/{tenant}/{path}", 404): 1,
        ("GET", "/plain/{path}", 200): 1,
        ("GET", "/docs", 200): 1,
    }


async def test_whatever_nobody_declared_is_one_template(api: Api, queue: Queue) -> None:
    asked = [("GET", f"/{number}?password=x") for number in range(5)]
    assert await requested(api, queue, *asked, ("FROBNICATE", "/")) == {
        ("GET", "(unmatched)", 404): 5,
        ("(other)", "(unmatched)", 404): 1,
    }


async def test_routes_without_end_are_bounded(
    api: Api, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_tracking, "MAX_ROUTES", 3)
    for number in range(5):
        api.get(f"/r{number}")(lambda: None)
    asked = [("GET", f"/r{number}") for number in (0, 1, 2, 3, 4, 0)]
    found = await requested(api, queue, *asked)
    assert found["(other)", "(other)", 200] == 2
    assert (found["GET", "/r0", 200], sum(found.values()), len(found)) == (2, 6, 4)


async def test_a_body_that_is_streamed_counts_once_and_a_web_socket_not_at_all(
    api: Api, queue: Queue
) -> None:
    @api.get("/stream")
    async def stream() -> StreamingResponse:
        return StreamingResponse(iter([b"a", b"b", b"c"]))

    @api.websocket("/socket")
    async def socket(socket: WebSocket) -> None:
        await socket.close()

    async with api, client(api) as http:
        assert (await http.get("/stream")).text == "abc"
        headers = {"connection": "upgrade", "upgrade": "websocket", "sec-websocket-version": "13",
                   "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA=="}  # fmt: skip
        await http.get("/socket", headers=headers)
    found = counts(await reports(queue))
    assert found.pop(("GET", "/stream", 200)) == 1
    assert all(route != "/socket" for _, route, _ in found)


async def test_a_latency_is_what_a_caller_waits_for(api: Api, queue: Queue) -> None:
    ended = asyncio.Event()

    async def afterwards() -> None:
        await ended.wait()

    @api.get("/slow")
    async def slow(background: BackgroundTasks) -> None:
        background.add_task(afterwards)
        await asyncio.sleep(0.05)

    async with api, client(api) as http:
        await http.get("/slow")
        await http.get("/openapi.json")
        ended.set()
    (report,) = await reports(queue)
    (each,) = [each for each in told(report).routes if each.route == "/slow"]
    assert each.total_ms >= 49
    place = len(each.buckets) - 1
    assert BOUNDS_MS[place - 1] <= each.total_ms <= BOUNDS_MS[place]


# --- when it is told -------------------------------------------------------------------------


async def test_counts_are_reported_while_the_api_runs_and_no_request_is_no_report(
    queue: Queue,
) -> None:
    api = Api("shop")
    tracking = RequestTracking(api.app, "shop", every_s=0.01)
    transport = httpx.ASGITransport(tracking)
    async with httpx.AsyncClient(transport=transport, base_url="http://shop") as http:
        for number in (1, 2):
            await http.get("/")
            (stored,) = await queue.read_events("test", "test", timeout=20)
            (report,) = stored.entry.reports
            assert (report.kind, report.subject) == (REPORT_KIND, "shop")
            assert (told(report).number, counts([report])) == (
                number,
                {("GET", "(unmatched)", 404): 1},
            )
    assert await queue.read_events("test", "test", timeout=0.1) == []
    tracking.abandon()


async def test_an_api_that_nobody_asked_reports_nothing_and_makes_no_queue(
    api: Api, tmp_path: Path
) -> None:
    async with api:
        pass
    assert files(tmp_path) == []


async def test_what_could_not_be_reported_is_kept_and_told_once_the_queue_is_there(
    tmp_path: Path, queue_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    in_the_way = tmp_path / "queue.db"
    in_the_way.mkdir()
    api = Api("shop")

    @api.get("/")
    async def root() -> None: ...

    tracking = RequestTracking(api.app, "shop", every_s=0.01)
    transport = httpx.ASGITransport(tracking)
    async with httpx.AsyncClient(transport=transport, base_url="http://shop") as http:
        with caplog.at_level(logging.DEBUG, "conduit.api"):
            while len(caplog.records) < 3:
                assert (await http.get("/")).status_code == 200
                await asyncio.sleep(0)
            in_the_way.rmdir()
            async with open_queue(queue_url) as queue:
                (stored,) = await queue.read_events("test", "test", timeout=20)
    tracking.abandon()
    warnings = [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert len(warnings) == 1
    assert "'shop'" in warnings[0].getMessage()
    assert ("GET", "/", 200) in counts(list(stored.entry.reports))


async def test_an_unreachable_queue_neither_fails_a_request_nor_the_stop(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("CONDUIT_QUEUE_URL", "redis://127.0.0.1:1/0")

    @api.get("/")
    async def root() -> str:
        return "hello"

    async with api, client(api) as http:
        assert (await http.get("/")).json() == "hello"
    assert [each.levelname for each in caplog.records if each.name == "conduit.api"] == ["WARNING"]


async def test_an_address_that_makes_no_sense_is_no_matter_for_a_request(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("CONDUIT_QUEUE_URL", "gopher://nowhere")
    async with api, client(api) as http:
        assert (await http.get("/")).status_code == 404
    assert [each.levelname for each in caplog.records if each.name == "conduit.api"] == ["WARNING"]


# --- what is kept while nobody hears it -------------------------------------------------------


class Deaf:
    """A connection whose queue takes every report, and whose answers get lost at first."""

    def __init__(self, losses: int) -> None:
        self.losses = losses
        self.taken: list[Report] = []

    async def open(self) -> Deaf:
        return self

    async def report(self, reports: list[Report]) -> None:
        self.taken += reports
        if self.losses:
            self.losses -= 1
            raise ConnectionResetError("the answer is lost")


async def test_a_report_whose_answer_was_lost_comes_again_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    deaf = Deaf(losses=2)

    async def connect(_url: str) -> Deaf:
        return deaf

    monkeypatch.setattr(api_tracking, "connect", connect)
    api = Api("shop")
    tracking = RequestTracking(api.app, "shop", every_s=0.01)
    transport = httpx.ASGITransport(tracking)
    async with httpx.AsyncClient(transport=transport, base_url="http://shop") as http:
        while len(deaf.taken) < 4:
            await http.get("/")
            await asyncio.sleep(0)
    tracking.abandon()
    first, second, third, fourth = map(told, deaf.taken[:4])
    assert (first.number, second.number, third.number, fourth.number) == (1, 1, 1, 2)
    assert first.routes == second.routes == third.routes
    assert {each.instance for each in (first, second, third, fourth)} == {first.instance}
