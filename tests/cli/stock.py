"""A queue as a worker that ran here leaves it: functions, schedules and jobs in every state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conduit.core.codec import Signature
from conduit.core.crons import Tick
from conduit.core.model import (
    Artifact,
    CronInfo,
    FunctionInfo,
    JobError,
    Lease,
    Level,
    LogLine,
    NewJob,
    WorkerInfo,
)
from conduit.core.schedule import parse_schedule
from conduit.core.transitions import OutcomeKind
from conduit.queue.base import Claim, Note, Outcome, Queue, Registration

ERROR = JobError(
    type="CardError", message="card declined", traceback="Traceback …\nCardError: card declined"
)


@dataclass
class Receipt:
    text: str


def charge(order_id: str, cents: int = 100) -> Receipt:
    return Receipt(f"{order_id}: {cents}")


def zip_up(*paths: Path, level: int, **labels: str) -> None: ...


def _told(fn: Callable[..., Any], **options: Any) -> FunctionInfo:
    """What a worker would say of a function."""
    signature = Signature.of(fn, name=fn.__name__)
    return FunctionInfo(
        name=fn.__name__,
        worker="orders",
        signature=str(signature),
        parameters=signature.parameters(),
        **options,
    )


def _cron(name: str, spec: str, timezone: str = "UTC") -> CronInfo:
    schedule = parse_schedule(spec, timezone)
    return CronInfo(
        name=name,
        function="report",
        worker="orders",
        schedule=schedule.spec(),
        timezone=timezone,
        fingerprint=schedule.fingerprint(),
        rhythm=schedule.fingerprint(),
        catchup="one",
    )


def registration(name: str, worker_id: str, *functions: str) -> Registration:
    """A worker of functions that take nothing."""
    return Registration(
        worker=WorkerInfo(
            id=worker_id,
            name=name,
            host="here",
            pid=1,
            version="0",
            queues=("default",),
            concurrency=1,
        ),
        functions=tuple(
            FunctionInfo(name=each, worker=name, signature=f"{each}()") for each in functions
        ),
    )


async def register(queue: Queue) -> None:
    """One worker, three functions, two schedules."""
    await queue.register(
        Registration(
            worker=WorkerInfo(
                id="orders-1",
                name="orders",
                host="here",
                pid=1,
                version="0",
                queues=("default", "mail"),
                concurrency=50,
            ),
            functions=(
                _told(charge, priority=7),
                _told(zip_up, queue="mail"),
                FunctionInfo(name="report", worker="orders", signature="report()"),
            ),
            crons=(
                _cron("daily", "0 9 * * *", "Europe/Zurich"),
                _cron("often", "@every 90s"),
            ),
        )
    )


async def skip(queue: Queue) -> None:
    """A tick of `often` whose job is unfinished, and two after it that are skipped."""
    await register(queue)
    often = next(info for info in await queue.crons() if info.name == "often")
    for number in (1, 2, 3):
        job = NewJob(id=f"tick-{number}", function="report")
        await queue.tick([Tick("often", often.fingerprint, often.last_tick + number, job)])


async def fill(queue: Queue) -> None:
    """A completed, a failed, a running, a queued and a scheduled job, named by their status."""
    await register(queue)
    for name in ("completed", "failed", "running"):
        await queue.submit([NewJob(id=name, function="charge", args=b'{"order_id":"o1"}')])
    wanted = Claim(
        worker_id="orders-1", queues=("default",), functions=("charge",), limit=3, lease_ms=600_000
    )
    leases = {job.id: Lease(job.id, job.token or "") for job in await queue.claim(wanted)}
    await queue.record(
        [
            Note(
                lease=leases["completed"],
                progress=0.5,
                progress_message="half way",
                logs=(LogLine(1_700_000_000_000, Level.WARNING, "shop", "careful \x1b[31m", 1, 1),),
                artifact=Artifact("receipt.txt", "text/plain", 4, "0" * 64),
                data=b"paid",
            )
        ]
    )
    await queue.finish(
        [
            Outcome(lease=leases["completed"], kind=OutcomeKind.COMPLETE, result=b'{"paid":100}'),
            Outcome(lease=leases["failed"], kind=OutcomeKind.FAIL, error=ERROR, reason="error"),
        ]
    )
    await queue.submit(
        [
            NewJob(id="queued", function="report", queue="mail"),
            NewJob(id="scheduled", function="charge", delay_ms=3_600_000, key="once"),
        ]
    )
