"""The ingest as a service: acknowledged only once committed, taken over, held up by nothing."""

from __future__ import annotations

import asyncio
import logging
import re
import signal
import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest
from sqlalchemy import text

from conduit.core.model import Level, LogLine
from conduit.queue import open_queue
from conduit.queue.base import Queue, Registration
from conduit.server.db import tables
from conduit.server.db.database import Database
from conduit.server.ingest.consumer import GROUP, Ingest
from conduit.server.ingest.dead import DeadLetter, Replay, list_letters, replay
from tests.conformance.backends import Backend
from tests.conformance.builders import (
    a_job,
    a_worker,
    claim_one,
    complete,
    note,
    running,
    submit,
)
from tests.server.ingest.conftest import Heard, all_of, rows, rows_of, until
from tests.server.ingest.lives import Lives
from tests.servers.fixtures import StartPostgres, StartRedis

DYING = Path(__file__).with_name("dying_server.py")


async def pending(queue: Queue) -> int:
    """How many entries of the stream nobody has settled."""
    return len(await queue.claim_stale(GROUP, "test", 0, limit=10_000))


async def test_what_happens_to_a_job_is_in_the_history_and_published(
    live_queue: Queue, database: Database, heard: Heard
) -> None:
    ingest = Ingest(live_queue, database, heard)
    await ingest.start()
    job = await running(live_queue)
    await note(live_queue, job, progress=0.5, logs=(LogLine(1, Level.INFO, "shop", "half"),))
    await complete(live_queue, job, result=b'"done"')
    await heard.until_kind(job.id, "job.completed")
    await ingest.stop()

    assert await rows(database) == rows_of(await live_queue.get([job.id]))
    (attempt,) = await all_of(database, tables.attempts)
    assert (attempt.outcome, attempt.worker_id) == ("completed", "w1")
    assert [line.message for line in await all_of(database, tables.logs)] == ["half"]
    assert await pending(live_queue) == 0
    assert ingest.metrics.lag_seconds == 0.0
    assert [change.id for change in heard.changes] == sorted(
        row.id for row in await all_of(database, tables.changes)
    )


async def test_reports_are_published_too(
    live_queue: Queue, database: Database, heard: Heard
) -> None:
    ingest = Ingest(live_queue, database, heard)
    await ingest.start()
    await live_queue.register(Registration(worker=a_worker()))
    await heard.until_kind("w1", "worker.started")
    await ingest.stop()
    assert heard.changes[0].topic == "worker"


# --- servers that die ---------------------------------------------------------------------------


async def kill_a_server(moment: str, queue_url: str, history_url: str) -> None:
    """Let a server take in what there is until it is killed at that moment."""
    server = await asyncio.create_subprocess_exec(
        sys.executable, str(DYING), moment, queue_url, history_url
    )
    assert await server.wait() == -signal.SIGKILL


async def test_a_server_killed_between_commit_and_acknowledgement_doubles_nothing(
    queue_url: str, live_queue: Queue, database: Database, history_url: str, heard: Heard
) -> None:
    job = await running(live_queue)
    await note(live_queue, job, logs=(LogLine(1, Level.INFO, "shop", "a line"),))
    await complete(live_queue, job)
    await kill_a_server("after_commit", queue_url, history_url)
    assert await rows(database) == rows_of(await live_queue.get([job.id]))

    ingest = Ingest(live_queue, database, heard, idle_ms=10)
    await ingest.start()
    await until(lambda: ingest.metrics.applied >= 4)
    await until(lambda: ingest.caught_up)
    await ingest.stop()
    assert await rows(database) == rows_of(await live_queue.get([job.id]))
    assert len(await all_of(database, tables.attempts)) == 1
    assert len(await all_of(database, tables.logs)) == 1
    assert await pending(live_queue) == 0


@pytest.mark.parametrize("moment", ["after_read", "before_commit"])
async def test_what_a_killed_server_had_only_read_is_taken_over(
    moment: str, queue_url: str, live_queue: Queue, tmp_path: Path, heard: Heard
) -> None:
    history_url = f"sqlite:///{tmp_path / 'history.db'}"
    job = await running(live_queue)
    await kill_a_server(moment, queue_url, history_url)

    async with Database(history_url) as database:
        assert await rows(database) == {}
        ingest = Ingest(live_queue, database, heard, idle_ms=10)
        await ingest.start()
        await heard.until_kind(job.id, "job.started")
        await ingest.stop()
        assert await rows(database) == rows_of(await live_queue.get([job.id]))


