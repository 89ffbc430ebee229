"""retry and delete."""

from __future__ import annotations

import json

from conduit.core.events import EventKind
from conduit.core.model import Artifact, JobStatus, Level, LogLine
from conduit.core.transitions import OutcomeKind
from conduit.queue.base import Acted, Action, JobFilter, Queue, Submitted
from tests.conformance.backends import Backend
from tests.conformance.builders import (
    BOOM,
    DAY,
    SECOND,
    a_job,
    cancel,
    claim,
    claim_one,
    complete,
    completed,
    delete,
    fail,
    failed,
    finish,
    get,
    let_leases_lapse,
    note,
    retry,
    running,
    submit,
    sweep,
)
from tests.conformance.history import events_of


async def test_a_failed_job_is_queued_again_with_fresh_attempts(backend: Backend) -> None:
    queue = backend.queue
    job = await running(queue, args=b'{"n":1}', max_deliveries=2)
    await finish(queue, job, OutcomeKind.RETRY_LATER, error=BOOM)
    await let_leases_lapse(backend)
    await claim_one(queue)
    await let_leases_lapse(backend)
    await fail(queue, await claim_one(queue))
    backend.clock.advance(SECOND)

    assert await retry(queue, job.id) == Action(Acted.DONE, JobStatus.QUEUED)
    stored = await get(queue, job.id)
    assert (stored.status, stored.generation) == (JobStatus.QUEUED, 2)
    assert (stored.failures, stored.rescues) == (0, 0)
    assert (stored.finished_at, stored.result, stored.reason) == (None, None, None)
    assert (stored.run_at, stored.args) == (backend.clock.now, b'{"n":1}')
    again = await claim_one(queue)
    assert (again.attempt, again.fence) == (1, job.fence + 3)


async def test_a_cancelled_job_can_be_retried_and_is_no_longer_to_be_cancelled(
    queue: Queue,
) -> None:
    job = await running(queue)
    await cancel(queue, job.id)
    await finish(queue, job, OutcomeKind.CANCEL)
    await retry(queue, job.id)
    again = await claim_one(queue)
    assert (again.cancel_requested, again.reason) == (False, None)
    await fail(queue, again)
    assert (await get(queue, job.id)).status is JobStatus.FAILED


async def test_an_expired_job_can_be_retried_and_runs(backend: Backend) -> None:
    job = await submit(backend.queue, expires_ms=SECOND)
    backend.clock.advance(2 * SECOND)
    await sweep(backend.queue)
    await retry(backend.queue, job.id)
    assert (await claim_one(backend.queue)).id == job.id


async def test_arguments_metadata_checkpoint_and_steps_are_kept(queue: Queue) -> None:
    job = await running(queue, args=b'{"n":1}', metadata=b'{"a":1}')
    await note(queue, job, metadata=b'{"b":2}', checkpoint=b'{"page":2}', steps=b'{"s":1}')
    await fail(queue, job)
    await retry(queue, job.id)
    again = await claim_one(queue)
    assert (again.args, again.checkpoint, again.steps) == (b'{"n":1}', b'{"page":2}', b'{"s":1}')
    assert json.loads(again.metadata) == {"a": 1, "b": 2}


async def test_a_retry_records_one_event_of_the_new_generation(backend: Backend) -> None:
    job = await failed(backend.queue)
    await retry(backend.queue, job.id)
    event = (await events_of(backend.queue, job.id))[-1]
    assert (event.kind, event.status) == (EventKind.REQUEUED, JobStatus.QUEUED)
    assert (event.generation, event.seq) == (2, job.seq + 1)


async def test_a_retried_job_does_not_age_out(backend: Backend) -> None:
    job = await failed(backend.queue)
    await retry(backend.queue, job.id)
    backend.clock.advance(2 * DAY)
    await sweep(backend.queue)
    backend.log_is_whole = False
    assert (await claim_one(backend.queue)).id == job.id


