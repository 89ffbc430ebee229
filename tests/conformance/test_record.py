"""record: news from running jobs; logs and artifacts."""

from __future__ import annotations

import json

from conduit.core.events import EventKind
from conduit.core.model import Artifact, Lease, Level, LogLine
from conduit.core.transitions import OutcomeKind
from conduit.queue.base import Note, Queue
from tests.conformance.backends import Backend
from tests.conformance.builders import (
    BOOM,
    a_job,
    cancel,
    claim,
    claim_one,
    complete,
    failed,
    finish,
    get,
    lease,
    note,
    retry,
    running,
)
from tests.conformance.history import kinds_of


def a_line(message: str, level: Level = Level.INFO) -> LogLine:
    return LogLine(at=1, level=level, logger="app", message=message)


def an_artifact(name: str, data: bytes) -> Artifact:
    return Artifact(name=name, content_type="text/plain", size=len(data), sha256="0" * 64)


async def test_progress_replaces_progress(queue: Queue) -> None:
    job = await running(queue)
    assert await note(queue, job, progress=0.25, progress_message="a quarter")
    assert await note(queue, job, progress=0.5, progress_message="half")
    stored = await get(queue, job.id)
    assert (stored.progress, stored.progress_message) == (0.5, "half")


async def test_words_without_progress_are_no_news(queue: Queue) -> None:
    job = await running(queue)
    assert await note(queue, job, progress=0.5, progress_message="half")
    assert await note(queue, job, progress_message="lost", checkpoint=b"1")
    assert (await get(queue, job.id)).progress_message == "half"
    assert await note(queue, job, progress=0.75, progress_message="")
    assert (await get(queue, job.id)).progress_message == ""


async def test_metadata_is_merged_key_by_key(queue: Queue) -> None:
    job = await running(queue, metadata=b'{"a":1,"b":{"x":1},"n":9007199254740993}')
    await note(queue, job, metadata=b'{"b":{"y":2}}')
    await note(queue, job, metadata=b'{"c":[]}')
    stored = await get(queue, job.id)
    assert json.loads(stored.metadata) == {
        "a": 1,
        "b": {"y": 2},
        "c": [],
        "n": 9007199254740993,
    }


async def test_steps_are_merged_key_by_key(queue: Queue) -> None:
    job = await running(queue)
    await note(queue, job, steps=b'{"fetch":{"ok":true}}')
    await note(queue, job, steps=b'{"store":2}')
    assert json.loads((await get(queue, job.id)).steps) == {"fetch": {"ok": True}, "store": 2}


async def test_a_checkpoint_replaces_the_last(queue: Queue) -> None:
    job = await running(queue)
    await note(queue, job, checkpoint=b'{"page":1,"more":true}')
    await note(queue, job, checkpoint=b'{"page":2}')
    stored = await get(queue, job.id)
    assert stored.checkpoint is not None
    assert json.loads(stored.checkpoint) == {"page": 2}


async def test_what_a_note_leaves_out_stays_as_it_is(queue: Queue) -> None:
    job = await running(queue, metadata=b'{"a":1}')
    await note(queue, job, progress=0.5, progress_message="half", checkpoint=b"1", steps=b'{"s":1}')
    before = await get(queue, job.id)

    await note(queue, job, metadata=b'{"b":2}')
    await note(queue, job, logs=(a_line("hello"),))
    after = await get(queue, job.id)
    assert (after.progress, after.progress_message) == (0.5, "half")
    assert (after.checkpoint, after.steps) == (before.checkpoint, before.steps)
    assert json.loads(after.metadata) == {"a": 1, "b": 2}

    await note(queue, job, progress=0.75)
    assert (await get(queue, job.id)).progress_message == "half"


async def test_an_empty_note_says_whether_the_lease_is_held(queue: Queue) -> None:
    job = await running(queue)
    before = await kinds_of(queue, job.id)
    assert await note(queue, job)
    assert await kinds_of(queue, job.id) == before


async def test_notes_in_one_batch_apply_in_order_and_a_bad_one_harms_no_other(
    queue: Queue,
) -> None:
    await queue.submit([a_job(), a_job()])
    first, second = await claim(queue)
    answers = await queue.record(
        [
            Note(lease=lease(first), metadata=b'{"x":1,"y":1}'),
            Note(lease=Lease("nobody", "1:x"), metadata=b'{"x":0}'),
            Note(lease=Lease(second.id, "1:forged"), metadata=b'{"x":0}'),
            Note(lease=lease(first), metadata=b'{"x":2}'),
            Note(lease=lease(second), progress=1.0),
        ]
    )
    assert answers == [True, False, False, True, True]
    assert json.loads((await get(queue, first.id)).metadata) == {"x": 2, "y": 1}
    assert (await get(queue, second.id)).progress == 1.0


async def test_news_survives_the_next_attempt(queue: Queue) -> None:
    job = await running(queue)
    await note(queue, job, checkpoint=b'{"page":3}', steps=b'{"a":1}', metadata=b'{"m":1}')
    await finish(queue, job, OutcomeKind.RETRY_LATER, error=BOOM)
    again = await claim_one(queue)
    assert (again.checkpoint, again.steps) == (b'{"page":3}', b'{"a":1}')
    assert json.loads(again.metadata) == {"m": 1}


