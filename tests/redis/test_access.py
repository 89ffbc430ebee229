"""Who may use a server, over what connection, beside whom, and what is said to those who can't."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from conduit.core.errors import (
    ConduitError,
    ConfigurationError,
    QueueAccessError,
    QueueCorruptError,
    QueueError,
    QueueSchemaError,
)
from conduit.core.model import JobStatus, Level, LogLine
from conduit.queue.base import JobFilter, Registration, Retention, Submitted
from conduit.queue.redis import RedisQueue, checks
from conduit.queue.redis.keys import Keys
from tests.conformance.builders import (
    a_cron,
    a_function,
    a_job,
    a_worker,
    cancel,
    claim,
    claim_one,
    complete,
    completed,
    delete,
    get,
    note,
    running,
    submit,
)
from tests.conformance.history import events_of
from tests.redis.conftest import Connect
from tests.redis.support import execute, until
from tests.servers.fixtures import StartRedis
from tests.servers.process import free_port
from tests.servers.proxy import Certificate, Proxy
from tests.servers.redis import RedisServer, binary

ROOT = Path(__file__).parents[2]
DOCUMENTED = re.search(
    r"^ACL SETUSER conduit on >password (?P<rights>.+)$",
    (ROOT / "docs/redis.md").read_text("utf-8"),
    re.MULTILINE,
)


def documented_rights() -> str:
    assert DOCUMENTED is not None
    return f"on >secret {DOCUMENTED['rights']}"


async def refusal(url: str) -> ConduitError:
    """What opening the queue raises."""
    with pytest.raises(ConduitError) as caught:
        async with RedisQueue(url):
            pass
    return caught.value


# Passwords and rights


@pytest.mark.parametrize("name", ["valkey", "redis-6.2"])
@pytest.mark.parametrize(
    ("login", "words"),
    [
        ("", "wants a password"),
        (":wrong@", "doesn't accept this"),
        ("nobody:secret@", "doesn't accept this user and password"),
    ],
)
async def test_a_login_that_fails_is_an_access_error(
    start_redis: StartRedis, name: str, login: str, words: str
) -> None:
    server = start_redis(binary=binary(name), password="secret")
    error = await refusal(f"redis://{login}127.0.0.1:{server.port}")
    assert isinstance(error, QueueAccessError)
    assert words in str(error)
    assert "wrong" not in str(error).replace("WRONGPASS", "")
    assert error.exit_code == 3


async def test_a_password_for_a_server_without_one_is_an_access_error(
    redis_server: RedisServer,
) -> None:
    error = await refusal(redis_server.url_for(password="secret"))
    assert isinstance(error, QueueAccessError)
    assert "secret" not in str(error)


@pytest.fixture(params=["valkey", "redis-6.2"])
def guarded(request: pytest.FixtureRequest, start_redis: StartRedis) -> RedisServer:
    """A server with a user who has the rights that the documentation names, and no others."""
    return start_redis(binary=binary(request.param), users={"conduit": documented_rights()})


async def test_the_documented_rights_are_enough_for_all_of_conduit(
    guarded: RedisServer, connect: Connect, namespace: str
) -> None:
    queue = await connect(f"{guarded.url_for('conduit', 'secret')}?namespace={namespace}")
    await queue.health()
    await queue.register(
        Registration(worker=a_worker(), functions=(a_function(),), crons=(a_cron(),))
    )
    await queue.heartbeat("w1", 0)
    assert await queue.workers()
    assert await queue.functions()
    assert await queue.crons()
    assert await queue.pause_cron("nightly", paused=True)
    await queue.pause_function("task")
    await queue.resume_function("task")
    assert await queue.lock("sweeper", "mine", 60_000)
    assert await queue.unlock("sweeper", "mine")

    await queue.pause("default")
    new = await submit(queue, key="k", metadata=b'{"a":1}', priority=3)
    await queue.resume("default")
    waiting = asyncio.create_task(queue.wait_finished([new.id], 30))
    job = await claim_one(queue)
    line = LogLine(1, Level.INFO, "app", "hello")
    assert await note(queue, job, progress=0.5, metadata=b'{"b":2}', checkpoint=b"1", logs=(line,))
    await cancel(queue, job.id)
    assert await queue.wait_for_cancels("w1", 30)
    await complete(queue, job)
    assert [done.id for done in await waiting] == [job.id]
    await queue.wait_for_jobs(["default"], 0)

    doomed = await submit(queue, delay_ms=60_000)
    await cancel(queue, doomed.id)
    await queue.retry([doomed.id])
    await claim(queue)
    assert await queue.logs(job.id)
    assert await queue.artifacts(job.id) == []
    assert (await queue.find(JobFilter())).total == 2
    assert (await queue.find(JobFilter(statuses=(JobStatus.RUNNING,)))).total == 1
    assert await queue.queues()
    entries = await queue.read_events("group", "one", timeout=1)
    assert await queue.claim_stale("group", "two", 0)
    assert await queue.ack("group", [entry.position for entry in entries])
    assert await queue.read_events("group", "one", timeout=0.01) == []
    await queue.sweep(Retention(results_ms=0, events_ms=0))
    await queue.unregister("w1")


async def test_health_says_what_it_may_not_look_at(start_redis: StartRedis) -> None:
    server = start_redis(config={"appendonly": "no"}, users={"conduit": documented_rights()})
    url = server.url_for("conduit", "secret")
    async with RedisQueue(url) as queue:
        health = await queue.health()
    assert health.durable is False
    assert any("CONFIG is not allowed" in warning for warning in health.warnings)
    server.execute("ACL", "SETUSER", "conduit", "+config|get")
    async with RedisQueue(url) as queue:
        (warning,) = (await queue.health()).warnings
    assert "persistence is off" in warning


@pytest.mark.parametrize(
    ("denied", "words"),
    [
        ("-xadd", "XADD"),
        ("-zadd", "ZADD"),
        ("-hset", "HSET"),
        ("-eval", "no permissions"),
        ("-subscribe", "SUBSCRIBE"),
        ("-xgroup", "XGROUP"),
        ("resetchannels", "PUBLISH"),
        ("resetkeys ~other:*", "key"),
    ],
)
async def test_a_right_that_is_missing_is_found_out_at_once(
    start_redis: StartRedis, denied: str, words: str
) -> None:
    server = start_redis(users={"conduit": documented_rights()})
    server.execute("ACL", "SETUSER", "conduit", *denied.split())
    error = await refusal(server.url_for("conduit", "secret"))
    assert isinstance(error, QueueAccessError)
    assert words in str(error)
    assert server.execute("DBSIZE") == 0


@pytest.mark.parametrize(("durability", "command"), [("replica", "WAIT"), ("fsync", "WAITAOF")])
async def test_waiting_for_durability_is_a_right_that_only_those_need_who_ask_for_it(
    start_redis: StartRedis, durability: str, command: str
) -> None:
    server = start_redis(users={"conduit": documented_rights()})
    server.execute("ACL", "SETUSER", "conduit", "-wait", "-waitaof")
    url = server.url_for("conduit", "secret")
    error = await refusal(f"{url}?durability={durability}")
    assert isinstance(error, QueueAccessError)
    assert f"may not {command} " in str(error)
    assert server.execute("DBSIZE") == 0
    async with RedisQueue(url) as queue:
        await submit(queue)


def test_every_command_of_the_scripts_is_among_those_checked() -> None:
    scripts = ROOT / "src/conduit/queue/redis/scripts"
    written = re.compile(r"(?:redis\.call|own|write|write_pair|collect)\(\s*'([A-Z]+)'")
    used = {
        command
        for path in scripts.glob("*.lua")
        for command in written.findall(path.read_text("utf-8"))
    }
    checked = {words[0] for words in checks.needed(Keys("default"))}
    assert used <= checked


async def test_a_user_who_loses_a_right_is_told_so_in_mid_run(
    start_redis: StartRedis, connect: Connect
) -> None:
    server = start_redis(users={"conduit": documented_rights()})
    queue = await connect(server.url_for("conduit", "secret"))
    server.execute("ACL", "SETUSER", "conduit", "-evalsha", "-eval")
    with pytest.raises(QueueAccessError, match="allows this user too little"):
        await submit(queue)
    server.execute("ACL", "SETUSER", "conduit", "+evalsha", "+eval", "-subscribe")
    assert await claim(queue) == []
    with pytest.raises(QueueAccessError, match="subscribe"):
        await queue.wait_for_jobs(["default"], 30)


# Servers that aren't what the URL says


@asynccontextmanager
async def server_of_version(version: str) -> AsyncIterator[int]:
    """Something that says it is a Redis of that version, and OK to all else; its port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while command := await reader.read(65536):
            info = f"# Server\r\nredis_version:{version}\r\n"
            if b"$4\r\nINFO\r\n" in command:
                writer.write(f"${len(info)}\r\n{info}\r\n".encode())
            else:
                writer.write(b"+OK\r\n" * len(re.findall(rb"\*\d+\r\n", command)))
            await writer.drain()
        writer.close()

    port = free_port()
    async with await asyncio.start_server(answer, "127.0.0.1", port):
        yield port


