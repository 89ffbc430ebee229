"""A queue in a temporary file and the workers that a test puts on it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

from conduit.core.codec import Signature
from conduit.core.events import Event, EventKind
from conduit.core.model import Job, JobStatus, NewJob
from conduit.engine.attempts.function import Function, Mode, WorkerSpec
from conduit.engine.executors.processes import ProcessTarget
from conduit.engine.worker import WorkerService
from conduit.queue import open_queue

PATIENCE = 30.0
"""Seconds after which a wait that should have ended has hung."""


def task(call: Callable[..., Any], *, name: str | None = None, **options: Any) -> Function:
    """A task of this function: on the loop or in a thread, as its kind asks for."""
    name = name or call.__name__
    default = Mode.ASYNC if inspect.iscoroutinefunction(call) else Mode.THREAD
    fields: dict[str, Any] = {"mode": default} | options
    return Function(name=name, call=call, signature=Signature.of(call, name=name), **fields)


def process_task(call: Callable[..., Any], **options: Any) -> Function:
    """A task that runs in a worker process; `call` stands at the top of an importable module."""
    return task(call, mode=Mode.PROCESS, target=ProcessTarget.of(call), **options)


def a_spec(*functions: Function, **options: Any) -> WorkerSpec:
    """A worker of these functions."""
    fields: dict[str, Any] = {"name": "orders"} | options
    return WorkerSpec(functions={each.name: each for each in functions}, **fields)


class Bench:
    """Starts workers, submits jobs, and waits for what comes of them."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "queue.db"
        self.url = f"sqlite:///{self.path}"
        self.queue = open_queue(self.url)
        self._workers: list[WorkerService] = []
        self._events: list[Event] = []

    async def start(self, *functions: Function, **options: Any) -> WorkerService:
        """Start a worker of these functions; it is stopped when the test is over."""
        worker = WorkerService(a_spec(*functions, **options), self.url)
        self._workers.append(worker)
        await worker.start()
        return worker

    async def close(self) -> None:
        """Stop every worker that still runs."""
        while self._workers:
            await self._workers.pop().stop_now()
        await self.queue.close()

    async def submit(self, function: str, /, **options: Any) -> str:
        """Submit one job; its id."""
        job = NewJob(**({"id": str(uuid4()), "function": function} | options))
        (submitted,) = await self.queue.submit([job])
        return submitted.job_id

    async def job(self, job_id: str) -> Job:
        """The job as the queue has it now."""
        (job,) = await self.queue.get([job_id])
        assert job is not None
        return job

    async def finished(self, job_id: str) -> Job:
        """The job once it has ended."""
        done = await self.queue.wait_finished([job_id], PATIENCE)
        assert done, f"still {(await self.job(job_id)).status} after {PATIENCE:.0f} s"
        return done[0]

    async def completed(self, job_id: str) -> Job:
        """The job once it has ended, which must be well."""
        job = await self.finished(job_id)
        assert job.status is JobStatus.COMPLETED, job.error
        return job

    async def run(self, function: str, /, **options: Any) -> Job:
        """Submit one job and wait for its end."""
        return await self.finished(await self.submit(function, **options))

    async def events(self, job_id: str) -> list[Event]:
        """Everything recorded of a job so far."""
        await self._read(timeout=0)
        return [event for event in self._events if event.job_id == job_id]

    async def kinds(self, job_id: str) -> list[EventKind]:
        """What happened to a job so far, in order."""
        return [event.kind for event in await self.events(job_id)]

    async def event(self, job_id: str, kind: EventKind) -> Event:
        """The first event of this kind of the job, once it is there."""
        while True:
            for event in await self.events(job_id):
                if event.kind is kind:
                    return event
            assert await self._read(timeout=PATIENCE), f"no {kind} after {PATIENCE:.0f} s"

    async def _read(self, *, timeout: float) -> bool:
        news = False
        while stored := await self.queue.read_events(
            "test", "test", limit=1000, timeout=0 if news else timeout
        ):
            news = True
            for each in stored:
                self._events.extend(each.entry.events)
            await self.queue.ack("test", [each.position for each in stored])
        return news