async def test_progress_starts_anew_with_each_attempt(queue: Queue) -> None:
    job = await running(queue)
    await note(queue, job, progress=0.9, progress_message="nearly")
    await finish(queue, job, OutcomeKind.RETRY_LATER, error=BOOM)
    again = await claim_one(queue)
    assert (again.progress, again.progress_message) == (None, None)
    assert await get(queue, job.id) == again


async def test_news_does_not_undo_a_cancel(queue: Queue) -> None:
    job = await running(queue)
    await cancel(queue, job.id, "stop")
    assert await note(queue, job, progress=0.9, checkpoint=b"1", metadata=b'{"a":1}')
    stored = await get(queue, job.id)
    assert stored.cancel_requested
    await finish(queue, job, OutcomeKind.FAIL, error=BOOM)
    assert (await get(queue, job.id)).status == "cancelled"


async def test_a_finished_job_takes_no_news_and_keeps_its_time(backend: Backend) -> None:
    job = await running(backend.queue)
    await complete(backend.queue, job)
    before = await get(backend.queue, job.id)
    backend.clock.advance(1000)
    assert not await note(backend.queue, job, metadata=b'{"late":1}', progress=1.0)
    assert await get(backend.queue, job.id) == before


async def test_each_news_is_one_event_of_its_kind(queue: Queue) -> None:
    job = await running(queue)
    for news in (
        {"progress": 0.5},
        {"metadata": b"{}"},
        {"checkpoint": b"1"},
        {"steps": b"{}"},
        {"logs": (a_line("a"), a_line("b"))},
        {"artifact": an_artifact("a", b"x"), "data": b"x"},
    ):
        await note(queue, job, **news)
    assert await kinds_of(queue, job.id) == [
        EventKind.SUBMITTED,
        EventKind.STARTED,
        EventKind.PROGRESS,
        EventKind.METADATA,
        EventKind.CHECKPOINT,
        EventKind.CHECKPOINT,
        EventKind.LOG,
        EventKind.ARTIFACT,
    ]


# --- logs -------------------------------------------------------------------------------------


async def test_log_lines_come_back_oldest_first_and_numbered(queue: Queue) -> None:
    job = await running(queue)
    await note(queue, job, logs=(a_line("one"), a_line("two", Level.ERROR)))
    await note(queue, job, logs=(a_line("three"),))
    lines = await queue.logs(job.id)
    assert [line.message for line in lines] == ["one", "two", "three"]
    assert [line.level for line in lines] == [Level.INFO, Level.ERROR, Level.INFO]
    assert [(line.at, line.logger) for line in lines] == [(1, "app")] * 3
    numbers = [line.number for line in lines]
    assert numbers == sorted(set(numbers))


async def test_log_lines_know_their_attempt(queue: Queue) -> None:
    job = await running(queue)
    await note(queue, job, logs=(a_line("first try"),))
    await finish(queue, job, OutcomeKind.RETRY_LATER, error=BOOM)
    again = await claim_one(queue)
    await note(queue, again, logs=(a_line("second try"),))
    lines = await queue.logs(job.id)
    assert [(line.message, line.attempt) for line in lines] == [
        ("first try", 1),
        ("second try", 2),
    ]


async def test_logs_are_kept_over_an_operators_retry(queue: Queue) -> None:
    job = await running(queue)
    await note(queue, job, logs=(a_line("before"),))
    await finish(queue, job, OutcomeKind.FAIL, error=BOOM)
    await retry(queue, job.id)
    await note(queue, await claim_one(queue), logs=(a_line("after"),))
    assert [line.message for line in await queue.logs(job.id)] == ["before", "after"]


async def test_a_job_without_logs_has_none(queue: Queue) -> None:
    job = await failed(queue)
    assert await queue.logs(job.id) == []
    assert await queue.logs("nobody") == []


# --- artifacts --------------------------------------------------------------------------------


async def test_artifacts_are_listed_by_name_and_hold_their_bytes(queue: Queue) -> None:
    job = await running(queue)
    data = bytes(range(256))
    for name in ("b.txt", "a.txt"):
        await note(queue, job, artifact=an_artifact(name, data), data=data)
    assert await queue.artifacts(job.id) == [
        an_artifact("a.txt", data),
        an_artifact("b.txt", data),
    ]
    assert await queue.artifact(job.id, "a.txt") == data


async def test_an_artifact_of_the_same_name_replaces_the_last(queue: Queue) -> None:
    job = await running(queue)
    await note(queue, job, artifact=an_artifact("a", b"old one"), data=b"old one")
    await note(queue, job, artifact=an_artifact("a", b"new"), data=b"new")
    assert await queue.artifacts(job.id) == [an_artifact("a", b"new")]
    assert await queue.artifact(job.id, "a") == b"new"


async def test_an_empty_artifact_is_an_artifact(queue: Queue) -> None:
    job = await running(queue)
    await note(queue, job, artifact=an_artifact("empty", b""), data=b"")
    assert await queue.artifact(job.id, "empty") == b""


async def test_an_unknown_artifact_is_none(queue: Queue) -> None:
    job = await running(queue)
    assert await queue.artifact(job.id, "nothing") is None
    assert await queue.artifact("nobody", "nothing") is None