async def test_a_server_that_is_too_old_is_refused() -> None:
    async with server_of_version("6.0.16") as port:
        error = await refusal(f"redis://127.0.0.1:{port}")
    assert isinstance(error, ConfigurationError)
    assert "is Redis 6.0.16; the queue needs 6.2 or newer" in str(error)


async def test_a_server_is_no_sentinel_and_no_cluster(redis_server: RedisServer) -> None:
    for url in (
        f"redis+sentinel://127.0.0.1:{redis_server.port}/mymaster",
        f"redis+cluster://127.0.0.1:{redis_server.port}",
    ):
        error = await refusal(url)
        assert error.exit_code != 4  # it is there
        assert f"127.0.0.1:{redis_server.port}" in str(error)


async def test_fsync_needs_an_append_only_file(start_redis: StartRedis) -> None:
    server = start_redis(config={"appendonly": "no"})
    error = await refusal(f"{server.url}?durability=fsync")
    assert isinstance(error, ConfigurationError)
    assert "appendonly" in str(error)


async def test_an_old_server_is_trusted_to_flush_and_health_says_when_it_does_not(
    old_redis_server: RedisServer, connect: Connect, namespace: str
) -> None:
    queue = await connect(f"{old_redis_server.url}?namespace={namespace}&durability=fsync")
    await completed(queue)
    (warning,) = (await queue.health()).warnings
    assert "appendfsync is everysec" in warning


