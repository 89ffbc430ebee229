"""Lessons on the server: a history that is true, actions that act, stores that come and go."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import httpx
import pytest

from conduit import Context, Worker, current_job
from conduit.core.model import JobStatus, NewJob
from conduit.queue import Queue, open_queue
from conduit.server.db import queries
from conduit.server.db.database import Database
from conduit.server.ingest.apply import apply_entries
from tests.cli.conftest import Cli
from tests.lessons.conftest import job_of, until
from tests.server.http.conftest import (  # noqa: F401
    Serve,
    client_of,
    empty_history,
    history,
    serve,
)
from tests.servers.fixtures import StartPostgres, StartRedis
from tests.servers.postgres import new_database


@pytest.fixture
async def server(serve: Serve) -> Any:  # noqa: F811
    return await serve()


@pytest.fixture
async def api(server: Any) -> Any:
    async with client_of(server) as client:
        yield client


async def listed(api: httpx.AsyncClient, job_id: str, status: str) -> dict[str, Any]:
    """A job as the list has it, once it has that status there."""
    found: list[dict[str, Any]] = []

    async def look() -> bool:
        answer = (await api.get("/jobs", params={"status": status, "limit": 500})).json()
        found[:] = [job for job in answer["items"] if job["id"] == job_id]
        return bool(found)

    await until(look)
    return found[0]


# Lesson 1: events are acknowledged only once applied; failed ones stay pending and are retried.
async def test_what_happens_while_the_history_is_away_is_in_it_afterwards(
    serve: Serve,  # noqa: F811
    queue: Queue,
    start_postgres: StartPostgres,
) -> None:
    postgres = start_postgres()
    with new_database(postgres.url) as url:
        server = await serve(database_url=url, migrate=True)
        async with client_of(server) as api:
            await queue.submit([NewJob(id="before", function="f")])
            await listed(api, "before", "queued")

            postgres.stop()
            await queue.submit([NewJob(id="meanwhile", function="f")])
            away = await api.get("/jobs")
            assert (away.status_code, away.headers["retry-after"]) == (503, "2")
            assert (await api.get("/health")).status_code == 200

            postgres.start()
            await listed(api, "meanwhile", "queued")
        await server.stop()


# Lesson 1: an event that can't be applied is logged with its place, counted, kept, and holds up
# nothing.
async def test_an_event_that_nobody_can_read_is_a_dead_letter_and_the_rest_goes_on(
    serve: Serve,  # noqa: F811
    start_redis: StartRedis,
    caplog: pytest.LogCaptureFixture,
) -> None:
    redis = start_redis()
    server = await serve(queue_url=redis.url)
    async with client_of(server) as api, open_queue(redis.url) as queue:
        await queue.submit([NewJob(id="first", function="f")])
        await listed(api, "first", "queued")
        with redis.client() as client:
            (stream,) = client.scan_iter("*events")
            position = client.xadd(stream, {"a": "1", "b": "nonsense"})
        await queue.submit([NewJob(id="second", function="f")])

        await listed(api, "second", "queued")
        (letter,) = (await api.get("/dead-letters")).json()["items"]
        assert "nonsense" in letter["body"]
        (told,) = [each for each in caplog.messages if "is a dead letter" in each]
        assert position in told
        metrics = await api.get(str(api.base_url.copy_with(path="/metrics")))
        assert "conduit_ingest_dead_total 1.0" in metrics.text


# Lesson 3: checkpoint and metadata writes are really committed, and read back in a new session.
async def test_checkpoint_and_metadata_are_in_the_history_for_good(
    serve: Serve,  # noqa: F811
    worker: Worker,
    history: str,  # noqa: F811
) -> None:
    @worker.task
    async def work() -> None:
        job: Context = current_job()
        await job.set_metadata(tenant="a")
        await job.save_checkpoint({"page": 7})
        await job.set_metadata(rows=3)

    server = await serve()
    async with worker, client_of(server) as api:
        future = await work.submit()
        await future.result()
        await listed(api, future.job_id, "completed")
    await server.stop()

    async with Database(history) as database, database.read() as connection:
        row = await queries.get_job(connection, future.job_id)
    assert row is not None
    assert (row.metadata, row.checkpoint) == ('{"tenant":"a","rows":3}', '{"page":7}')


# Lesson 4: a stale or reordered `job.failed` never overwrites what came after it.
async def test_an_old_failure_told_again_changes_nothing(
    worker: Worker,
    queue: Queue,
    history: str,  # noqa: F811
) -> None:
    attempts = 0

    @worker.task
    async def second_time_lucky() -> str:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            raise ValueError("no luck")
        return "luck"

    async with worker:
        future = await second_time_lucky.submit()
        with pytest.raises(Exception, match="no luck"):
            await future.value()
        await future.retry()
        await future.value()
    entries = await queue.read_events("lesson", "reader", limit=500)

    async with Database(history) as database:
        for order in (entries, entries[::-1], entries[:3]):
            async with database.begin() as connection:
                await apply_entries(connection, order, 1)
        async with database.read() as connection:
            row = await queries.get_job(connection, future.job_id)
    assert row is not None
    assert (row.status, row.result, row.error) == (JobStatus.COMPLETED, '"luck"', None)


# Lessons 5 and 11: the list filters by worker and by several statuses, and its total is exact.
async def test_the_list_filters_by_worker_and_statuses_with_an_exact_total(
    api: httpx.AsyncClient, worker: Worker, queue: Queue
) -> None:
    @worker.task
    async def work(fail: bool) -> None:
        if fail:
            raise ValueError

    async with worker:
        futures = [await work.submit(number % 2 == 0) for number in range(10)]
        for future in futures:
            await asyncio.wait({asyncio.ensure_future(future.result())})
        worker_id = (await job_of(queue, futures[0].job_id)).worker_id
    waiting = await work.submit(False)
    await listed(api, waiting.job_id, "queued")

    async def total(**filters: Any) -> tuple[int, int]:
        answer = (await api.get("/jobs", params={"limit": 3, **filters})).json()
        return answer["total"], len(answer["items"])

    assert await total() == (11, 3)
    assert await total(worker_id=[worker_id, "nobody"]) == (10, 3)
    assert await total(status=["failed"], worker_id=worker_id) == (5, 3)
    assert await total(status=["failed", "queued"]) == (6, 3)
    assert await total(worker_id="nobody") == (0, 0)


# Lesson 6: routes that need the queue degrade alike while it is away, never with 500.
async def test_without_a_queue_every_route_that_needs_it_says_so_in_the_same_way(
    serve: Serve,  # noqa: F811
) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        server = await serve(queue_url=f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
        async with client_of(server) as api:
            answers = [
                await api.get(f"/{name}")
                for name in ("functions", "workers", "queues", "crons", "events")
            ]
            answers.append(await api.post("/jobs/x/cancel"))
            assert (await api.get("/jobs")).status_code == 200
    assert {answer.status_code for answer in answers} == {503}
    assert {answer.json()["type"] for answer in answers} == {"urn:conduit:queue-unavailable"}
    assert all("retry-after" in answer.headers for answer in answers)


# Lesson 9: cancel and retry drive the queue, check the state, and tell the truth.
async def test_cancel_and_retry_really_act_and_tell_what_they_did(
    api: httpx.AsyncClient, worker: Worker, queue: Queue
) -> None:
    started = asyncio.Event()
    finish = False

    @worker.task
    async def work(number: int) -> int:
        started.set()
        if not finish:
            await asyncio.Event().wait()
        return number

    async with worker:
        future = await work.submit(5)
        await started.wait()
        asked = (await api.post(f"/jobs/{future.job_id}/cancel")).json()
        assert (asked["status"], asked["cancel_requested"]) == ("running", True)
        await listed(api, future.job_id, "cancelled")
        refused = await api.post(f"/jobs/{future.job_id}/cancel")
        assert (refused.status_code, refused.json()["job_status"]) == (409, "cancelled")

        finish = True
        again = (await api.post(f"/jobs/{future.job_id}/retry")).json()
        assert (again["status"], again["args"]) == ("queued", {"number": 5})
        assert await future.value() == 5
        refused = await api.post(f"/jobs/{future.job_id}/retry")
        assert (refused.status_code, refused.json()["job_status"]) == (409, "completed")
        await listed(api, future.job_id, "completed")


# Lesson 10: the server refuses a PostgreSQL whose schema is missing, with a clear error.
def test_a_postgresql_without_tables_is_refused_with_what_to_do(
    cli: Cli, postgres_url: str
) -> None:
    answer = cli("server", "start", "--port", "0", "--database-url", postgres_url)
    assert answer.returncode == 3
    assert "conduit server db upgrade" in answer.stderr


# Lesson 16: `conduit server start` exists, with host, port and the two URLs.
def test_the_server_has_a_command(cli: Cli, tmp_path: Path) -> None:
    run = cli.start(
        *("server", "start", "--host", "127.0.0.1", "--port", "0"),
        *("--database-url", f"sqlite:///{tmp_path}/h.db", "--redis-url", f"sqlite:///{tmp_path}/q"),
    )
    run.until("server at http://127.0.0.1:")
    assert run.stop() == 0
    assert (tmp_path / "h.db").exists()
    assert (tmp_path / "q").exists()


# Lesson 17: a consumer group counts as created only once it is: a flushed Redis is recovered from
# without a restart.
async def test_a_redis_that_is_flushed_under_the_server_is_followed_on(
    serve: Serve,  # noqa: F811
    start_redis: StartRedis,
) -> None:
    redis = start_redis()
    server = await serve(queue_url=redis.url)
    async with client_of(server) as api, open_queue(redis.url) as queue:
        await queue.submit([NewJob(id="before", function="f")])
        await listed(api, "before", "queued")
        with redis.client() as client:
            client.flushall()
        await queue.submit([NewJob(id="after", function="f")])
        await listed(api, "after", "queued")
