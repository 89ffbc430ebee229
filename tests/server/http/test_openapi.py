"""The OpenAPI page is what the server does: random requests are answered as it says, never 500."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from conduit.queue import open_queue
from conduit.server.app import openapi_document
from conduit.server.db.database import Database
from conduit.server.service import ServerOptions, ServerService
from tests.cli.stock import fill
from tests.server.db.jobs import a_job
from tests.server.db.jobs import insert as insert_jobs

CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
)


class Background(threading.Thread):
    """The server in a loop of its own: schemathesis asks from this one."""

    def __init__(self, options: ServerOptions) -> None:
        super().__init__()
        self.url = ""
        self._options = options
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._over = asyncio.Event()

    def run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        async with open_queue(self._options.queue_url) as queue:
            await fill(queue)
        async with Database(self._options.database_url) as history:
            await insert_jobs(history, a_job("completed"), a_job("old"))
        async with ServerService(self._options) as service:
            self.url = service.url
            self._ready.set()
            await self._over.wait()

    def __enter__(self) -> Background:
        self.start()
        assert self._ready.wait(30)
        return self

    def __exit__(self, *exc: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self.join()


@pytest.fixture(scope="module")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder: Path = tmp_path_factory.mktemp("openapi")
    options = ServerOptions(
        database_url=f"sqlite:///{folder / 'history.db'}",
        queue_url=f"sqlite:///{folder / 'queue.db'}",
        queue_shown="",
        port=0,
        artifacts_url=(folder / "artifacts").as_uri(),
    )
    with Background(options) as server:
        yield server.url


def operations() -> dict[str, Any]:
    """Every operation of the page by its name, save those that have no end."""
    page = json.loads(openapi_document())
    found = [each.ok() for each in schemathesis.openapi.from_dict(page).get_all_operations()]
    return {each.label: each for each in found if each.path != "/api/v1/stream"}


OPERATIONS = operations()


@pytest.mark.parametrize("label", OPERATIONS)
@pytest.mark.timeout(120)
def test_random_requests_are_answered_as_described(label: str, server_url: str) -> None:
    @settings(
        max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )
    @given(OPERATIONS[label].as_strategy())
    def check(case: Case) -> None:
        case.call_and_validate(base_url=server_url, checks=CHECKS)

    check()


def test_every_route_of_the_contract_is_there(server_url: str) -> None:
    paths = httpx.get(f"{server_url}/api/v1/openapi.json", timeout=20).json()["paths"]
    routes = {
        f"{method.upper()} {path.removeprefix('/api/v1')}"
        for path, methods in paths.items()
        for method in methods
    }
    assert routes >= {
        "GET /jobs", "POST /jobs", "POST /jobs/bulk", "GET /jobs/{job_id}",
        "GET /jobs/{job_id}/attempts", "GET /jobs/{job_id}/logs", "GET /jobs/{job_id}/tree",
        "GET /jobs/{job_id}/artifacts", "POST /jobs/{job_id}/cancel", "POST /jobs/{job_id}/retry",
        "DELETE /jobs/{job_id}", "GET /functions", "GET /functions/{name}", "GET /queues",
        "POST /functions/{name}/pause", "POST /functions/{name}/resume",
        "POST /queues/{name}/pause", "POST /queues/{name}/resume", "GET /crons",
        "POST /crons/{name}/trigger", "POST /crons/{name}/pause", "POST /crons/{name}/resume",
        "GET /workers", "GET /workers/{worker_id}", "GET /events", "POST /events/{name}",
        "GET /stats", "GET /trends", "GET /activity", "GET /apis", "GET /apis/{name}",
        "GET /stream", "GET /health", "GET /ready", "GET /metrics",
    }  # fmt: skip


def test_each_operation_has_a_name_and_says_what_it_answers(server_url: str) -> None:
    page = httpx.get(f"{server_url}/api/v1/openapi.json", timeout=20).json()
    operations = [each for methods in page["paths"].values() for each in methods.values()]
    names = [each["operationId"] for each in operations]
    assert len(names) == len(set(names))
    assert all(each["description"] for each in operations)
    assert page["components"]["schemas"]["JobDetail"]["properties"]["args"]["examples"]