# What lies on the server already


async def test_a_foreign_key_under_our_names_is_refused_and_nothing_written(
    redis_server: RedisServer, url: str, namespace: str
) -> None:
    keys = Keys(namespace)
    redis_server.execute("SET", keys.name("leases"), "mine")
    error = await refusal(url)
    assert isinstance(error, QueueCorruptError)
    assert f"{keys.name('leases')} is a string" in str(error)
    assert redis_server.execute("KEYS", f"{keys.prefix}*") == [keys.name("leases")]


@pytest.mark.parametrize(("schema", "age"), [("99", "newer"), ("2", "older")])
async def test_a_namespace_of_another_schema_is_refused(
    redis_server: RedisServer, url: str, namespace: str, schema: str, age: str
) -> None:
    redis_server.execute("HSET", Keys(namespace).name("meta"), "schema", schema)
    error = await refusal(url)
    assert isinstance(error, QueueSchemaError)
    assert f"{age} Conduit (schema {schema}" in str(error)
    assert error.exit_code == 3


@pytest.mark.parametrize("server", ["redis_server", "old_redis_server"])
@pytest.mark.parametrize(
    ("foreign", "of", "options", "beside"),
    [
        ("fresh", "7:default:task", {}, {}),
        ("fresh", "7:default:task", {}, {"key": "k", "delay_ms": 5}),
        ("back", "7:default:task", {"priority": 5}, {}),
        ("metadata", ":odd", {"id": "odd", "metadata": b'{"a":1}'}, {"key": "k"}),
    ],
)
async def test_a_submit_that_meets_a_foreign_key_keeps_nothing_at_all(
    request: pytest.FixtureRequest,
    connect: Connect,
    namespace: str,
    server: str,
    foreign: str,
    of: str,
    options: dict[str, Any],
    beside: dict[str, Any],
) -> None:
    there: RedisServer = request.getfixturevalue(server)
    queue = await connect(f"{there.url}?namespace={namespace}")
    there.execute("SET", Keys(namespace).name(foreign, of), "mine")
    job, neighbour = a_job(**options), a_job(function="other", **beside)
    with pytest.raises(QueueError, match="isn't Conduit's under"):
        await queue.submit([neighbour, job])
    assert await queue.get([neighbour.id, job.id]) == [None, None]
    assert await events_of(queue) == []
    assert await queue.queues() == []

    there.execute("DEL", Keys(namespace).name(foreign, of))
    assert await queue.submit([neighbour, job]) == [Submitted(neighbour.id), Submitted(job.id)]


@pytest.mark.parametrize("server", ["redis_server", "old_redis_server"])
async def test_a_claim_that_meets_a_foreign_key_takes_nothing(
    request: pytest.FixtureRequest, connect: Connect, namespace: str, server: str
) -> None:
    there: RedisServer = request.getfixturevalue(server)
    queue = await connect(f"{there.url}?namespace={namespace}")
    jobs = [await submit(queue), await submit(queue, priority=1), await submit(queue)]
    assert await claim(queue, queues=("other",)) == []
    foreign = Keys(namespace).name("fresh", "5:other:task")
    await submit(queue, queue="other")
    there.execute("SET", foreign, "mine")
    with pytest.raises(QueueError, match="isn't Conduit's under"):
        await claim(queue, queues=("default", "other"))
    assert {job.status for job in await queue.get([job.id for job in jobs]) if job} == {
        JobStatus.QUEUED
    }

    there.execute("DEL", foreign)
    claimed = await claim(queue, queues=("default", "other"))
    assert {job.id for job in claimed} == {job.id for job in jobs}


