"""What comes in is checked alike in front of every store."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import Raw

from conduit.core.crons import Tick
from conduit.core.errors import QueueError
from conduit.core.events import Report
from conduit.core.model import MAX_PRIORITY, MIN_PRIORITY, JobStatus, Reason
from conduit.core.transitions import OutcomeKind
from conduit.queue.base import Finished, Note, Outcome, Queue
from tests.conformance.builders import a_job, finish, get, lease, note, running
from tests.conformance.history import events_of

ENDLESS = b"[" * 100_000 + b"]" * 100_000


@pytest.mark.parametrize(
    "job",
    [
        a_job(id="x" * 1001),
        a_job(queue="x" * 70_000),
        a_job(function="x" * 70_000),
        a_job(priority=MAX_PRIORITY + 1),
        a_job(priority=MIN_PRIORITY - 1),
        a_job(priority=1000),
        a_job(metadata=b"[1]"),
        a_job(metadata=b"1"),
        a_job(args=ENDLESS),
        a_job(args=b'"\xff"'),
        a_job(args=b"NaN"),
        a_job(args=b""),
        a_job(id="\ud800"),
        a_job(queue="\ud800"),
        a_job(key="\ud800"),
        a_job(after=("x" * 1001,)),
        a_job(after=tuple(map(str, range(1001)))),
        a_job(metadata=ENDLESS),
        a_job(retries=2**60),
        a_job(retries=-1),
        a_job(timeout_ms=2**60),
        a_job(run_at=2**60),
        a_job(delay_ms=-1),
    ],
    ids=lambda job: "",
)
async def test_what_cannot_be_kept_is_refused_with_all_of_its_batch(queue: Queue, job: Any) -> None:
    neighbour = a_job()
    with pytest.raises(QueueError):
        await queue.submit([neighbour, job])
    assert await queue.get([neighbour.id]) == [None]


async def test_a_result_nested_without_end_fails_its_own_job(queue: Queue) -> None:
    deep, plain = await running(queue), await running(queue)
    answers = await queue.finish(
        [
            Outcome(lease=lease(deep), kind=OutcomeKind.COMPLETE, result=ENDLESS),
            Outcome(lease=lease(plain), kind=OutcomeKind.COMPLETE, result=b"1"),
        ]
    )
    assert answers == [Finished.OK, Finished.OK]
    failed = await get(queue, deep.id)
    assert (failed.status, failed.reason) == (JobStatus.FAILED, Reason.BAD_RESULT)
    assert (await get(queue, plain.id)).status is JobStatus.COMPLETED


@pytest.mark.parametrize("metadata", [b"[]", b"1", b"null"])
async def test_metadata_that_is_no_object_is_refused(queue: Queue, metadata: bytes) -> None:
    job = await running(queue)
    with pytest.raises(QueueError, match="isn't a JSON object"):
        await note(queue, job, metadata=metadata)
    assert await get(queue, job.id) == job


@pytest.mark.parametrize("payload", [b"", b"NaN", b"{", b'"\xff"', ENDLESS])
async def test_news_that_is_not_json_is_refused(queue: Queue, payload: bytes) -> None:
    job, neighbour = await running(queue), await running(queue)
    fine = Note(lease=lease(neighbour), progress=0.5)
    for bad in (
        Note(lease=lease(job), checkpoint=payload),
        Note(lease=lease(job), metadata=payload),
        Note(lease=lease(job), steps=payload),
    ):
        with pytest.raises(QueueError, match="isn't"):
            await queue.record([fine, bad])
    assert await get(queue, job.id) == job
    assert await get(queue, neighbour.id) == neighbour
    assert await finish(queue, job, OutcomeKind.COMPLETE) is Finished.OK


async def test_a_tick_whose_job_could_not_be_kept_is_refused(queue: Queue) -> None:
    with pytest.raises(QueueError, match="priority 1000"):
        await queue.tick([Tick("nightly", "f", 1, a_job(priority=1000))])


async def test_a_report_that_is_not_json_is_refused(queue: Queue) -> None:
    with pytest.raises(QueueError, match="isn't JSON"):
        await queue.report([Report(kind="api.started", subject="shop", at=0, data=Raw(b"NaN"))])
    assert await events_of(queue) == []


async def test_a_job_that_is_started_at_once_is_checked_as_well(queue: Queue) -> None:
    with pytest.raises(QueueError, match="priority 1000"):
        await queue.start(a_job(priority=1000), "w1", 15_000)
