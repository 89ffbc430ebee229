"""Stores that are away, from the start or later: the server says so, and recovers with them."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from conduit.queue import open_queue
from conduit.server.service import ServerService
from tests.cli.stock import fill
from tests.server.db.jobs import a_job
from tests.server.db.jobs import insert as insert_jobs
from tests.server.http.conftest import Serve, client_of, until
from tests.servers.fixtures import StartRedis
from tests.servers.redis import RedisServer

LISTINGS = ("/functions", "/workers", "/queues", "/crons", "/events")
QUEUE_BACKED = (
    ("GET", "/functions/charge"),
    ("GET", "/workers/w"),
    ("POST", "/jobs"),
    ("POST", "/jobs/bulk"),
    ("POST", "/jobs/x/cancel"),
    ("POST", "/jobs/x/retry"),
    ("DELETE", "/jobs/x"),
    ("POST", "/functions/charge/pause"),
    ("POST", "/functions/charge/resume"),
    ("POST", "/queues/x/pause"),
    ("POST", "/queues/x/resume"),
    ("POST", "/crons/x/trigger"),
    ("POST", "/crons/x/pause"),
    ("POST", "/events/a.b"),
    ("GET", "/jobs/x"),
    ("GET", "/jobs/x/artifacts/a"),
)
BODIES = {"/jobs": {"function": "charge"}, "/jobs/bulk": {"action": "cancel", "all": True}}


@pytest.fixture
def redis(start_redis: StartRedis) -> RedisServer:
    return start_redis()


@pytest.fixture
async def server(serve: Serve, redis: RedisServer) -> ServerService:
    """One that was started while its queue was away."""
    redis.stop()
    return await serve(queue_url=redis.url)


@pytest.fixture
async def api(server: ServerService) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(server) as client:
        yield client


def assert_away(answer: httpx.Response) -> None:
    assert answer.status_code == 503, answer.text
    assert answer.json()["type"] == "urn:conduit:queue-unavailable"
    assert int(answer.headers["retry-after"]) > 0


async def test_without_a_queue_the_history_is_told_and_the_rest_says_503_alike(
    api: httpx.AsyncClient, server: ServerService
) -> None:
    await insert_jobs(server.parts.database, a_job("old"))

    assert (await api.get("/jobs")).json()["total"] == 1
    assert (await api.get("/jobs/old")).json()["id"] == "old"
    assert (await api.get("/health")).status_code == 200
    ready = await api.get("/ready")
    assert ready.status_code == 503
    checks = ready.json()["checks"]
    assert (checks["database"]["status"], checks["queue"]["status"]) == ("ok", "unavailable")
    for method, path in QUEUE_BACKED:
        assert_away(await api.request(method, path, json=BODIES.get(path)))
    for path in LISTINGS:
        assert_away(await api.get(path))


async def test_the_queue_is_found_when_it_comes_and_listings_outlive_it(
    api: httpx.AsyncClient,
    server: ServerService,
    serve: Serve,
    redis: RedisServer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def is_ready() -> bool:
        return (await api.get("/ready")).status_code == 200

    redis.start()
    await until(is_ready)
    async with open_queue(redis.url) as queue:
        await fill(queue)
    assert (await api.post("/jobs/queued/cancel")).status_code == 200
    for path in LISTINGS:
        assert (await api.get(path)).json()["stale"] is False
    await server.parts.listings.keep()

    caplog.clear()
    redis.stop()
    for _ in range(5):
        for path in LISTINGS[:-1]:
            answer = (await api.get(path)).json()
            assert answer["stale"] is True
            assert answer["items"]
        assert_away(await api.post("/jobs/scheduled/cancel"))
    told = [each.name for each in caplog.records if each.levelno >= logging.WARNING]
    told = [name for name in told if name.startswith("conduit.")]
    assert "conduit.server.operations.queue_connection" in told
    assert len(told) == len(set(told)), "each of those who work with the queue says so once"

    # One that is started meanwhile has it from the history.
    async with client_of(await serve(queue_url=redis.url)) as another:
        functions = (await another.get("/functions")).json()
        assert (functions["stale"], len(functions["items"])) == (True, 3)
        function = await another.get("/functions/charge")
        assert (function.status_code, function.json()["stale"]) == (200, True)
        worker = await another.get("/workers/orders-1")
        assert (worker.status_code, worker.json()["stale"]) == (200, True)
        for path in ("/functions/new", "/workers/new"):  # there may be one by now
            assert_away(await another.get(path))

    redis.start()
    await until(is_ready)
    assert (await api.get("/functions")).json()["stale"] is False
    assert (await api.post("/jobs/scheduled/cancel")).status_code == 200


async def test_what_waiting_does_not_mend_is_no_outage(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a database " * 100)
    with pytest.raises(Exception, match="file") as raised:
        await serve(queue_url=f"sqlite:///{tmp_path / 'file'}")
    assert getattr(raised.value, "exit_code", None) == 3
