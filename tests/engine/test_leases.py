"""What a worker hears of the leases it holds, and from whom."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest

from conduit.core.errors import LeaseLostError
from conduit.core.model import Job, JobStatus, Lease
from conduit.engine.claims.heartbeat import Heartbeat
from conduit.engine.context import current_job
from conduit.engine.worker import WorkerService
from conduit.queue.base import Claim
from conduit.queue.sqlite import SqliteQueue
from tests.engine.bench import Bench, a_spec, task

LONG_LEASE_MS = 600_000
"""So long that the heartbeat says nothing during a test, after its first beat."""


class Zombie:
    """A job that another worker takes over while it runs."""

    def __init__(self) -> None:
        self.running = asyncio.Event()
        self.write = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.errors: list[Exception] = []

    async def job(self) -> None:
        self.running.set()
        try:
            await self.write.wait()
            try:
                await current_job().set_metadata(mine=True)
            except LeaseLostError as error:
                self.errors.append(error)
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    async def soft_job(self) -> None:
        self.running.set()
        try:
            await self.write.wait()
            current_job().set_progress(0.5)
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise


@pytest.fixture
def zombie() -> Zombie:
    return Zombie()


def take_over(bench: Bench, job_id: str) -> None:
    """Give the job's lease to another worker, as a sweep and a claim elsewhere do."""
    with sqlite3.connect(bench.path) as connection:
        connection.execute("UPDATE jobs SET token = '2:other' WHERE id = ?", (job_id,))
    connection.close()


async def test_the_heartbeat_tells_a_job_that_its_lease_is_lost(
    bench: Bench, zombie: Zombie
) -> None:
    await bench.start(task(zombie.job), lease_ms=900)
    job_id = await bench.submit("job")
    await zombie.running.wait()
    take_over(bench, job_id)
    await zombie.cancelled.wait()
    job = await bench.job(job_id)
    assert (job.status, job.token) == (JobStatus.RUNNING, "2:other")


async def test_a_note_that_is_refused_tells_a_job_that_its_lease_is_lost(
    bench: Bench, zombie: Zombie
) -> None:
    await bench.start(task(zombie.job), lease_ms=LONG_LEASE_MS)
    job_id = await bench.submit("job")
    await zombie.running.wait()
    take_over(bench, job_id)
    zombie.write.set()
    await zombie.cancelled.wait()
    job = await bench.job(job_id)
    assert (job.status, job.metadata) == (JobStatus.RUNNING, b"{}")


async def test_progress_that_is_refused_tells_a_job_that_its_lease_is_lost(
    bench: Bench, zombie: Zombie
) -> None:
    await bench.start(task(zombie.soft_job), lease_ms=LONG_LEASE_MS)
    job_id = await bench.submit("soft_job")
    await zombie.running.wait()
    take_over(bench, job_id)
    zombie.write.set()
    await zombie.cancelled.wait()
    assert (await bench.job(job_id)).progress is None


async def test_a_cancel_does_not_wait_for_a_heartbeat(bench: Bench, zombie: Zombie) -> None:
    await bench.start(task(zombie.job), lease_ms=LONG_LEASE_MS)
    job_id = await bench.submit("job")
    await zombie.running.wait()
    await bench.queue.cancel([job_id], "not needed")
    assert (await bench.finished(job_id)).status is JobStatus.CANCELLED
    assert zombie.cancelled.is_set()


async def test_leases_are_extended_several_times_a_term(bench: Bench, zombie: Zombie) -> None:
    lease_ms = 900
    await bench.start(task(zombie.job), lease_ms=lease_ms)
    await bench.submit("job")
    await zombie.running.wait()
    beats: list[int] = []
    # A busy machine may delay a beat, so not every step has to be short.
    while not any(later - earlier < lease_ms / 2 for earlier, later in itertools.pairwise(beats)):
        (info,) = await bench.queue.workers()
        if info.seen_at not in beats:
            beats.append(info.seen_at)
        await asyncio.sleep(0.01)


class SlowAnswers(SqliteQueue):
    """A queue whose answer to a claim comes after the cancel of a job in it."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.claimed = asyncio.Event()
        self.cancel_heard = asyncio.Event()

    async def claim(self, claim: Claim) -> list[Job]:
        jobs = await super().claim(claim)
        if jobs:
            self.claimed.set()
            await self.cancel_heard.wait()
        return jobs

    async def wait_for_cancels(
        self, worker_id: str, timeout: float, *, known: Sequence[Lease] = ()
    ) -> list[Lease]:
        asked = await super().wait_for_cancels(worker_id, timeout, known=known)
        if asked:
            self.cancel_heard.set()
        return asked


async def test_a_cancel_that_overtakes_its_claim_keeps_the_job_from_starting(
    bench: Bench,
) -> None:
    began: list[str] = []

    async def job() -> None:
        began.append(current_job().job_id)

    job_id = await bench.submit("job")
    async with SlowAnswers(bench.path) as slow:
        worker = WorkerService(a_spec(task(job), lease_ms=LONG_LEASE_MS), slow)
        await worker.start()
        await slow.claimed.wait()
        await bench.queue.cancel([job_id], "not needed")
        assert (await bench.finished(job_id)).status is JobStatus.CANCELLED
        await worker.stop()
    assert began == []


async def test_a_heartbeat_that_cannot_begin_says_so(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_loop(main: object) -> None:
        main.close()  # type: ignore[attr-defined]
        raise OSError("too many open files")

    monkeypatch.setattr("conduit.engine.claims.heartbeat.asyncio.run", no_loop)
    heartbeat = Heartbeat(
        bench.queue.sibling, "orders-1", 900, list, dict, lambda lease, held: None, lambda: None
    )
    with pytest.raises(RuntimeError, match="can't run an event loop"):
        heartbeat.start()
    assert "too many open files" in caplog.text
    await heartbeat.stop()
