"""The reconciler: whatever the event stream lost, the history comes to what the queue says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import update

from conduit.core.events import Entry, Event, EventKind
from conduit.core.model import Artifact, JobStatus, Level, LogLine
from conduit.core.transitions import OutcomeKind
from conduit.queue import open_queue
from conduit.queue.base import Queue, Retention, StoredEntry
from conduit.queue.redis.keys import Keys
from conduit.server.db import tables
from conduit.server.db.counts import by_status
from conduit.server.db.database import Database
from conduit.server.ingest.apply import apply_entries, wall_clock
from conduit.server.ingest.consumer import GROUP, IDLE_MS, Ingest
from conduit.server.ingest.reconciler import LOCK, Healed, Reconciler, rebuild
from tests.conformance.backends import Backend
from tests.conformance.builders import (
    DAY,
    a_job,
    claim_one,
    complete,
    completed,
    fail,
    finish,
    note,
    retry,
    running,
    submit,
)
from tests.conformance.history import Reader
from tests.server.ingest.conftest import Heard, all_of, awaited, rows, rows_of, until
from tests.server.ingest.lives import events_in
from tests.servers.fixtures import StartRedis

Kept = Callable[[Event], bool]


async def take_in(queue: Queue, database: Database, kept: Kept = lambda _: True) -> list[Event]:
    """Apply the events of a queue, save those that got lost; those lost."""
    events = events_in(await Reader().read(queue))
    entry = Entry(tuple(event for event in events if kept(event)))
    async with database.begin() as connection:
        await apply_entries(connection, [StoredEntry("1", entry)], now=1)
    return [event for event in events if not kept(event)]


def impatient(queue: Queue, database: Database, heard: Heard, **how: Any) -> Reconciler:
    """A reconciler that takes what is wrong for wrong at once."""
    return Reconciler(queue, database, heard, grace_ms=0, untouched_ms=0, **how)


async def reconcile(queue: Queue, database: Database, heard: Heard, **how: Any) -> Healed:
    """One round of one that then leaves."""
    reconciler = impatient(queue, database, heard, **how)
    done = await reconciler.run_once()
    await reconciler.stop()
    return done


async def test_a_gap_that_stays_is_closed_by_the_queue(
    queue: Queue, database: Database, heard: Heard
) -> None:
    job = await running(queue)
    await note(queue, job, logs=(LogLine(1, Level.INFO, "shop", "first"),))
    await note(queue, job, logs=(LogLine(1, Level.INFO, "shop", "second"),))
    await fail(queue, job)
    lost = await take_in(queue, database, lambda event: event.seq not in (2, 3))
    assert (await rows(database))[job.id].status is JobStatus.QUEUED

    done = await reconcile(queue, database, heard)
    assert (done.healed, done.lost) == (1, 0)
    assert await rows(database) == rows_of(await queue.get([job.id]))
    assert [line.message for line in await all_of(database, tables.logs)] == ["first", "second"]
    (attempt,) = await all_of(database, tables.attempts)
    assert (attempt.worker_id, attempt.outcome) == ("w1", "failed")
    assert await all_of(database, tables.parked_events) == []
    assert [(change.subject, change.kind) for change in heard.changes] == [(job.id, "job.healed")]

    async with database.begin() as connection:  # they come after all
        await apply_entries(connection, [StoredEntry("2", Entry(tuple(lost)))], now=2)
    assert await rows(database) == rows_of(await queue.get([job.id]))
    assert await all_of(database, tables.parked_events) == []


async def test_a_job_that_the_history_never_heard_of_is_found(
    queue: Queue, database: Database, heard: Heard
) -> None:
    job = await completed(queue)
    waiting = await submit(queue)
    await reconcile(queue, database, heard)
    assert await rows(database) == rows_of(await queue.get([job.id, waiting.id]))
    (attempt,) = await all_of(database, tables.attempts)
    assert (attempt.outcome, attempt.worker_id) == ("completed", "w1")


async def test_whom_a_job_waits_for_is_found_in_the_queue_where_no_event_told_it(
    queue: Queue, database: Database, heard: Heard
) -> None:
    first = await submit(queue)
    last = await submit(queue, after=(first.id,))
    await reconcile(queue, database, heard)
    assert await rows(database) == rows_of(await queue.get([first.id, last.id]))
    assert await awaited(database) == {(last.id, first.id)}


async def test_what_the_history_has_forgotten_before_the_queue_stays_forgotten(
    backend: Backend, database: Database, heard: Heard
) -> None:
    queue = backend.queue
    await completed(queue)
    backend.clock.advance(1)
    young = await completed(queue)

    async def kept_since() -> int:
        assert young.finished_at is not None
        return young.finished_at

    done = await reconcile(queue, database, heard, kept_since=kept_since)
    assert done.healed == 1
    assert await rows(database) == rows_of(await queue.get([young.id]))


async def test_a_finished_job_whose_new_generation_went_unheard_is_found(
    queue: Queue, database: Database, heard: Heard
) -> None:
    job = await running(queue)
    await fail(queue, job)
    await take_in(queue, database)
    await retry(queue, job.id)
    await claim_one(queue)
    await reconcile(queue, database, heard)
    assert await rows(database) == rows_of(await queue.get([job.id]))
    first, second = await all_of(database, tables.attempts)
    assert (first.outcome, second.outcome, second.ended_at) == ("failed", None, None)


async def test_a_row_whose_last_event_was_lost_does_not_stay_running(
    queue: Queue, database: Database, heard: Heard
) -> None:
    job = await running(queue)
    await complete(queue, job)
    await take_in(queue, database, lambda event: event.kind is not EventKind.COMPLETED)
    assert (await rows(database))[job.id].status is JobStatus.RUNNING
    await reconcile(queue, database, heard)
    assert await rows(database) == rows_of(await queue.get([job.id]))
    (attempt,) = await all_of(database, tables.attempts)
    assert (attempt.outcome, attempt.ended_at) == (
        "completed",
        (await get_row(database)).finished_at,
    )


async def get_row(database: Database) -> Any:
    (row,) = (await rows(database)).values()
    return row


async def test_what_is_only_on_its_way_is_left_alone(
    queue: Queue, database: Database, heard: Heard
) -> None:
    job = await running(queue)
    events = events_in(await Reader().read(queue))
    patient = Reconciler(queue, database, heard, untouched_ms=0)
    assert (await patient.run_once()).looked_at == 0
    await patient.stop()
    async with database.begin() as connection:
        await apply_entries(connection, [StoredEntry("1", Entry(tuple(events)))], now=1)
    done = await reconcile(queue, database, heard)
    assert (done.healed, heard.changes) == (0, [])
    assert await rows(database) == rows_of(await queue.get([job.id]))


async def test_what_a_killed_server_had_read_is_waited_for_until_another_takes_it_over(
    queue: Queue, database: Database, heard: Heard
) -> None:
    job = await running(queue)
    read = await Reader().read(queue)
    await finish(queue, job, OutcomeKind.RETRY_LATER)
    late = events_in(await Reader().read(queue))[-1:]
    until_takeover_ms = round(1.5 * IDLE_MS)
    async with database.begin() as connection:
        parked_at = wall_clock() - until_takeover_ms
        await apply_entries(connection, [StoredEntry("1", Entry(tuple(late)))], now=parked_at)
    patient = Reconciler(queue, database, heard)
    assert (await patient.run_once()).looked_at == 0
    await patient.stop()
    async with database.begin() as connection:
        await apply_entries(connection, read, now=wall_clock())
    assert await rows(database) == rows_of(await queue.get([job.id]))


async def test_unfinished_jobs_that_the_queue_lost_have_failed_and_say_why(
    start_redis: StartRedis, database: Database, heard: Heard
) -> None:
    server = start_redis()
    async with open_queue(server.url) as queue:
        over = await completed(queue)
        busy = await running(queue)
        waiting = await submit(queue)
        await take_in(queue, database)
        with server.client() as client:
            client.flushall()
        new = await submit(queue)

        done = await reconcile(queue, database, heard)
        assert (done.healed, done.lost) == (1, 2)
        found = await rows(database)
        told = {job_id: (row.status, row.reason) for job_id, row in found.items()}
        assert told == {
            over.id: (JobStatus.COMPLETED, None),
            busy.id: (JobStatus.FAILED, "queue_data_lost"),
            waiting.id: (JobStatus.FAILED, "queue_data_lost"),
            new.id: (JobStatus.QUEUED, None),
        }
        assert found[busy.id].finished_at is not None
        (attempt,) = [a for a in await all_of(database, tables.attempts) if a.job_id == busy.id]
        assert (attempt.outcome, attempt.reason) == ("failed", "queue_data_lost")

        await queue.submit([waiting])  # and it lives again
        await reconcile(queue, database, heard)
        assert (await rows(database))[waiting.id].status is JobStatus.QUEUED


async def test_a_job_given_up_too_early_goes_on_with_its_next_event(
    queue: Queue, database: Database, heard: Heard
) -> None:
    job = await running(queue)
    (submitted, started) = events_in(await Reader().read(queue))
    async with database.begin() as connection:
        await apply_entries(connection, [StoredEntry("1", Entry((submitted,)))], now=1)
    other = await another_queue_of_nothing(queue)
    await reconcile(other, database, heard)
    assert (await get_row(database)).reason == "queue_data_lost"

    async with database.begin() as connection:
        await apply_entries(connection, [StoredEntry("2", Entry((started,)))], now=2)
    assert await rows(database) == rows_of(await queue.get([job.id]))


async def another_queue_of_nothing(queue: Queue) -> Queue:
    """The queue, as if all jobs in it were lost."""

    class Empty:
        def __getattr__(self, verb: str) -> Any:
            return getattr(queue, verb)

        async def get(self, job_ids: Sequence[str]) -> list[None]:
            return [None] * len(job_ids)

        async def find(self, *args: Any, **kwargs: Any) -> Any:
            page = await queue.find(*args, **kwargs)
            return type(page)([], 0)

    empty: Any = Empty()
    return empty


async def test_nothing_is_called_lost_while_the_ingest_is_behind(
    backend: Backend, database: Database, heard: Heard
) -> None:
    queue = backend.queue
    job = await completed(queue)
    late = await take_in(queue, database, lambda event: event.kind is not EventKind.COMPLETED)
    backend.clock.advance(2 * DAY)
    await queue.sweep(Retention())
    assert await queue.get([job.id]) == [None]

    await reconcile(queue, database, heard, caught_up=lambda: False)
    assert (await get_row(database)).status is JobStatus.RUNNING
    async with database.begin() as connection:
        await apply_entries(connection, [StoredEntry("2", Entry(tuple(late)))], now=2)
    await reconcile(queue, database, heard)
    assert (await get_row(database)).status is JobStatus.COMPLETED


async def test_an_event_whose_job_nobody_knows_does_not_wait_for_ever(
    backend: Backend, database: Database, heard: Heard
) -> None:
    queue = backend.queue
    await completed(queue)
    await take_in(queue, database, lambda event: event.kind is not EventKind.SUBMITTED)
    backend.clock.advance(2 * DAY)
    await queue.sweep(Retention())
    await reconcile(queue, database, heard)
    assert await all_of(database, tables.parked_events) == []
    assert await rows(database) == {}


async def test_a_queue_that_went_back_in_time_is_followed(
    tmp_path: Path, database: Database, heard: Heard
) -> None:
    path = tmp_path / "queue.db"
    async with open_queue(f"sqlite:///{path}") as queue:
        job = await running(queue)
    backup = path.read_bytes()
    async with open_queue(f"sqlite:///{path}") as queue:
        await note(queue, job, progress=0.5)
        await fail(queue, job)
        await take_in(queue, database)
    path.write_bytes(backup)

    async with open_queue(f"sqlite:///{path}") as queue:
        await finish(queue, job, OutcomeKind.RETRY_LATER, delay_ms=60_000)
        await take_in(queue, database)
        await reconcile(queue, database, heard)
        await reconcile(queue, database, heard)
        assert await rows(database) == rows_of(await queue.get([job.id]))


async def test_of_several_servers_one_reconciles_at_a_time(
    queue: Queue, database: Database, heard: Heard
) -> None:
    first = impatient(queue, database, heard, every_s=3600)
    second = impatient(queue, database, heard)
    await first.start()
    await until(lambda: first.metrics.rounds > 0)
    job = await submit(queue)
    assert (await second.run_once()).looked_at == 0
    await first.stop()
    await second.run_once()
    assert await rows(database) == rows_of(await queue.get([job.id]))


async def test_services_that_are_stopped_leave_nothing_behind_and_a_second_time_do_nothing(
    start_redis: StartRedis, database: Database, heard: Heard
) -> None:
    server = start_redis()
    queue = open_queue(server.url)
    await queue.open()
    ingest = Ingest(queue, database, heard)
    reconciler = Reconciler(queue, database, heard, every_s=0.01)
    await ingest.start()
    await reconciler.start()
    job = await submit(queue)
    await heard.until_kind(job.id, "job.submitted")
    await until(lambda: reconciler.metrics.rounds > 0)
    await ingest.stop()
    await reconciler.stop()
    with server.client() as client:
        assert client.xinfo_consumers(Keys("default").name("events"), GROUP) == []
    other = open_queue(server.url)
    async with other:
        assert await other.lock(LOCK, "another server", 1_000)

    await queue.close()
    await ingest.stop()
    await reconciler.stop()
    with server.client() as client:
        await until(lambda: len(client.client_list()) == 1)


async def test_a_history_is_rebuilt_from_what_the_queue_has(
    queue: Queue, database: Database
) -> None:
    job = await running(queue)
    await note(
        queue,
        job,
        logs=(LogLine(1, Level.INFO, "shop", "a line"),),
        artifact=Artifact("report", "text/plain", 2, "0" * 64),
        data=b"ok",
    )
    await complete(queue, job)
    jobs = [a_job() for _ in range(1200)]
    await queue.submit(jobs)
    gone = JobStatus.FAILED
    async with database.begin() as connection:
        other = Event(
            kind=EventKind.SUBMITTED,
            job_id="gone",
            seq=1,
            attempt=0,
            at=1,
            status=JobStatus.QUEUED,
            submission=(await Reader().read(queue))[0].entry.events[0].submission,
        )
        await apply_entries(connection, [StoredEntry("1", Entry((other,)))], now=1)

        await connection.execute(update(tables.job_counts).values(many=99))

    done = await rebuild(queue, database, now=2)
    assert (done.healed, done.lost) == (1201, 1)
    async with database.read() as connection:
        assert sum((await by_status(connection)).values()) == 1202
    found = await rows(database)
    assert found.pop("gone").status is gone
    assert found == rows_of(await queue.get([job.id, *(new.id for new in jobs)]))
    assert [line.message for line in await all_of(database, tables.logs)] == ["a line"]
    assert [kept.name for kept in await all_of(database, tables.artifacts)] == ["report"]

    again = await rebuild(queue, database, now=3)
    assert (again.healed, again.lost) == (0, 0)


async def test_ingest_and_reconciler_together_survive_a_flush_and_a_lost_event(
    start_redis: StartRedis, database: Database, heard: Heard
) -> None:
    server = start_redis()
    async with open_queue(server.url) as queue:
        ingest = Ingest(queue, database, heard)
        reconciler = Reconciler(
            queue,
            database,
            heard,
            caught_up=lambda: ingest.caught_up,
            every_s=0.05,
            grace_ms=100,
            untouched_ms=100,
        )
        await ingest.start()
        await reconciler.start()
        lost = await running(queue)
        await heard.until_kind(lost.id, "job.started")
        with server.client() as client:
            client.flushall()
        await heard.until(
            lambda changes: any(b"queue_data_lost" in change.data for change in changes)
        )

        # An entry that another consumer took and acknowledged without a word.
        stolen = await submit(queue)
        await queue.read_events(GROUP, "thief")
        await heard.until(lambda changes: any(c.subject == stolen.id for c in changes))
        await reconciler.stop()
        await ingest.stop()
        assert (await rows(database))[stolen.id].status is JobStatus.QUEUED
        assert reconciler.metrics.lost == 1
