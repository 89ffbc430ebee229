"""Live updates: in order, resumed where they were left, and never more than a client can take."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec
import pytest
from sqlalchemy import insert

from conduit.queue import open_queue
from conduit.server.db import tables
from conduit.server.db.database import Database, DatabaseUnavailableError
from conduit.server.http import live
from conduit.server.http.live import ROOM, Broker
from conduit.server.ingest.apply import Change, wall_clock
from conduit.server.models.fields import iso
from conduit.server.routes import stream as route
from conduit.server.service import ServerService
from tests.server.http.conftest import Serve, client_of, until
from tests.servers.fixtures import StartPostgres

CHANGE = Change(id=10**6, topic="job", subject="", kind="", data=b"", at=0)


async def write(database: Database, *subjects: str, topic: str = "job", at: int = 1) -> None:
    """Changes, as the ingest of some replica writes them."""
    async with database.begin() as connection:
        await connection.execute(
            insert(tables.changes),
            [
                {"topic": topic, "subject": subject, "kind": f"{topic}.x", "data": "{}", "at": at}
                for subject in subjects
            ],
        )


@pytest.fixture
async def broker(database: Database) -> AsyncIterator[Broker]:
    """One that looks often, on each kind of database."""
    broker = Broker(database, look_s=0.02)
    await broker.start()
    running = asyncio.create_task(broker.run())
    yield broker
    broker.close()
    running.cancel()
    await asyncio.wait({running})


class Client:
    """Reads a stream's events one by one."""

    def __init__(self, frames: Any) -> None:
        self._frames = frames
        self._waiting: list[dict[str, str]] = []
        self.last_id = ""

    async def next(self) -> dict[str, str]:
        while not self._waiting:
            self._waiting = [
                dict(line.split(": ", 1) for line in frame.splitlines())
                for frame in (await anext(self._frames)).decode().split("\n\n")
                if frame and not frame.startswith(":")
            ]
        event = self._waiting.pop(0)
        self.last_id = event["id"]
        return event

    async def subjects(self, count: int) -> list[str]:
        events = [await self.next() for _ in range(count)]
        return [msgspec.json.decode(event["data"])["subject"] for event in events]


async def test_changes_of_any_replica_reach_every_client_in_order(
    broker: Broker, database: Database
) -> None:
    async with (
        aclosing(await broker.stream([], None, None)) as one,
        aclosing(await broker.stream([], None, None)) as other,
    ):
        clients = [Client(one), Client(other)]
        assert [(await client.next())["event"] for client in clients] == ["ready", "ready"]
        await write(database, "a", "b")
        await write(database, "c")
        for client in clients:
            assert await client.subjects(3) == ["a", "b", "c"]


async def test_a_stream_is_of_some_topics_or_of_one_job(broker: Broker, database: Database) -> None:
    async with (
        aclosing(await broker.stream(["worker"], None, None)) as workers,
        aclosing(await broker.stream([], "b", None)) as job,
    ):
        for client in (topical := Client(workers), single := Client(job)):
            await client.next()
        await write(database, "a", "b")
        await write(database, "w", "b", topic="worker")
        assert await topical.subjects(2) == ["w", "b"]
        assert await single.subjects(1) == ["b"]
        await write(database, "b")
        assert await single.subjects(1) == ["b"]


async def test_a_client_goes_on_where_it_was_also_at_another_replica(
    broker: Broker, database: Database
) -> None:
    async with aclosing(await broker.stream([], None, None)) as stream:
        client = Client(stream)
        await client.next()
        await write(database, "a", "b")
        await client.subjects(2)
    await write(database, *(str(number) for number in range(1500)))

    replica = Broker(database, look_s=0.02)
    await replica.start()
    running = asyncio.create_task(replica.run())
    async with aclosing(await replica.stream([], None, client.last_id)) as stream:
        client = Client(stream)
        assert (await client.next())["event"] == "ready"
        assert await client.subjects(1500) == [str(number) for number in range(1500)]
        await write(database, "live")
        assert await client.subjects(1) == ["live"]
    running.cancel()
    await asyncio.wait({running})


