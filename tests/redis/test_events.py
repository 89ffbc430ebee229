"""The event stream and its groups of readers: made, destroyed, taken over, trimmed, watched."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from conduit.core.events import EventKind
from conduit.queue.base import Registration, Retention, StoredEntry
from conduit.queue.redis import RedisQueue, checks
from conduit.queue.redis import queue as queue_module
from conduit.queue.redis.keys import Keys
from tests.conformance.builders import a_job, a_worker, claim, completed, submit, sweep
from tests.redis.conftest import Connect
from tests.redis.support import execute, until
from tests.servers.fixtures import StartRedis
from tests.servers.redis import RedisServer, binary


@pytest.fixture
async def queue(server: RedisServer, connect: Connect, namespace: str) -> RedisQueue:
    return await connect(f"{server.url}?namespace={namespace}")


@pytest.fixture
def stream(namespace: str) -> str:
    return Keys(namespace).name("events")


def ids_of(entries: list[StoredEntry]) -> list[str]:
    """The jobs that entries tell of, in order."""
    return [event.job_id for stored in entries for event in stored.entry.events]


async def fill(queue: RedisQueue, many: int) -> list[str]:
    """So many entries of one event each."""
    return [(await submit(queue, queue="unread")).id for _ in range(many)]


# Groups


async def test_consumers_that_make_a_group_at_once_share_what_there_is(
    queue: RedisQueue, server: RedisServer, connect: Connect, namespace: str
) -> None:
    ids = await fill(queue, 20)
    readers = [await connect(f"{server.url}?namespace={namespace}") for _ in range(4)]
    answers = await asyncio.gather(
        *(reader.read_events("g", f"c{n}", limit=5) for n, reader in enumerate(readers))
    )
    assert sorted(ids_of([stored for entries in answers for stored in entries])) == sorted(ids)


async def test_a_destroyed_group_is_made_again_at_the_oldest_entry(
    queue: RedisQueue, server: RedisServer, stream: str
) -> None:
    ids = await fill(queue, 3)
    entries = await queue.read_events("g", "c")
    await queue.ack("g", [stored.position for stored in entries])
    await execute(server, "XGROUP", "DESTROY", stream, "g")
    assert ids_of(await queue.read_events("g", "c")) == ids
    await execute(server, "XGROUP", "DESTROY", stream, "g")
    assert await queue.claim_stale("g", "c", 0) == []
    assert ids_of(await queue.read_events("g", "c")) == ids


async def consumers(server: RedisServer, stream: str) -> list[str]:
    """Whom the server remembers of the group g."""
    found = await execute(server, "XINFO", "CONSUMERS", stream, "g")
    return sorted(each["name"] for each in found)


async def test_idle_consumers_that_hold_nothing_are_forgotten(
    queue: RedisQueue, server: RedisServer, stream: str
) -> None:
    await fill(queue, 2)
    await queue.read_events("g", "holds", limit=1)
    for name in ("a", "b", "c"):
        entries = await queue.read_events("g", name, limit=1)
        await queue.ack("g", [stored.position for stored in entries])
        await execute(server, "XGROUP", "CREATECONSUMER", stream, "g", name)
    await queue.forget_consumers("g", 3_600_000)
    assert await consumers(server, stream) == ["a", "b", "c", "holds"]
    await queue.forget_consumers("g", 0, only="b")
    await queue.forget_consumers("g", 0, only="holds")
    assert await consumers(server, stream) == ["a", "c", "holds"]
    await queue.forget_consumers("other", 0)
    await queue.forget_consumers("g", 0)
    assert await consumers(server, stream) == ["holds"]


async def test_a_group_destroyed_under_a_waiting_reader_is_made_again(
    start_redis: StartRedis, connect: Connect, request: pytest.FixtureRequest
) -> None:
    server = start_redis(binary=binary("valkey"))
    queue = await connect(server.url)
    stream = Keys("default").name("events")
    assert await queue.read_events("g", "c") == []
    reading = asyncio.create_task(queue.read_events("g", "c", timeout=30))
    await until(lambda: _blocked(server))
    await execute(server, "XGROUP", "DESTROY", stream, "g")
    new = await submit(queue)
    assert ids_of(await reading) == [new.id]


async def _blocked(server: RedisServer) -> bool:
    return int((await asyncio.to_thread(server.info))["blocked_clients"]) > 0


async def test_a_reader_that_waits_is_told_at_once_and_stands_in_nobodys_way(
    queue: RedisQueue,
) -> None:
    waits = [asyncio.create_task(queue.read_events(f"g{n}", "c", timeout=30)) for n in range(40)]
    await asyncio.sleep(0)
    new = await submit(queue)
    assert [ids_of(entries) for entries in await asyncio.gather(*waits)] == [[new.id]] * 40


async def test_dead_entries_behind_a_hundred_live_ones_are_taken_over(
    queue: RedisQueue, server: RedisServer, stream: str
) -> None:
    ids = await fill(queue, 200)
    entries = await queue.read_events("g", "dead", limit=200)
    live = [stored.position for stored in entries[:100]]
    for number in range(0, 200, 50):  # both as old as can be, then the first half is fresh
        some = [stored.position for stored in entries[number : number + 50]]
        await execute(server, "XCLAIM", stream, "g", "dead", 0, *some, "IDLE", 3_600_000, "JUSTID")
    await execute(server, "XCLAIM", stream, "g", "alive", 0, *live, "IDLE", 0, "JUSTID")
    taken: list[StoredEntry] = []
    while got := await queue.claim_stale("g", "heir", 60_000, limit=5):
        assert len(got) <= 5
        taken += got
    assert ids_of(taken) == ids[100:]
    assert {stored.deliveries for stored in taken} == {2}


async def test_an_entry_deleted_by_hand_does_not_stop_a_takeover(
    queue: RedisQueue, server: RedisServer, stream: str
) -> None:
    ids = await fill(queue, 5)
    entries = await queue.read_events("g", "dead")
    await execute(server, "XDEL", stream, entries[0].position, entries[2].position)
    taken = await queue.claim_stale("g", "heir", 0)
    assert ids_of(taken) == [ids[1], ids[3], ids[4]]


# Trimming


async def test_entries_are_dropped_only_when_every_group_has_settled_them(
    queue: RedisQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_module, "MAX_ENTRIES", 2)
    ids = await fill(queue, 10)
    quick = await queue.read_events("quick", "c")
    await queue.ack("quick", [stored.position for stored in quick])
    slow = await queue.read_events("slow", "c", limit=7)
    await queue.ack("slow", [stored.position for stored in slow[:4]])
    await sweep(queue)
    assert ids_of(await queue.read_events("new", "c")) == ids[4:]

    await queue.ack("slow", [stored.position for stored in slow[4:]])
    await sweep(queue)
    held = await queue.claim_stale("new", "d", 0)
    assert ids_of(held) == ids[4:]  # that group hasn't settled them
    await queue.ack("new", [stored.position for stored in held])
    assert ids_of(await queue.read_events("slow", "c")) == ids[7:]
    await sweep(queue)
    assert ids_of(await queue.read_events("newer", "c")) == ids[7:]


async def test_a_group_that_has_read_nothing_yet_keeps_everything(
    queue: RedisQueue, server: RedisServer, stream: str
) -> None:
    ids = await fill(queue, 5)
    await execute(server, "XGROUP", "CREATE", stream, "idle", "0")
    await sweep(queue, events_ms=0)
    assert ids_of(await queue.read_events("idle", "c")) == ids


async def test_an_entry_deleted_by_hand_does_not_let_others_be_dropped(
    queue: RedisQueue, server: RedisServer, stream: str
) -> None:
    ids = await fill(queue, 5)
    entries = await queue.read_events("g", "c")
    await execute(server, "XDEL", stream, entries[0].position)
    await sweep(queue, events_ms=0)
    assert ids_of(await queue.read_events("late", "c")) == ids[1:]


async def test_without_groups_old_entries_and_those_too_many_go(
    queue: RedisQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(queue, 350)
    monkeypatch.setattr(queue_module, "MAX_ENTRIES", 300)
    await sweep(queue)
    assert len(await queue.read_events("one", "c", limit=1000)) == 300
    monkeypatch.undo()
    one = await queue.read_events("two", "c", limit=1000)
    for group in ("one", "two"):
        await queue.ack(group, [stored.position for stored in one])
    while (await sweep(queue, events_ms=0, results_ms=0)).more:
        pass
    assert await queue.read_events("three", "c") == []


async def test_health_warns_of_a_group_that_falls_behind(
    queue: RedisQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await queue.health()).warnings == ()
    monkeypatch.setattr(checks, "WARN_ENTRIES", 10)
    await fill(queue, 11)
    (warning,) = (await queue.health()).warnings
    assert "11 entries wait" in warning
    assert "XINFO GROUPS" in warning


# Entries


async def test_a_batch_is_told_in_entries_of_at_most_500_events(queue: RedisQueue) -> None:
    for options in ({}, {"priority": 1}):
        jobs = [a_job(queue="unread", **options) for _ in range(1201)]
        await queue.submit(jobs)
        entries = await queue.read_events("g", "c")
        assert [len(stored.entry.events) for stored in entries] == [500, 500, 201]
        assert ids_of(entries) == [job.id for job in jobs]


async def test_large_payloads_are_told_in_entries_that_stay_small(queue: RedisQueue) -> None:
    large = b'"' + b"x" * (1024 * 1024) + b'"'
    jobs = [a_job(queue="unread", args=large) for _ in range(10)]
    await queue.submit(jobs)
    entries = await queue.read_events("g", "c")
    assert ids_of(entries) == [job.id for job in jobs]
    assert max(len(stored.entry.events) for stored in entries) <= 4


async def test_reports_of_workers_are_told_in_their_place(queue: RedisQueue) -> None:
    await queue.register(Registration(worker=a_worker()))
    job = await completed(queue)
    await queue.unregister("w1")
    entries = await queue.read_events("g", "c")
    told: list[Any] = []
    for stored in entries:
        told += [(report.kind, report.subject) for report in stored.entry.reports]
        told += [event.kind for event in stored.entry.events]
    assert told == [
        ("worker.started", "w1"),
        EventKind.SUBMITTED,
        EventKind.STARTED,
        EventKind.COMPLETED,
        ("worker.stopped", "w1"),
    ]
    assert set(ids_of(entries)) == {job.id}
    assert [stored.position for stored in entries] == sorted(
        (stored.position for stored in entries), key=lambda at: tuple(map(int, at.split("-")))
    )


async def test_a_stream_that_grows_under_its_readers_loses_and_doubles_nothing(
    queue: RedisQueue, server: RedisServer, connect: Connect, namespace: str
) -> None:
    reader = await connect(f"{server.url}?namespace={namespace}")
    seen: list[str] = []

    async def read() -> None:
        while len(seen) < 300:
            entries = await reader.read_events("g", "c", limit=7, timeout=1)
            seen.extend(ids_of(entries))
            await reader.ack("g", [stored.position for stored in entries])

    reading = asyncio.create_task(read())
    ids: list[str] = []
    for _ in range(100):
        ids += await fill(queue, 3)
        await sweep(queue, events_ms=0, results_ms=Retention().results_ms)
        await claim(queue)
    await reading
    assert seen == ids
