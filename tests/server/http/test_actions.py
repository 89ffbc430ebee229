"""cancel, retry, delete, bulk: the queue acts, and the answer tells what it did."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from sqlalchemy import insert, select

from conduit.core.model import Job, JobStatus, NewJob
from conduit.queue.base import Acted, Action, Queue, Retention
from conduit.server.db import tables
from conduit.server.ingest import deleting
from conduit.server.ingest.apply import wall_clock
from conduit.server.service import ServerService
from tests.cli.stock import fill
from tests.server.http.conftest import Serve, client_of, until


@pytest.fixture(autouse=True)
async def stock(queue: Queue) -> None:
    await fill(queue)


async def status_of(queue: Queue, job_id: str) -> JobStatus | None:
    (job,) = await queue.get([job_id])
    return None if job is None else job.status


async def test_cancelling_a_waiting_job_answers_with_it_as_the_queue_has_it(
    api: httpx.AsyncClient, queue: Queue
) -> None:
    answer = await api.post("/jobs/queued/cancel", json={"reason": "not wanted"})

    assert answer.status_code == 200
    assert answer.json()["status"] == "cancelled"
    assert answer.json()["reason"] == "not wanted"
    assert await status_of(queue, "queued") is JobStatus.CANCELLED


async def test_cancelling_a_running_job_asks_its_worker(
    api: httpx.AsyncClient, queue: Queue
) -> None:
    answer = await api.post("/jobs/running/cancel")

    assert answer.status_code == 200
    assert (answer.json()["status"], answer.json()["cancel_requested"]) == ("running", True)
    (lease,) = await queue.wait_for_cancels("orders-1", 0)
    assert lease.job_id == "running"


async def test_of_two_callers_who_cancel_at_once_one_did_it_and_one_is_told(
    api: httpx.AsyncClient,
) -> None:
    answers = await asyncio.gather(*(api.post("/jobs/queued/cancel") for _ in range(2)))

    assert sorted(answer.status_code for answer in answers) == [200, 409]
    refused = max(answers, key=lambda answer: answer.status_code).json()
    assert refused["job_status"] == "cancelled"
    assert refused["type"] == "urn:conduit:job-state"


async def test_a_failed_job_is_retried_with_its_arguments(
    api: httpx.AsyncClient, queue: Queue
) -> None:
    answer = await api.post("/jobs/failed/retry")

    assert answer.status_code == 200
    job = answer.json()
    assert (job["status"], job["generation"], job["args"]) == ("queued", 2, {"order_id": "o1"})
    assert await status_of(queue, "failed") is JobStatus.QUEUED


@pytest.mark.parametrize(
    ("verb", "job_id", "status"),
    [
        ("retry", "running", "running"),
        ("retry", "completed", "completed"),
        ("cancel", "completed", "completed"),
        ("delete", "queued", "queued"),
        ("delete", "running", "running"),
    ],
)
async def test_what_the_status_forbids_is_a_conflict_that_names_it(
    api: httpx.AsyncClient, verb: str, job_id: str, status: str
) -> None:
    answer = await act(api, verb, job_id)

    assert answer.status_code == 409
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["job_status"] == status


async def test_a_retry_is_refused_while_another_job_holds_the_key(
    api: httpx.AsyncClient, queue: Queue
) -> None:
    await queue.submit([NewJob(id="first", function="charge", key="k")])
    await queue.cancel(["first"], "")
    await queue.submit([NewJob(id="second", function="charge", key="k")])

    answer = await api.post("/jobs/first/retry")

    assert (answer.status_code, answer.json()["type"]) == (409, "urn:conduit:key-taken")


@pytest.mark.parametrize("verb", ["cancel", "retry", "delete"])
@pytest.mark.parametrize("job_id", ["nothing", "a b", "é", "x" * 400])
async def test_a_job_that_is_not_there_is_not_found(
    api: httpx.AsyncClient, verb: str, job_id: str
) -> None:
    answer = await act(api, verb, job_id)

    assert (answer.status_code, answer.json()["job_id"]) == (404, job_id)


async def test_a_finished_job_is_deleted(api: httpx.AsyncClient, queue: Queue) -> None:
    await until_known(api, "completed")
    answer = await api.delete("/jobs/completed")

    assert (answer.status_code, answer.json()["status"]) == (200, "completed")
    assert await status_of(queue, "completed") is None

    async def is_gone() -> bool:
        return (await api.get("/jobs/completed")).status_code == 404

    await until(is_gone)  # from the history, too, once its event has come
    assert (await api.delete("/jobs/completed")).status_code == 404


async def test_a_deleted_job_is_gone_from_every_server_with_the_answer_and_stays_so(
    api: httpx.AsyncClient, serve: Serve, queue: Queue, server: ServerService
) -> None:
    job_ids = [f"n{number}" for number in range(5)]
    async with client_of(await serve()) as other:
        for job_id in job_ids:
            await queue.submit([NewJob(id=job_id, function="charge")])
            await queue.cancel([job_id], "")
            answer = await api.delete(f"/jobs/{job_id}")
            assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
            for at in (api, other):
                assert (await at.get(f"/jobs/{job_id}")).status_code == 404
                assert (await at.delete(f"/jobs/{job_id}")).status_code == 404
    await queue.submit([NewJob(id="last", function="charge")])

    async def all_is_told() -> bool:
        async with server.parts.database.read() as connection:
            ids = set((await connection.scalars(select(tables.jobs.c.id))).all())
            parked = (await connection.scalars(select(tables.parked_events.c.job_id))).all()
        return "last" in ids and not parked and not ids & set(job_ids)

    await until(all_is_told)  # and nothing waits for the reconciler


class _Racing:
    """A queue whose jobs another caller deletes or retries after they were looked at."""

    def __init__(self, queue: Queue, race: Callable[[list[str]], Awaitable[object]]) -> None:
        self._queue = queue
        self._race = race

    async def get(self, job_ids: list[str]) -> list[Job | None]:
        jobs = await self._queue.get(job_ids)
        await self._race(job_ids)
        return jobs

    async def delete(self, job_ids: list[str]) -> list[Action]:
        return await self._queue.delete(job_ids)


async def test_of_two_callers_who_delete_a_job_the_queue_does_it_for_one(
    api: httpx.AsyncClient, queue: Queue, server: ServerService
) -> None:
    await until_known(api, "completed")
    racing: Any = _Racing(queue, queue.delete)
    answer = await deleting.ask(racing, ["completed"])
    done = await deleting.settle(server.parts.database, ["completed"], answer, wall_clock())
    assert (done.actions, done.gone) == ([Action(Acted.UNKNOWN)], {})


async def test_a_delete_that_races_a_retry_is_refused_with_the_status_that_forbids_it(
    queue: Queue, server: ServerService
) -> None:
    racing: Any = _Racing(queue, queue.retry)
    answer = await deleting.ask(racing, ["failed"])
    done = await deleting.settle(server.parts.database, ["failed"], answer, wall_clock())
    assert (done.actions, done.gone) == ([Action(Acted.REFUSED, JobStatus.QUEUED)], {})


async def test_a_job_that_only_the_history_has_is_deleted_there(
    api: httpx.AsyncClient, queue: Queue, server: ServerService
) -> None:
    await known_and_then_forgotten(api, queue, "completed")

    answer = await api.delete("/jobs/completed")
    assert (answer.status_code, answer.json()["status"]) == (200, "completed")
    assert answer.json()["args"] == {"order_id": "o1"}
    assert (await api.get("/jobs/completed")).status_code == 404
    assert (await api.get("/jobs/completed/logs")).status_code == 404
    assert (await api.delete("/jobs/completed")).status_code == 404
    async with server.parts.database.read() as connection:
        kinds = (await connection.scalars(select(tables.changes.c.kind))).all()
    assert kinds[-1] == "job.deleted"

    await queue.submit([NewJob(id="completed", function="charge")])  # the id is free again

    async def is_there() -> bool:
        found = (await api.get("/jobs", params={"q": "completed"})).json()["items"]
        return [job["status"] for job in found if job["id"] == "completed"] == ["queued"]

    await until(is_there)


async def test_an_unfinished_job_that_only_the_history_has_is_not_deleted(
    api: httpx.AsyncClient, server: ServerService
) -> None:
    await until_known(api, "completed")
    async with server.parts.database.begin() as connection:
        row = (await connection.execute(select(tables.jobs).limit(1))).mappings().first()
        values = {"submitted_at": 1, "run_at": 1, "applied_at": wall_clock(), "status": "queued"}
        assert row is not None
        await connection.execute(insert(tables.jobs).values({**row, **values, "id": "lost"}))

    answer = await api.delete("/jobs/lost")
    assert (answer.status_code, answer.json()["job_status"]) == (409, "queued")


async def until_known(api: httpx.AsyncClient, job_id: str) -> None:
    """Wait until the history has all of a finished job."""

    async def is_known() -> bool:
        found = (await api.get("/jobs", params={"q": job_id})).json()["items"]
        return any(job["id"] == job_id and job["finished_at"] for job in found)

    await until(is_known)


async def known_and_then_forgotten(api: httpx.AsyncClient, queue: Queue, job_id: str) -> None:
    """Have the queue forget all that is finished, once the history has it."""
    await until_known(api, job_id)
    while (await queue.sweep(Retention(results_ms=0))).purged:
        pass
    assert await status_of(queue, job_id) is None


async def act(api: httpx.AsyncClient, verb: str, job_id: str) -> httpx.Response:
    if verb == "delete":
        return await api.delete(f"/jobs/{job_id}")
    return await api.post(f"/jobs/{job_id}/{verb}")


# --- many ------------------------------------------------------------------------------------


async def test_many_are_cancelled_by_filter_and_counted(
    api: httpx.AsyncClient, queue: Queue
) -> None:
    await queue.submit([NewJob(id=f"n{number}", function="report") for number in range(1200)])

    wanted = {"action": "cancel", "filter": {"function": ["report"]}}
    answer = await api.post("/jobs/bulk", json=wanted)

    assert answer.status_code == 200
    assert answer.json() == {
        "matched": 1201, "done": 1201, "requested": 0, "skipped": 0, "failed": 0,
    }  # fmt: skip
    assert await status_of(queue, "n1199") is JobStatus.CANCELLED


async def test_of_some_ids_those_that_cannot_be_are_skipped(api: httpx.AsyncClient) -> None:
    ids = ["queued", "running", "completed", "nothing", "queued"]
    answer = await api.post("/jobs/bulk", json={"action": "cancel", "ids": ids})

    assert answer.json() == {
        "matched": 4, "done": 2, "requested": 1, "skipped": 2, "failed": 0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "where"),
    [
        ({"action": "cancel"}, "body.filter"),
        ({"action": "cancel", "filter": {}}, "body.filter"),
        ({"action": "cancel", "filter": {"status": ["completed"]}}, "body.filter.status"),
        ({"action": "retry", "filter": {"colour": "red"}}, "body.filter"),
        ({"action": "cancel", "ids": ["queued"], "all": True}, "body.ids"),
        ({"action": "explode", "all": True}, "body.action"),
        ({}, "body"),
    ],
)
async def test_an_unclear_bulk_action_is_refused_and_nothing_done(
    api: httpx.AsyncClient, queue: Queue, wanted: dict[str, Any], where: str
) -> None:
    answer = await api.post("/jobs/bulk", json=wanted)

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["where"] == where
    assert await status_of(queue, "queued") is JobStatus.QUEUED


async def test_a_time_without_a_zone_is_utc_in_a_filter(api: httpx.AsyncClient) -> None:
    wanted = {"action": "cancel", "filter": {"submitted_before": "2026-11-25T00:00:00"}}
    assert (await api.post("/jobs/bulk", json=wanted)).status_code == 200


async def test_everything_is_meant_where_that_is_said(api: httpx.AsyncClient, queue: Queue) -> None:
    answer = await api.post("/jobs/bulk", json={"action": "retry", "all": True})

    assert (answer.json()["matched"], answer.json()["done"]) == (1, 1)
    assert await status_of(queue, "failed") is JobStatus.QUEUED


async def test_many_are_deleted_also_those_that_only_the_history_has(
    api: httpx.AsyncClient, queue: Queue
) -> None:
    await known_and_then_forgotten(api, queue, "completed")
    await queue.submit([NewJob(id="late", function="charge")])
    await queue.cancel(["late"], "")

    answer = await api.post("/jobs/bulk", json={"action": "delete", "all": True})
    assert answer.json()["skipped"] == answer.json()["failed"] == 0
    assert await status_of(queue, "late") is None
    assert (await api.get("/jobs/completed")).status_code == 404
    again = await api.post("/jobs/bulk", json={"action": "delete", "ids": ["completed", "queued"]})
    assert again.json() == {"matched": 2, "done": 0, "requested": 0, "skipped": 2, "failed": 0}
