"""Short ways to the states that tests start from."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from conduit.core.crons import Tick, TickOutcome
from conduit.core.model import CronInfo, FunctionInfo, Job, JobError, Lease, NewJob, WorkerInfo
from conduit.core.transitions import OutcomeKind
from conduit.queue.base import (
    DEFAULT_LEASE_MS,
    Action,
    Claim,
    Finished,
    Note,
    Outcome,
    Queue,
    Retention,
    Submitted,
    SweepReport,
)
from tests.conformance.backends import Backend

SECOND = 1000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

SWEEP_STEP = 5 * SECOND
"""How often a live worker sweeps here: well within the half lease that makes a gap."""

PATIENCE = 30.0
"""Seconds after which a wait that should have ended has hung."""

BOOM = JobError(
    type="NoSuchOrder",
    message="no such order",
    traceback="Traceback …",
    qualified_name="shop.errors.NoSuchOrder",
)


def a_job(**over: Any) -> NewJob:
    """A job with a new id; everything else has its default or what `over` says."""
    fields: dict[str, Any] = {"id": str(uuid4()), "function": "task"}
    return NewJob(**(fields | over))


async def submit(queue: Queue, /, **over: Any) -> NewJob:
    """Submit one job."""
    job = a_job(**over)
    assert await queue.submit([job]) == [Submitted(job.id)]
    return job


async def claim(
    queue: Queue,
    *,
    limit: int = 100,
    worker_id: str = "w1",
    queues: tuple[str, ...] = ("default",),
    functions: tuple[str, ...] = ("task",),
    lease_ms: int = DEFAULT_LEASE_MS,
) -> list[Job]:
    """Claim as worker `w1`, unless told otherwise."""
    return await queue.claim(
        Claim(
            worker_id=worker_id,
            queues=queues,
            functions=functions,
            limit=limit,
            lease_ms=lease_ms,
        )
    )


async def claim_one(queue: Queue, /, **over: Any) -> Job:
    """Claim the one job that there is to claim."""
    (job,) = await claim(queue, **over)
    return job


async def running(queue: Queue, /, *, worker_id: str = "w1", **over: Any) -> Job:
    """Submit a job and claim it."""
    new = await submit(queue, **over)
    job = await claim_one(queue, worker_id=worker_id, functions=(new.function,), limit=1)
    assert job.id == new.id
    return job


def lease(job: Job) -> Lease:
    """The lease that a claimed job came with."""
    assert job.token is not None
    return Lease(job.id, job.token)


async def finish(queue: Queue, job: Job, kind: OutcomeKind, **over: Any) -> Finished:
    """Report one outcome under the lease that `job` came with."""
    (answer,) = await queue.finish([Outcome(lease=lease(job), kind=kind, **over)])
    return answer


async def complete(queue: Queue, job: Job, result: bytes = b"null", **over: Any) -> Finished:
    """Report a normal return."""
    return await finish(queue, job, OutcomeKind.COMPLETE, result=result, **over)


async def fail(queue: Queue, job: Job) -> Finished:
    """Report an error that isn't to be retried."""
    return await finish(queue, job, OutcomeKind.FAIL, error=BOOM)


async def failed(queue: Queue, /, **over: Any) -> Job:
    """A job that ran and failed."""
    job = await running(queue, **over)
    assert await fail(queue, job) is Finished.OK
    return await get(queue, job.id)


async def completed(queue: Queue, /, **over: Any) -> Job:
    """A job that ran and completed."""
    job = await running(queue, **over)
    assert await complete(queue, job) is Finished.OK
    return await get(queue, job.id)


async def get(queue: Queue, job_id: str) -> Job:
    """The stored job."""
    (job,) = await queue.get([job_id])
    assert job is not None
    return job


async def note(queue: Queue, job: Job, **news: Any) -> bool:
    """Record news under the lease that `job` came with."""
    (held,) = await queue.record([Note(lease=lease(job), **news)])
    return held


async def cancel(queue: Queue, job_id: str, reason: str = "not needed") -> Action:
    """Cancel one job."""
    (action,) = await queue.cancel([job_id], reason)
    return action


async def retry(queue: Queue, job_id: str) -> Action:
    """Retry one job."""
    (action,) = await queue.retry([job_id])
    return action


async def delete(queue: Queue, job_id: str) -> Action:
    """Delete one job."""
    (action,) = await queue.delete([job_id])
    return action


async def sweep(queue: Queue, **retention: int) -> SweepReport:
    """Sweep with the default retention, or what is given of it."""
    return await queue.sweep(Retention(**retention))


async def sweep_for(backend: Backend, ms: int, *, beating: tuple[str, ...] = ()) -> None:
    """Let time pass with regular sweeps, and with heartbeats of these workers."""
    for _ in range(ms // SWEEP_STEP):
        backend.clock.advance(SWEEP_STEP)
        for worker_id in beating:
            await backend.queue.heartbeat(worker_id, 0)
        await sweep(backend.queue)


async def let_leases_lapse(backend: Backend) -> None:
    """Move on past a lease's term with regular sweeps, so that unextended jobs are rescued."""
    await sweep(backend.queue)
    for _ in range(DEFAULT_LEASE_MS // SWEEP_STEP):
        backend.clock.advance(SWEEP_STEP)
        await sweep(backend.queue)


async def rescued(backend: Backend, **over: Any) -> tuple[Job, Job]:
    """A job whose lease `w1` lost and which `w2` runs now: the zombie's view, the successor's."""
    zombie = await running(backend.queue, worker_id="w1", **over)
    await let_leases_lapse(backend)
    successor = await claim_one(
        backend.queue, worker_id="w2", functions=(zombie.function,), queues=(zombie.queue,)
    )
    assert successor.id == zombie.id
    return zombie, successor


def a_worker(**over: Any) -> WorkerInfo:
    """A worker named `orders`."""
    fields: dict[str, Any] = {
        "id": "w1",
        "name": "orders",
        "host": "localhost",
        "pid": 1,
        "version": "1",
        "queues": ("default",),
        "concurrency": 4,
    }
    return WorkerInfo(**(fields | over))


def a_function(name: str = "task", **over: Any) -> FunctionInfo:
    """A function of the worker `orders`."""
    fields: dict[str, Any] = {"name": name, "worker": "orders"}
    return FunctionInfo(**(fields | over))


def a_cron(name: str = "nightly", **over: Any) -> CronInfo:
    """A schedule of the worker `orders`."""
    fields: dict[str, Any] = {
        "name": name,
        "function": "task",
        "worker": "orders",
        "schedule": "0 0 * * *",
        "timezone": "UTC",
        "fingerprint": "f1",
        "rhythm": over.get("fingerprint", "f1"),
        "catchup": "one",
    }
    return CronInfo(**(fields | over))


def a_tick(at: int, *, passed: int = 0, cron: CronInfo | None = None, **job: Any) -> Tick:
    """A tick of a schedule as `a_cron` makes it, with a job of its own."""
    cron = cron or a_cron()
    return Tick(cron.name, cron.fingerprint, at, a_job(**job), passed)


async def send(queue: Queue, *ticks: Tick) -> list[TickOutcome]:
    """Send ticks; what became of them."""
    return [ticked.outcome for ticked in await queue.tick(ticks)]