async def test_only_failed_and_cancelled_jobs_can_be_retried(queue: Queue) -> None:
    done = await completed(queue)
    active = await running(queue)
    waiting = await submit(queue)
    later = await submit(queue, delay_ms=SECOND)
    ids = [done.id, active.id, waiting.id, later.id]
    before = await queue.get(ids)
    assert await queue.retry([*ids, "nobody"]) == [
        Action(Acted.REFUSED, JobStatus.COMPLETED),
        Action(Acted.REFUSED, JobStatus.RUNNING),
        Action(Acted.REFUSED, JobStatus.QUEUED),
        Action(Acted.REFUSED, JobStatus.SCHEDULED),
        Action(Acted.UNKNOWN),
    ]
    assert await queue.get(ids) == before


async def test_a_repeated_retry_opens_one_generation(queue: Queue) -> None:
    job = await failed(queue)
    await retry(queue, job.id)
    assert await retry(queue, job.id) == Action(Acted.REFUSED, JobStatus.QUEUED)
    assert (await get(queue, job.id)).generation == 2


async def test_a_job_whose_key_is_taken_cannot_be_retried(queue: Queue) -> None:
    old = await failed(queue, key="k")
    new = await submit(queue, key="k")
    assert await retry(queue, old.id) == Action(Acted.KEY_TAKEN, JobStatus.FAILED)
    assert await get(queue, old.id) == old

    await cancel(queue, new.id)
    assert (await retry(queue, old.id)).acted is Acted.DONE


async def test_of_two_jobs_with_one_key_in_a_batch_one_is_retried(queue: Queue) -> None:
    first = await failed(queue, key="k")
    second = await failed(queue, key="k")
    assert [action.acted for action in await queue.retry([first.id, second.id])] == [
        Acted.DONE,
        Acted.KEY_TAKEN,
    ]


# --- delete -----------------------------------------------------------------------------------


async def test_a_deleted_job_is_gone_with_all_that_belongs_to_it(queue: Queue) -> None:
    job = await running(queue)
    kept = Artifact(name="a", content_type="text/plain", size=1, sha256="0")
    line = LogLine(1, Level.INFO, "app", "hello")
    await note(queue, job, artifact=kept, data=b"x", logs=(line,))
    await complete(queue, job)

    assert await delete(queue, job.id) == Action(Acted.DONE, None)
    assert await queue.get([job.id]) == [None]
    assert await queue.logs(job.id) == []
    assert await queue.artifacts(job.id) == []
    assert await queue.artifact(job.id, "a") is None
    assert (await queue.find(JobFilter())).total == 0


async def test_deleting_again_finds_nothing(queue: Queue) -> None:
    job = await completed(queue)
    await delete(queue, job.id)
    assert await delete(queue, job.id) == Action(Acted.UNKNOWN)


async def test_unfinished_jobs_are_not_deleted(queue: Queue) -> None:
    done = await failed(queue)
    active = await running(queue)
    waiting = await submit(queue)
    later = await submit(queue, delay_ms=SECOND)
    assert await queue.delete([active.id, waiting.id, later.id, "nobody", done.id]) == [
        Action(Acted.REFUSED, JobStatus.RUNNING),
        Action(Acted.REFUSED, JobStatus.QUEUED),
        Action(Acted.REFUSED, JobStatus.SCHEDULED),
        Action(Acted.UNKNOWN),
        Action(Acted.DONE, None),
    ]
    assert (await queue.find(JobFilter())).total == 3


async def test_a_delete_is_the_jobs_last_event(queue: Queue) -> None:
    job = await completed(queue)
    await delete(queue, job.id)
    event = (await events_of(queue, job.id))[-1]
    assert (event.kind, event.seq) == (EventKind.DELETED, job.seq + 1)


async def test_the_id_of_a_deleted_job_is_free(queue: Queue) -> None:
    job = a_job(args=b"1")
    await queue.submit([job])
    await complete(queue, await claim_one(queue))
    await delete(queue, job.id)
    other = a_job(id=job.id, args=b"2", function="other")
    assert await queue.submit([other]) == [Submitted(job.id)]
    assert (await get(queue, job.id)).fence == 0
    assert len(await claim(queue, functions=("other",))) == 1
