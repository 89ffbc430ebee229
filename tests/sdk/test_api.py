"""The HTTP API as a component beside workers."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import sys
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

import conduit
from conduit import Api, ConfigurationError, ServiceCrashedError, Worker
from tests.sdk.support import run_script


async def fetch(url: str, method: str = "GET") -> Any:
    def get() -> Any:
        request = urllib.request.Request(url, method=method)
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.loads(answer.read())

    return await asyncio.to_thread(get)


@pytest.fixture
def api() -> Api:
    return Api("shop", port=0)


async def test_a_route_is_served_on_the_port_that_it_says(api: Api) -> None:
    @api.get("/hello")
    async def hello() -> dict[str, str]:
        return {"hello": "world"}

    async with api:
        assert api.port > 0
        assert await fetch(f"http://127.0.0.1:{api.port}/hello") == {"hello": "world"}


async def test_a_route_submits_jobs_of_a_worker_beside_it(api: Api, worker: Worker) -> None:
    @worker.task
    async def double(number: int) -> int:
        return number * 2

    @api.post("/double/{number}")
    async def route(number: int) -> dict[str, int]:
        return {"value": await (await double.submit(number)).value()}

    async with worker, api:
        url = f"http://127.0.0.1:{api.port}/double/4"
        assert await fetch(url, "POST") == {"value": 8}


async def test_an_api_without_a_submit_touches_no_queue(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONDUIT_QUEUE_URL", "redis://127.0.0.1:1/0")
    async with api:
        assert (await fetch(f"http://127.0.0.1:{api.port}/openapi.json"))["info"]["title"] == "shop"


async def test_a_port_in_use_is_one_clear_error(api: Api) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=rf"127\.0\.0\.1:{port}.*in use.*another port"):
            await Api("second", port=port).start()


async def test_a_host_that_does_not_exist_is_one_clear_error() -> None:
    with pytest.raises(ConfigurationError, match="'shop' can't listen"):
        await Api("shop", host="256.0.0.1", port=0).start()


@pytest.mark.parametrize("options", [{"port": -1}, {"port": 70_000}, {"host": ""}])
def test_an_option_that_cannot_work_is_refused_by_name(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        Api("shop", **options)


async def test_a_lifespan_that_fails_stops_the_start(api: Api) -> None:
    @asynccontextmanager
    async def broken(app: FastAPI) -> AsyncIterator[None]:
        raise RuntimeError("no database")
        yield

    api.app.router.lifespan_context = broken
    with pytest.raises(ServiceCrashedError, match="'shop' did not start"):
        await api.start()


async def test_a_stop_lets_a_request_under_way_be_answered(api: Api) -> None:
    arrived, go_on = asyncio.Event(), asyncio.Event()

    @api.get("/slow")
    async def slow() -> str:
        arrived.set()
        await go_on.wait()
        return "answered"

    await api.start()
    request = asyncio.create_task(fetch(f"http://127.0.0.1:{api.port}/slow"))
    await arrived.wait()
    stopping = asyncio.create_task(api.stop())
    go_on.set()
    assert await request == "answered"
    await stopping
    await api.wait()


async def test_an_api_starts_without_a_banner(
    api: Api, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.INFO):
        async with api:
            pass
    assert not [record for record in caplog.records if record.name.startswith("uvicorn")]
    assert capfd.readouterr() == ("", "")


async def test_an_api_is_an_asgi_application(api: Api) -> None:
    @api.get("/hello")
    async def hello() -> str:
        return "world"

    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/hello",
        "raw_path": b"/hello",
        "query_string": b"",
        "headers": [],
        "http_version": "1.1",
        "scheme": "http",
        "server": ("test", 80),
        "client": None,
        "root_path": "",
    }
    await api(scope, receive, send)
    assert (sent[0]["status"], sent[1]["body"]) == (200, b'"world"')


def test_without_fastapi_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "fastapi", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'conduit\[api\]'"):
        Api("shop")


def test_importing_conduit_does_not_import_fastapi(tmp_path: Path) -> None:
    done = run_script(tmp_path, "import conduit, sys\nprint('fastapi' in sys.modules)")
    assert done.stdout == "False\n"


def test_conduit_has_every_name_that_it_promises() -> None:
    assert all(hasattr(conduit, name) for name in conduit.__all__)
    with pytest.raises(AttributeError, match="nonsense"):
        conduit.nonsense  # noqa: B018  # pyright: ignore[reportAttributeAccessIssue]