@pytest.mark.parametrize("after", ["999999", "nonsense", "-1", "9" * 30, "1"])
async def test_where_it_was_is_not_known_any_more_it_loads_anew(
    broker: Broker, database: Database, after: str
) -> None:
    await write(database, "a", "b", "c")
    async with database.begin() as connection:  # retention
        await connection.execute(tables.changes.delete().where(tables.changes.c.subject != "c"))

    async with aclosing(await broker.stream([], None, after)) as stream:
        client = Client(stream)
        assert (await client.next())["event"] == "reset"
        await write(database, "d")
        assert await client.subjects(1) == ["d"]


async def test_a_client_that_does_not_read_is_let_go_and_costs_no_more_than_its_room(
    broker: Broker, database: Database
) -> None:
    async with (
        aclosing(await broker.stream([], None, None)) as slow,
        aclosing(await broker.stream([], None, None)) as quick,
    ):
        await anext(slow)
        reader = Client(quick)
        await reader.next()
        for _ in range(3):
            await write(database, *("x" for _ in range(ROOM // 2)))
            await reader.subjects(ROOM // 2)
        frames = [frame async for frame in slow]

    assert len(frames) == 1
    assert frames[0].startswith(b"event: reset\n")


async def test_when_ids_begin_anew_clients_load_anew(broker: Broker, database: Database) -> None:
    async with aclosing(await broker.stream([], None, None)) as stream:
        client = Client(stream)
        await client.next()
        await write(database, "a", "b")
        await client.subjects(2)
        async with database.begin() as connection:
            await connection.execute(tables.changes.delete())
        assert (await client.next())["event"] == "reset"


async def test_a_history_that_goes_away_ends_what_is_told_of_the_past_quietly(
    start_postgres: StartPostgres, caplog: pytest.LogCaptureFixture
) -> None:
    server = start_postgres()
    async with Database(server.url, migrate=True) as database:
        await write(database, *("x" for _ in range(1500)))
        broker = Broker(database)
        await broker.start()
        async with aclosing(await broker.stream([], None, "1")) as stream:
            await anext(stream)
            assert (await anext(stream)).count(b"event: job") == 1000
            await asyncio.to_thread(server.kill)
            assert [frame async for frame in stream] == []
        with pytest.raises(DatabaseUnavailableError):
            await broker.stream([], None, None)
        assert broker.clients == 0
    told = [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert len([each for each in told if each.name == "conduit.server.http.live"]) == 1


# --- over HTTP -------------------------------------------------------------------------------


async def test_the_stream_is_server_sent_events_that_end_with_the_server(
    serve: Serve, history: str
) -> None:
    server = await serve()
    now = wall_clock()  # what is old is removed
    lines: list[str] = []
    async with client_of(server) as api, api.stream("GET", "/stream?topic=job") as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store"
        async for line in answer.aiter_lines():
            lines.append(line)
            if line == "event: ready":
                async with Database(history) as database:
                    await write(database, "job-1", at=now)
                server.parts.broker.publish([CHANGE])
            if line.startswith("data:") and "job-1" in line:
                await server.stop()
    told = msgspec.json.decode(next(line for line in lines if "job-1" in line)[6:])
    assert told == {
        "id": 1, "topic": "job", "kind": "job.x", "subject": "job-1",
        "at": iso(now), "data": {},
    }  # fmt: skip


async def test_a_client_that_takes_nothing_is_let_go_and_others_are_told(
    serve: Serve, history: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(route, "SLOW_S", 0.2)
    server = await serve()
    at = urlsplit(server.url)
    async with client_of(server) as api, api.stream("GET", "/stream") as answer:
        _, sleeper = await asyncio.open_connection(at.hostname, at.port, limit=1)
        sleeper.write(b"GET /api/v1/stream HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")

        async def both_listen() -> bool:
            return server.parts.broker.clients == 2

        await until(both_listen)
        lines = answer.aiter_lines()
        assert await anext(lines) == "event: ready"
        async with Database(history) as database:
            for number in itertools.count():
                await write(database, "x" * 100_000, f"end of {number}", at=wall_clock())
                server.parts.broker.publish([CHANGE])
                assert [line async for line in until_told(lines, f"end of {number}")]
                if server.parts.broker.clients == 1:
                    break
        sleeper.close()


async def test_without_the_history_a_stream_is_refused_and_one_that_is_open_stays(
    serve: Serve, start_postgres: StartPostgres, caplog: pytest.LogCaptureFixture
) -> None:
    postgres = start_postgres()
    server = await serve(database_url=postgres.url, migrate=True)
    async with client_of(server) as api, api.stream("GET", "/stream") as answer:
        lines = answer.aiter_lines()
        assert await anext(lines) == "event: ready"
        await asyncio.to_thread(postgres.kill)
        for _ in range(3):
            refused = await api.get("/stream")
            assert refused.status_code == 503
            assert refused.headers["content-type"] == "application/problem+json"
            assert refused.json()["type"] == "urn:conduit:database-unavailable"
            assert int(refused.headers["retry-after"]) > 0

        await asyncio.to_thread(postgres.start)
        async with Database(postgres.url) as database:
            await write(database, "later", at=wall_clock())
        assert [line async for line in until_told(lines, "later")]
    assert not [each for each in caplog.records if each.levelno >= logging.ERROR]


async def test_a_pause_from_anywhere_is_told(serve: Serve, history: str, queue_url: str) -> None:
    server = await serve()
    async with client_of(server) as api, api.stream("GET", "/stream?topic=function") as answer:
        async for line in answer.aiter_lines():
            if line == "event: ready":
                async with open_queue(queue_url) as queue:
                    await queue.pause_function("charge")
            if line.startswith("data:") and "charge" in line:
                told = msgspec.json.decode(line[6:])
                break
    assert (told["topic"], told["kind"]) == ("function", "function.paused")


# --- the end of a session --------------------------------------------------------------------

KEY = "a-key-of-some-length"


async def sign_out_here(server: ServerService, cookies: httpx.Cookies, _: Database) -> None:
    async with client_of(server, cookies=cookies) as api:
        assert (await api.delete("/session")).status_code == 204


async def end_elsewhere(_: ServerService, __: httpx.Cookies, database: Database) -> None:
    async with database.begin() as connection:
        await connection.execute(tables.sessions.delete())


async def let_expire(_: ServerService, __: httpx.Cookies, database: Database) -> None:
    async with database.begin() as connection:
        await connection.execute(tables.sessions.update().values(expires_at=1))


@pytest.mark.parametrize("end", [sign_out_here, end_elsewhere, let_expire])
async def test_a_stream_ends_with_the_session_that_it_was_opened_in(
    serve: Serve,
    history: str,
    monkeypatch: pytest.MonkeyPatch,
    end: Callable[[ServerService, httpx.Cookies, Database], Awaitable[None]],
) -> None:
    monkeypatch.setattr(live, "SESSIONS_S", 3600 if end is sign_out_here else 0.1)
    server = await serve(api_keys=KEY)
    async with client_of(server) as api, Database(history) as database:
        signed_in = await api.post("/session", json={"key": KEY})
        assert signed_in.status_code == 200
        async with client_of(server) as other, api.stream("GET", "/stream") as answer:
            lines = answer.aiter_lines()
            assert await anext(lines) == "event: ready"
            by_key = {"Authorization": f"Bearer {KEY}"}
            async with other.stream("GET", "/stream", headers=by_key) as goes_on:
                assert await anext(others := goes_on.aiter_lines()) == "event: ready"
                await end(server, api.cookies, database)
                assert [line async for line in lines if line.startswith("event:")] == []
                await write(database, "later", at=wall_clock())
                assert [line async for line in until_told(others, "later")]
        assert (await api.get("/stream")).status_code == 401


async def until_told(lines: AsyncIterator[str], word: str) -> AsyncIterator[str]:
    """The first line with a word."""
    async for line in lines:
        if word in line:
            yield line
            return


async def test_a_filter_that_means_nothing_is_refused(api: httpx.AsyncClient) -> None:
    assert (await api.get("/stream?topic=weather")).status_code == 422
