"""Events: one job for each handler whose pattern matches."""

from __future__ import annotations

from typing import Any

import pytest

from conduit import ArgumentError, InvalidPatternError, Worker
from conduit.core.model import FunctionInfo, WorkerInfo
from conduit.queue import Queue
from conduit.queue.base import JobFilter, Registration
from tests.sdk.support import running_in_thread


async def mail(order_id: str) -> str:
    return f"mail {order_id}"


async def ship(order_id: str) -> str:
    return f"ship {order_id}"


async def audit(order_id: str) -> str:
    return f"audit {order_id}"


async def test_an_event_becomes_a_job_for_each_matching_handler(
    worker: Worker, queue: Queue
) -> None:
    placed = worker.event("order.placed")
    placed.on(mail)
    placed.on(retries=3)(ship)
    worker.event("order.*").on(audit)
    worker.event("order.cancelled").on(work_nobody_asked_for)
    async with worker:
        futures = await placed.publish(order_id="a")
        values = {await future.value() for future in futures}
    assert values == {"mail a", "ship a", "audit a"}
    jobs = await queue.get([future.job_id for future in futures])
    assert {job.metadata for job in jobs if job} == {b'{"event":"order.placed"}'}
    assert (await queue.find(JobFilter())).total == 3


async def work_nobody_asked_for(order_id: str) -> None:
    raise AssertionError


async def test_a_handler_is_a_task_like_any_other(worker: Worker) -> None:
    handler = worker.event("order.placed").on(mail, name="letters", retries=2)
    assert handler.name == "letters"
    assert worker.functions["letters"].event == "order.placed"
    assert await handler("a") == "mail a"
    future = await handler.submit("a")
    async with worker:
        assert await future.value() == "mail a"


async def test_handlers_that_others_registered_get_a_job_too(worker: Worker, queue: Queue) -> None:
    await _register(queue, "elsewhere", "order.*")
    await _register(queue, "unconcerned", "mail.*")
    placed = worker.event("order.placed")
    placed.on(mail)
    futures = await placed.publish(order_id="a")
    jobs = await queue.get([future.job_id for future in futures])
    assert [(job.function, job.queue, job.args) for job in jobs if job] == [
        ("mail", "default", b'{"order_id":"a"}'),
        ("elsewhere", "far", b'{"order_id":"a"}'),
    ]


async def test_a_handler_that_is_also_registered_gets_one_job(worker: Worker) -> None:
    placed = worker.event("order.placed")
    placed.on(mail)
    async with worker:
        assert len(await placed.publish(order_id="a")) == 1


async def test_arguments_a_handler_cannot_take_are_refused_and_nobody_gets_a_job(
    worker: Worker, queue: Queue
) -> None:
    placed = worker.event("order.placed")
    placed.on(mail)
    worker.event("order.*").on(ship)
    with pytest.raises(ArgumentError, match="order_id"):
        await placed.publish(order_id=7)
    with pytest.raises(ArgumentError, match="order"):
        await placed.publish(order="a")
    assert (await queue.find(JobFilter())).total == 0


async def test_an_event_that_nobody_handles_has_no_jobs(worker: Worker) -> None:
    assert await worker.event("order.placed").publish(order_id="a") == []


async def test_a_pattern_cannot_be_published(worker: Worker) -> None:
    with pytest.raises(InvalidPatternError, match=r"order\.\*"):
        await worker.event("order.*").publish()


@pytest.mark.parametrize("name", ["", "order..placed", "order placed", "order.**x"])
def test_a_malformed_event_name_is_refused(worker: Worker, name: str) -> None:
    with pytest.raises(InvalidPatternError):
        worker.event(name)


def test_publish_works_without_an_event_loop(worker: Worker) -> None:
    placed = worker.event("order.placed")
    placed.on(mail)
    with running_in_thread(worker):
        (future,) = placed.publish_sync(order_id="a")
        assert future.value_sync() == "mail a"


async def _register(queue: Queue, function: str, event: str, **more: Any) -> None:
    info = WorkerInfo(
        id=function, name=function, host="h", pid=1, version="1", queues=("far",), concurrency=1
    )
    handler = FunctionInfo(name=function, worker=function, queue="far", event=event, **more)
    await queue.register(Registration(worker=info, functions=(handler,)))
