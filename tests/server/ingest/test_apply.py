"""Events in the tables: however they come, by however many servers, they make the same rows."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import pytest

from conduit.core.events import Entry, Event
from conduit.core.model import Artifact, JobStatus
from conduit.queue.base import StoredEntry
from conduit.server.db import tables
from conduit.server.db.database import Database
from conduit.server.ingest.apply import Change, apply_entries
from conduit.server.ingest.fold import JobHistory
from tests.conformance.backends import Backend
from tests.conformance.builders import (
    a_job,
    claim,
    claim_one,
    complete,
    delete,
    get,
    note,
    running,
    submit,
)
from tests.conformance.history import Reader
from tests.server.ingest.conftest import all_of, awaited, awaited_of, rows, rows_of
from tests.server.ingest.lives import Lives, events_in


async def apply(database: Database, events: list[Event]) -> list[Change]:
    """Apply events in a transaction of their own."""
    async with database.begin() as connection:
        return await apply_entries(connection, [StoredEntry("1", Entry(tuple(events)))], now=1)


def batches(events: list[Event], random: Random) -> list[list[Event]]:
    """The events in any order, some of them twice, cut into batches of any size."""
    often = events + random.choices(events, k=len(events) // 3)
    random.shuffle(often)
    cut: list[list[Event]] = []
    while often:
        many = random.randint(1, 40)
        cut.append(often[:many])
        often = often[many:]
    return cut


async def parts(database: Database) -> list[Any]:
    """Attempts, logs and artifacts, all of them."""
    tables_ = (tables.attempts, tables.logs, tables.artifacts)
    return [await all_of(database, table) for table in tables_]


def parts_in_order(events: list[Event]) -> list[Any]:
    """What attempts, logs and artifacts should be."""
    histories: dict[str, JobHistory] = {}
    for event in events:
        histories.setdefault(event.job_id, JobHistory(event.job_id, now=1)).apply(event)
    each = [histories[job_id] for job_id in sorted(histories)]
    found: list[list[tuple[Any, ...]]] = [[], [], []]
    for history in each:
        for into, kept in zip(
            found, (history.attempts, history.logs, history.artifacts), strict=True
        ):
            into += [
                tuple(getattr(row, name) for name in row.__struct_fields__)
                for _, row in sorted(kept.items())
            ]
    return found


@pytest.mark.parametrize("seed", range(5))
async def test_shuffled_and_doubled_batches_make_the_queues_own_jobs(
    backend: Backend, database: Database, seed: int
) -> None:
    random = Random(seed)
    lives = Lives(backend, random, backwards=True)
    await lives.go_on(150)
    events = events_in(await lives.read())
    for batch in batches(events, random):
        await apply(database, batch)

    jobs = list((await lives.jobs()).values())
    assert await rows(database) == rows_of(jobs)
    assert await awaited(database) == awaited_of(jobs)
    assert [list(map(tuple, found)) for found in await parts(database)] == parts_in_order(events)
    for job_id, job in (await lives.jobs()).items():
        if job is not None:
            logs = [line for line in await all_of(database, tables.logs) if line.job_id == job_id]
            assert len(logs) == len(await backend.queue.logs(job_id))


@pytest.mark.parametrize("seed", range(2))
async def test_servers_that_apply_at_once_lose_no_event(
    backend: Backend, database: Database, history_url: str, seed: int
) -> None:
    random = Random(seed)
    lives = Lives(backend, random)
    await lives.go_on(150)
    events = events_in(await lives.read())
    cut = batches(events, random)

    async with Database(history_url) as other, Database(history_url) as third:
        servers = [database, other, third]

        async def share(number: int) -> None:
            for batch in cut[number :: len(servers)]:
                await apply(servers[number], batch)

        await asyncio.gather(*(share(number) for number in range(len(servers))))

    assert await rows(database) == rows_of(list((await lives.jobs()).values()))
    assert await all_of(database, tables.parked_events) == []


async def test_changes_are_numbered_in_the_order_in_which_they_are_committed(
    backend: Backend, database: Database, history_url: str
) -> None:
    queue = backend.queue
    await queue.submit([a_job() for _ in range(40)])
    events = events_in(await Reader().read(queue))
    seen: list[int] = []

    async with Database(history_url) as other:

        async def share(server: Database, number: int) -> None:
            for event in events[number::2]:
                changes = await apply(server, [event])
                seen.append(changes[-1].id)

        await asyncio.gather(share(database, 0), share(other, 1))
    stored = [row.id for row in await all_of(database, tables.changes)]
    assert sorted(seen) == stored
    assert len(stored) == len(set(stored)) == 40


async def test_a_batch_tells_of_each_job_once_with_what_it_has_come_to(
    backend: Backend, database: Database
) -> None:
    job = await submit(backend.queue)
    await complete(backend.queue, await claim_one(backend.queue))
    (change,) = await apply(database, events_in(await Reader().read(backend.queue)))
    assert (change.topic, change.subject, change.kind) == ("job", job.id, "job.completed")
    assert b'"status":"completed"' in change.data


async def test_a_deleted_job_leaves_nothing_and_does_not_come_back(
    backend: Backend, database: Database
) -> None:
    queue = backend.queue
    job = await submit(queue)
    await complete(queue, await claim_one(queue))
    backend.clock.advance(1)
    await delete(queue, job.id)
    events = events_in(await Reader().read(queue))

    await apply(database, events)
    assert await rows(database) == {}
    assert await parts(database) == [[], [], []]
    await apply(database, events)
    assert await rows(database) == {}

    backend.clock.advance(1)
    await queue.submit([job])
    await apply(database, events_in(await Reader().read(queue)))
    assert await rows(database) == rows_of(await queue.get([job.id]))


async def test_whom_a_job_waits_for_is_told_from_both_ends_until_it_is_deleted(
    backend: Backend, database: Database
) -> None:
    queue, reader = backend.queue, Reader()
    first, second = await submit(queue), await submit(queue)
    last = await submit(queue, after=(first.id, second.id))
    await apply(database, events_in(await reader.read(queue)))
    assert (await rows(database))[last.id].status is JobStatus.BLOCKED
    assert await awaited(database) == {(last.id, first.id), (last.id, second.id)}

    backend.clock.advance(5)
    for job in await claim(queue):
        await complete(queue, job)
    await apply(database, events_in(await reader.read(queue)))
    assert await rows(database) == rows_of(await queue.get([first.id, second.id, last.id]))
    assert (await rows(database))[last.id].run_at == (await get(queue, first.id)).finished_at

    await complete(queue, await claim_one(queue))
    await delete(queue, first.id)
    await apply(database, events_in(await reader.read(queue)))
    assert await awaited(database) == {(last.id, first.id), (last.id, second.id)}
    await delete(queue, last.id)
    await apply(database, events_in(await reader.read(queue)))
    assert await awaited(database) == set()


async def test_the_copy_of_an_artifact_is_good_as_long_as_its_bytes_are_the_same(
    backend: Backend, database: Database
) -> None:
    queue = backend.queue
    job = await running(queue)

    async def keep(sha256: str) -> Any:
        kept = Artifact("report", "text/plain", 2, sha256)
        await note(queue, job, artifact=kept, data=b"ok")
        await apply(database, events_in(await reader.read(queue)))
        (row,) = await all_of(database, tables.artifacts)
        return row

    reader = Reader()
    assert (await keep("a" * 64)).location is None
    async with database.begin() as connection:
        await connection.execute(tables.artifacts.update().values(location="here"))
    assert (await keep("a" * 64)).location == "here"
    assert (await keep("b" * 64)).location is None


async def test_words_that_a_database_cannot_hold_are_mended(
    backend: Backend, database: Database
) -> None:
    queue = backend.queue
    job = await submit(queue, key="k" * 5_000, args=b'{"order":"\\u0000"}')
    await queue.cancel([job.id], "no\0thing")
    await apply(database, events_in(await Reader().read(queue)))
    row = (await rows(database))[job.id]
    assert row.reason == "no\N{REPLACEMENT CHARACTER}thing"
    assert row.args == '{"order":"\\u0000"}'
    assert row.key is not None
    assert len(row.key) == 500