async def test_two_servers_share_the_work_and_agree_with_the_queue(
    queue_url: str, live_queue: Queue, database: Database, history_url: str, heard: Heard
) -> None:
    async with Database(history_url) as other_database, open_queue(queue_url) as other_queue:
        servers = [
            Ingest(live_queue, database, heard, idle_ms=200),
            Ingest(other_queue, other_database, heard, idle_ms=200),
        ]
        for server in servers:
            await server.start()
        jobs = [a_job() for _ in range(60)]
        await live_queue.submit(jobs)
        for _ in jobs:
            job = await claim_one(live_queue, limit=1)
            await note(live_queue, job, progress=0.5)
            await complete(live_queue, job)

        def all_completed(changes: list[Any]) -> bool:
            done = {change.subject for change in changes if b'"completed"' in change.data}
            return done == {job.id for job in jobs}

        await heard.until(all_completed)
        for server in servers:
            await server.stop()
    assert await rows(database) == rows_of(await live_queue.get([job.id for job in jobs]))
    assert len(await all_of(database, tables.attempts)) == len(jobs)
    assert await all_of(database, tables.parked_events) == []
    assert await pending(live_queue) == 0


# --- stores that come and go ----------------------------------------------------------------------


async def test_a_database_that_is_away_costs_nothing_but_time(
    tmp_path: Path,
    start_postgres: StartPostgres,
    heard: Heard,
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = start_postgres()
    async with (
        open_queue(f"sqlite:///{tmp_path / 'queue.db'}") as queue,
        Database(server.url, migrate=True) as database,
    ):
        ingest = Ingest(queue, database, heard)
        await ingest.start()
        first = await submit(queue)
        await heard.until_kind(first.id, "job.submitted")

        server.kill()
        later = await running(queue, function="other")
        await until(lambda: ingest.metrics.pending > 0)
        await complete(queue, later)
        await until(lambda: ingest.metrics.lag_seconds > 0.3)
        assert not ingest.caught_up
        server.start()
        await until(lambda: ingest.caught_up)
        await ingest.stop()

        assert await rows(database) == rows_of(await queue.get([first.id, later.id]))
        assert ingest.metrics.dead == ingest.metrics.failed == 0
        assert await pending(queue) == 0
    told = [record for record in caplog.records if record.name.startswith("conduit.server.ingest")]
    assert [record.levelno for record in told] == [logging.WARNING] * 2


async def test_a_flushed_redis_is_recovered_from_without_a_restart(
    start_redis: StartRedis, database: Database, heard: Heard
) -> None:
    server = start_redis()
    async with open_queue(server.url) as queue:
        ingest = Ingest(queue, database, heard)
        await ingest.start()
        before = await submit(queue)
        await heard.until_kind(before.id, "job.submitted")
        with server.client() as client:
            client.flushall()
        after = await submit(queue)
        await heard.until_kind(after.id, "job.submitted")
        await ingest.stop()


async def test_tables_that_are_missing_are_no_reason_to_give_an_event_up(
    live_queue: Queue, database: Database, heard: Heard
) -> None:
    ingest = Ingest(live_queue, database, heard)
    async with database.begin() as connection:
        await connection.execute(text("ALTER TABLE attempts RENAME TO attempts_elsewhere"))
    await ingest.start()
    job = await running(live_queue)
    await until(lambda: ingest.metrics.pending > 0)
    async with database.begin() as connection:
        await connection.execute(text("ALTER TABLE attempts_elsewhere RENAME TO attempts"))
    await heard.until_kind(job.id, "job.started")
    await ingest.stop()
    assert ingest.metrics.dead == ingest.metrics.failed == 0


# --- what can't be applied ------------------------------------------------------------------------


def poison(job_id: str, big: int) -> list[dict[str, Any]]:
    """Events that no history can take, each in its own way."""
    good = {"job_id": job_id, "seq": 2, "attempt": 1, "at": 1, "fence": 1}
    started = good | {"kind": "job.started", "status": "running"}
    return [
        started | {"job_id": "a\0b"},
        started | {"job_id": ""},
        started | {"seq": big},
        started | {"seq": 2**40},
        started | {"seq": 0},
        started | {"seq": "two"},
        started | {"fence": -1},
        started | {"kind": "job.abducted"},
        started | {"kind": 99},
        started | {"status": "completed"},
        started | {"status": "asleep"},
        started | {"kind": "job.submitted", "status": "queued"},
        started | {"kind": "job.progress", "progress": float("nan")},
        started | {"kind": "job.progress", "progress": "half"},
    ]


async def test_poison_in_the_stream_holds_up_nobody(
    backend: Backend, database: Database, heard: Heard, request: pytest.FixtureRequest
) -> None:
    queue = backend.queue
    is_sqlite = "sqlite-" in request.node.callspec.id
    job = await submit(queue)
    bad: list[Any] = poison(job.id, 2**70 if is_sqlite else 2**63)
    if is_sqlite:
        bad += [b'{"kind":"job.started","job_id":"\\ud800"}', b"null", b"[]"]
    else:
        bad += [b"\xa2\xff\xff", b"\xc0", b"\x90"]
    good = {
        "kind": "job.started",
        "job_id": job.id,
        "seq": 2,
        "attempt": 1,
        "at": 1,
        "status": "running",
        "fence": 1,
    }
    backend.append_garbage()
    for each in bad:
        backend.append_raw(each)
    backend.append_raw(good, bad[3])
    last = await submit(queue)

    ingest = Ingest(queue, database, heard)
    await ingest.start()
    await heard.until_kind(last.id, "job.submitted")
    await ingest.stop()

    known = await rows(database)
    assert {job_id: row.seq for job_id, row in known.items()} == {job.id: 2, last.id: 1}
    async with database.read() as connection:
        letters = await list_letters(connection)
    assert len(letters) == len(bad) + 2 == ingest.metrics.dead
    assert all(letter.body for letter in letters)
    for letter in letters:
        assert_is_a_sentence(letter)
    assert await pending(queue) == 0


def assert_is_a_sentence(letter: DeadLetter) -> None:
    """It says which event, what is wrong with it and what to do, in words."""
    about = letter.job_id or ("event stream" if "can't be read" in letter.reason else "job")
    assert about in letter.reason
    assert re.search(r"upgrade (of )?this server", letter.reason)
    assert not re.search(r"Error\b|\bb'|<class", letter.reason), letter.reason


async def test_what_the_database_refuses_is_tried_again_then_kept_and_can_be_replayed(
    live_queue: Queue, database: Database, heard: Heard
) -> None:
    await curse(database)
    good, bad = a_job(function="blessed"), a_job(function="cursed")
    also_good = a_job(function="blessed")
    await live_queue.submit([good, bad, also_good])

    ingest = Ingest(live_queue, database, heard, idle_ms=20)
    await ingest.start()
    await heard.until_kind(also_good.id, "job.submitted")
    assert (await rows(database)).keys() == {good.id, also_good.id}
    await until(lambda: ingest.metrics.dead > 0)
    await until(lambda: ingest.caught_up)
    await ingest.stop()
    assert ingest.metrics.failed == 5
    assert await pending(live_queue) == 0

    async with database.read() as connection:
        (letter,) = await list_letters(connection)
    assert (letter.job_id, letter.deliveries, letter.replayed_at) == (bad.id, 5, None)
    start = f"Event 1 of job {bad.id}, job.submitted, was refused by the database 5 times: "
    assert letter.reason.startswith(start)
    assert "curse" in letter.reason
    assert letter.reason.endswith("then replay it.")
    assert (await rows(database)).keys() == {good.id, also_good.id}

    await lift_the_curse(database)
    outcomes, changes = await replay(database, [letter.id, 99], now=7)
    assert outcomes == {letter.id: Replay.APPLIED, 99: Replay.UNKNOWN}
    assert [change.subject for change in changes] == [bad.id]
    assert await rows(database) == rows_of(await live_queue.get([good.id, bad.id, also_good.id]))
    async with database.read() as connection:
        assert [each.replayed_at for each in await list_letters(connection)] == [7]


async def curse(database: Database) -> None:
    """Make the database refuse jobs of one function."""
    words = (
        "ALTER TABLE jobs ADD CONSTRAINT curse CHECK (function <> 'cursed')"
        if database.is_postgresql
        else "CREATE TRIGGER curse BEFORE INSERT ON jobs WHEN new.function = 'cursed' "
        "BEGIN SELECT RAISE(ABORT, 'cursed'); END"
    )
    async with database.begin() as connection:
        await connection.execute(text(words))


async def lift_the_curse(database: Database) -> None:
    words = "ALTER TABLE jobs DROP CONSTRAINT curse"
    async with database.begin() as connection:
        await connection.execute(text(words if database.is_postgresql else "DROP TRIGGER curse"))


@pytest.mark.parametrize("seed", range(2))
async def test_random_lives_in_the_open_end_as_the_queue_has_them(
    backend: Backend, database: Database, heard: Heard, seed: int
) -> None:
    ingest = Ingest(backend.queue, database, heard)
    await ingest.start()
    lives = Lives(backend, Random(seed), backwards=True)
    await lives.go_on(200)
    await until(lambda: ingest.caught_up)
    jobs = list((await lives.jobs()).values())
    await until_equal(database, rows_of(jobs))
    await ingest.stop()


async def until_equal(database: Database, expected: dict[str, Any]) -> None:
    while await rows(database) != expected:  # noqa: ASYNC110
        await asyncio.sleep(0.02)
