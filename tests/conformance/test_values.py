"""Values that no store can keep: numbers beyond its range, halves of surrogate pairs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from conduit.core.errors import QueueError
from conduit.core.model import JobError, JobStatus, Level, LogLine
from conduit.core.transitions import OutcomeKind
from conduit.queue.base import Finished, JobFilter, Queue, Submitted
from tests.conformance.builders import (
    a_job,
    cancel,
    claim_one,
    complete,
    finish,
    get,
    note,
    running,
    submit,
)

HUGE = 2**70
TORN = "half of a pair: \ud83d"

UNFIT_JOBS: list[dict[str, Any]] = [
    *(
        {field: HUGE}
        for field in (
            *("priority", "retries", "max_deliveries", "timeout_ms"),
            *("delay_ms", "run_at", "expires_ms", "unique_ms"),
        )
    ),
    *({field: TORN} for field in ("id", "function", "queue", "key", "parent_id", "root_id")),
]


@pytest.mark.parametrize("unfit", UNFIT_JOBS, ids=str)
async def test_a_job_that_cannot_be_kept_is_refused_and_harms_no_other_caller(
    queue: Queue, unfit: dict[str, Any]
) -> None:
    with pytest.raises(QueueError):
        await queue.submit([a_job(**unfit)])
    jobs = [a_job() for _ in range(5)]
    first, refused, *others = await asyncio.gather(
        queue.submit([jobs[0]]),
        queue.submit([a_job(**unfit)]),
        *(queue.submit([job]) for job in jobs[1:]),
        return_exceptions=True,
    )
    assert isinstance(refused, QueueError)
    assert [first, *others] == [[Submitted(job.id)] for job in jobs]
    assert (await queue.find(JobFilter())).total == 5


@pytest.mark.parametrize(
    "unfit",
    [
        {"kind": OutcomeKind.RETRY_LATER, "delay_ms": HUGE},
        {"kind": OutcomeKind.RELEASE, "delay_ms": HUGE},
        {"kind": OutcomeKind.FAIL, "error": JobError(type="ValueError", message=TORN)},
        {"kind": OutcomeKind.FAIL, "reason": TORN},
        {"kind": OutcomeKind.CANCEL, "reason": TORN},
    ],
    ids=str,
)
async def test_an_outcome_that_cannot_be_kept_is_refused_and_can_be_told_otherwise(
    queue: Queue, unfit: dict[str, Any]
) -> None:
    job = await running(queue)
    with pytest.raises(QueueError):
        await finish(queue, job, **unfit)
    assert (await get(queue, job.id)).status is JobStatus.RUNNING
    assert await complete(queue, job) is Finished.OK


@pytest.mark.parametrize(
    "unfit",
    [
        {"progress": 0.5, "progress_message": TORN},
        {"logs": (LogLine(1, Level.INFO, "app", TORN),)},
        {"logs": (LogLine(HUGE, Level.INFO, "app", "hello"),)},
        {"metadata": b"[1]"},
        {"steps": b'"one"'},
    ],
    ids=str,
)
async def test_news_that_cannot_be_kept_is_refused_and_costs_nobody_the_job(
    queue: Queue, unfit: dict[str, Any]
) -> None:
    job = await running(queue)
    with pytest.raises(QueueError):
        await note(queue, job, **unfit)
    assert await note(queue, job, progress=0.5)
    assert await complete(queue, job) is Finished.OK


async def test_a_reason_that_cannot_be_kept_cancels_nothing(queue: Queue) -> None:
    job = await submit(queue)
    with pytest.raises(QueueError):
        await cancel(queue, job.id, TORN)
    assert (await claim_one(queue)).id == job.id
