"""One job run inline by a worker that need not have started."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar

import pytest

from conduit.core.events import EventKind
from conduit.core.model import JobStatus, NewJob
from conduit.engine.worker import WorkerService
from tests.engine.bench import Bench, a_spec, task

pool: ContextVar[str] = ContextVar("pool", default="none")


async def look() -> str:
    return pool.get()


async def test_a_job_that_is_executed_finds_what_the_lifespan_has_made(bench: Bench) -> None:
    life: list[str] = []

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        life.append("entered")
        pool.set("ten connections")
        yield
        life.append("left")

    worker = WorkerService(a_spec(task(look), lifespan=lifespan), bench.url)
    job = await worker.execute(NewJob(id="job-1", function="look"))
    assert (job.status, job.result, job.attempt) == (JobStatus.COMPLETED, b'"ten connections"', 1)
    assert life == ["entered", "left"]
    assert await bench.kinds("job-1") == [
        EventKind.SUBMITTED,
        EventKind.STARTED,
        EventKind.COMPLETED,
    ]


async def test_a_job_whose_execution_is_cancelled_is_handed_back(bench: Bench) -> None:
    running = asyncio.Event()

    async def hang() -> None:
        running.set()
        await asyncio.Event().wait()

    worker = WorkerService(a_spec(task(hang)), bench.url)
    executing = asyncio.create_task(worker.execute(NewJob(id="job-1", function="hang")))
    await running.wait()
    executing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await executing
    job = await bench.job("job-1")
    assert (job.status, job.attempt) == (JobStatus.QUEUED, 1)


async def test_a_lifespan_that_fails_keeps_the_job_from_being_submitted(bench: Bench) -> None:
    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        raise OSError("no database")
        yield

    worker = WorkerService(a_spec(task(look), lifespan=lifespan), bench.url)
    with pytest.raises(OSError, match="no database"):
        await worker.execute(NewJob(id="job-1", function="look"))
    assert await bench.queue.get(["job-1"]) == [None]