@pytest.mark.parametrize("server", ["redis_server", "old_redis_server"])
async def test_a_note_that_meets_a_foreign_key_changes_nothing(
    request: pytest.FixtureRequest, connect: Connect, namespace: str, server: str
) -> None:
    there: RedisServer = request.getfixturevalue(server)
    queue = await connect(f"{there.url}?namespace={namespace}")
    job = await running(queue, id="odd")
    there.execute("SET", Keys(namespace).name("logs", ":odd"), "mine")
    line = LogLine(1, Level.INFO, "app", "hello")
    with pytest.raises(QueueError, match="isn't Conduit's under"):
        await note(queue, job, progress=0.5, metadata=b'{"a":1}', logs=(line,))
    assert await get(queue, job.id) == job
    assert len(await events_of(queue)) == 2


async def test_namespaces_on_one_server_know_nothing_of_each_other(
    redis_url: str, namespace: str, connect: Connect
) -> None:
    one = await connect(f"{redis_url}?namespace={namespace}")
    other = await connect(f"{redis_url}?namespace={namespace}.b")
    job = await submit(one, id="same", key="k")
    assert await other.get([job.id]) == [None]
    assert await claim(other) == []
    await submit(other, id="same", key="k", function="other")
    assert await one.lock("sweeper", "mine", 60_000)
    assert await other.lock("sweeper", "yours", 60_000)
    await one.pause("default")
    assert [queue.paused for queue in await other.queues()] == [False]
    await one.pause_function("other")
    await other.register(Registration(worker=a_worker(), functions=(a_function("other"),)))
    assert [function.paused for function in await other.functions()] == [False]
    assert (await other.find(JobFilter())).total == 1
    assert len(await events_of(one)) == len(await events_of(other)) == 1

    await one.resume("default")
    waiting = asyncio.create_task(other.wait_finished(["same"], 0.2))
    await complete(one, await claim_one(one))
    assert await waiting == []
    await delete(one, "same")
    assert (await get(other, "same")).function == "other"


# Connections


async def test_the_server_is_reached_over_tls(
    redis_server: RedisServer, tmp_path: Path, namespace: str
) -> None:
    certificate = Certificate(tmp_path)
    with Proxy(redis_server.port, certificate=certificate) as proxy:
        url = f"rediss://127.0.0.1:{proxy.port}?namespace={namespace}"
        async with RedisQueue(f"{url}&ssl_ca_certs={certificate.path}") as queue:
            job = await submit(queue)
            waiting = asyncio.create_task(queue.wait_finished([job.id], 30))
            await complete(queue, await claim_one(queue))
            assert [done.id for done in await waiting] == [job.id]
        async with RedisQueue(f"{url}&ssl_cert_reqs=none") as queue:
            assert (await get(queue, job.id)).status is JobStatus.COMPLETED


async def test_a_certificate_that_is_not_trusted_is_an_access_error(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    with Proxy(redis_server.port, certificate=Certificate(tmp_path)) as proxy:
        error = await refusal(f"rediss://127.0.0.1:{proxy.port}")
    assert isinstance(error, QueueAccessError)
    assert "certificate that isn't trusted" in str(error)
    assert "ssl_ca_certs" in str(error)


async def test_a_client_shows_its_name(redis_server: RedisServer, queue: RedisQueue) -> None:
    clients = await execute(redis_server, "CLIENT", "LIST")
    assert f"name=conduit-{os.getpid()}" in str(clients)


async def test_calls_may_take_as_many_connections_as_they_are_given(
    start_redis: StartRedis, connect: Connect
) -> None:
    server = start_redis()
    queue = await connect(f"{server.url}?max_connections=200")
    assert len(await asyncio.gather(*(queue.now() for _ in range(200)))) == 200


async def test_calls_never_take_more_connections_than_they_are_given(
    start_redis: StartRedis, connect: Connect
) -> None:
    server = start_redis()
    queue = await connect(f"{server.url}?max_connections=5")
    await submit(queue, id="one")

    async def connections() -> int:
        clients: Any = await execute(server, "CLIENT", "LIST")
        listed = clients if isinstance(clients, list) else str(clients).splitlines()
        return sum(f"conduit-{os.getpid()}" in str(client) for client in listed)

    def calls() -> list[Any]:
        return [
            *(submit(queue) for _ in range(80)),
            *(queue.now() for _ in range(40)),
            *(queue.get(["one"]) for _ in range(40)),
            *(queue.find(JobFilter()) for _ in range(40)),
        ]

    seen: list[int] = []
    for _ in range(3):
        work = asyncio.gather(*calls())
        while not work.done():
            seen.append(await connections())
        await work
    assert 2 <= max(seen) <= 5
    assert await connections() <= 5

    listening = asyncio.create_task(queue.wait_finished(["one"], 30))
    await until(lambda: _is(connections, 6))
    await complete(queue, (await claim(queue, limit=1))[0])
    await listening


async def _is(count: Any, expected: int) -> bool:
    return await count() <= expected
