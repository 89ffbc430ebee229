"""Jobs that raise, say and keep what nobody can: each ends by itself, its neighbours run on."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from conduit.core.model import JobStatus, Lease, Reason
from conduit.core.transitions import OutcomeKind
from conduit.engine.attempts.reporter import Reporter
from conduit.engine.context import Retry, current_job
from conduit.queue.base import Finished, Note, Outcome
from tests.engine.bench import Bench, task

HALF = "caf\udce9"  # as `os.fsdecode` makes it of a name in Latin-1


class Odd(BaseException):
    """An error that isn't an `Exception`."""


async def neighbour() -> str:
    return "fine"


async def endless_retry() -> None:
    retry = Retry()
    retry.delay = 1e17
    raise retry


async def boundless_retry() -> None:
    retry = Retry()
    retry.delay = float("inf")
    raise retry


async def far_retry() -> None:
    raise Retry(delay=1e17)


async def odd() -> None:
    raise Odd("strange")


def odd_in_a_thread() -> None:
    raise Odd("strange")


async def interrupt() -> None:
    raise KeyboardInterrupt


def interrupt_in_a_thread() -> None:
    raise KeyboardInterrupt


async def broken_artifact() -> None:
    await current_job().artifact(HALF, b"x")


async def broken_content_type() -> None:
    await current_job().artifact("menu.txt", b"x", "text/plain\r\nSet-Cookie: a=b")


async def artifact_without_bytes() -> None:
    data: Any = 5
    await current_job().artifact("menu.txt", data)


async def unspeakable() -> None:
    class Unspeakable(Exception):
        def __str__(self) -> str:
            raise Odd

    raise Unspeakable


@pytest.mark.parametrize(
    "poison",
    [
        endless_retry,
        boundless_retry,
        far_retry,
        odd,
        odd_in_a_thread,
        interrupt,
        interrupt_in_a_thread,
        broken_artifact,
        broken_content_type,
        artifact_without_bytes,
        unspeakable,
    ],
)
async def test_a_job_ends_by_its_own_fault_and_gives_its_slot_back(
    bench: Bench, poison: Callable[[], Any]
) -> None:
    worker = await bench.start(task(poison), task(neighbour), concurrency=1)
    job = await bench.run(poison.__name__)
    assert job.status is JobStatus.FAILED
    assert job.error is not None
    assert (await bench.run("neighbour")).status is JobStatus.COMPLETED
    await worker.stop()
    await worker.wait()


async def test_an_error_that_is_no_exception_fails_its_job_under_its_own_name(bench: Bench) -> None:
    await bench.start(task(odd))
    job = await bench.run("odd", retries=3)
    assert (job.status, job.reason, job.attempt) == (JobStatus.FAILED, Reason.ERROR, 1)
    assert job.error is not None
    assert (job.error.type, job.error.message) == ("Odd", "strange")


async def test_middleware_that_raises_what_is_no_exception_fails_the_job(bench: Bench) -> None:
    async def middleware(ctx, call_next):
        raise Odd

    await bench.start(task(neighbour), middleware=[middleware])
    assert (await bench.run("neighbour")).status is JobStatus.FAILED


async def test_progress_that_utf_8_cannot_carry_arrives_as_far_as_it_can(bench: Bench) -> None:
    async def tell() -> None:
        current_job().set_progress(0.5, f"{HALF} \x00 {'x' * 10_000}")
        current_job().log.info("%s", HALF)

    await bench.start(task(tell))
    job = await bench.completed(await bench.submit("tell"))
    assert job.progress == 0.5
    assert job.progress_message is not None
    assert job.progress_message.startswith("caf? \\x00 xxx")
    assert len(job.progress_message) < 5000
    assert [line.message for line in await bench.queue.logs(job.id)] == ["caf?"]


@pytest.mark.parametrize("delay", [-1, 1e9, float("nan"), float("inf"), timedelta(days=400)])
def test_retry_refuses_a_delay_that_cannot_be_meant(delay: float | timedelta) -> None:
    with pytest.raises(ValueError, match="from 0 to a year"):
        Retry(delay=delay)


def test_retry_takes_a_timedelta() -> None:
    assert Retry(delay=timedelta(minutes=2)).delay == 120


@pytest.mark.parametrize("name", ["", "x" * 256, "a\x00b", "a\nb", os.fsdecode(b"caf\xe9.txt")])
async def test_artifacts_are_refused_under_a_name_that_no_store_takes(
    bench: Bench, name: str
) -> None:
    async def keep() -> str:
        with pytest.raises(ValueError, match="artifact name"):
            await current_job().artifact(name, b"x")
        return "refused"

    await bench.start(task(keep))
    assert (await bench.run("keep")).result == b'"refused"'


class Fussy:
    """A store that refuses some items, as a driver does that can't encode them: as a `TypeError`.

    Real queues refuse nothing any more that a job can say; this is the last line of defence.
    """

    def __init__(self, *refused: str) -> None:
        self.refused = refused
        self.taken: list[Outcome | Note] = []

    def take(self, items: list[Any]) -> None:
        for item in items:
            if item.lease.job_id in self.refused and (
                isinstance(item, Note) or item.kind is not OutcomeKind.FAIL
            ):
                raise TypeError("can't encode this")
        self.taken += items

    async def record(self, notes: list[Note]) -> list[bool]:
        self.take(notes)
        return [True] * len(notes)

    async def finish(self, outcomes: list[Outcome]) -> list[Finished]:
        self.take(outcomes)
        return [Finished.OK] * len(outcomes)


def lost(lease: Lease) -> None:
    raise AssertionError(f"{lease} isn't lost")


def never_began(lease: Lease) -> None: ...


async def test_an_outcome_that_the_store_refuses_fails_its_own_job_only() -> None:
    store = Fussy("3", "7")
    reporter = Reporter(store, lost, never_began)  # type: ignore[arg-type]
    answers: list[Finished] = []
    for number in range(10):
        outcome = Outcome(lease=Lease(str(number), "1:a"), kind=OutcomeKind.COMPLETE)
        reporter.finish(outcome, answers.append)
    reporter.stop()
    await reporter.run()
    assert answers == [Finished.OK] * 10
    failed = {item.lease.job_id for item in store.taken if item.kind is OutcomeKind.FAIL}
    assert failed == {"3", "7"}
    assert [item.lease.job_id for item in store.taken] == [str(number) for number in range(10)]


async def test_a_note_that_the_store_refuses_raises_in_its_own_job_only() -> None:
    store = Fussy("1")
    reporter = Reporter(store, lost, never_began)  # type: ignore[arg-type]
    running = asyncio.create_task(reporter.run())
    answers = await asyncio.gather(
        *(reporter.record(Note(lease=Lease(str(n), "1:a"), metadata=b"{}")) for n in range(3)),
        return_exceptions=True,
    )
    reporter.stop()
    await running
    assert answers[0] is None
    assert isinstance(answers[1], TypeError)
    assert answers[2] is None


async def test_a_refused_note_may_be_told_soon_as_well() -> None:
    store = Fussy("1")
    reporter = Reporter(store, lost, never_began)  # type: ignore[arg-type]
    for number in range(3):
        reporter.soon(Note(lease=Lease(str(number), "1:a"), progress=0.5))
    reporter.stop()
    await reporter.run()
    assert [item.lease.job_id for item in store.taken] == ["0", "2"]
