"""Servers that refuse what they allowed before: later that passes, at the start it is final."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter

import pytest

from conduit.core.errors import QueueAccessError, QueueUnavailableError
from conduit.core.model import JobStatus
from conduit.queue.base import Queue
from conduit.queue.redis import RedisQueue
from conduit.server.operations.queue_connection import QueueLink
from tests.cli.conftest import Cli, cli  # noqa: F401
from tests.conformance.builders import submit
from tests.conformance.history import check_history
from tests.engine.bench import task
from tests.redis.conftest import Connect, StartBench
from tests.redis.support import execute, once_back, until
from tests.redis.test_access import documented_rights
from tests.servers.fixtures import StartRedis
from tests.servers.redis import RedisServer, binary

SERVICE = """
    import conduit

    worker = conduit.Worker("shop")

    @worker.task
    async def greet(name: str) -> str:
        return f"hello {name}"
"""

USER = ("ACL", "SETUSER", "conduit")
FAULTS = {
    "its password is another": ((*USER, "resetpass", ">other"), (*USER, ">secret")),
    "it is locked": ((*USER, "off"), (*USER, "on")),
    "it may run no scripts": ((*USER, "-evalsha", "-eval"), (*USER, "+evalsha", "+eval")),
    "it may touch no keys": ((*USER, "resetkeys"), (*USER, "~conduit:*")),
    "it may hear nothing": ((*USER, "-subscribe", "-evalsha"), (*USER, "+subscribe", "+evalsha")),
    "there is no room": (("CONFIG", "SET", "maxclients", 1), ("CONFIG", "SET", "maxclients", 1000)),
}
"""What becomes of a user, and what mends it."""


async def break_off(server: RedisServer) -> None:
    """End the user's connections, so that it has to log in again."""
    await execute(server, "CLIENT", "KILL", "USER", "conduit")


@pytest.fixture(params=["valkey", "redis-6.2"])
def server(request: pytest.FixtureRequest, start_redis: StartRedis) -> RedisServer:
    return start_redis(binary=binary(request.param), users={"conduit": documented_rights()})


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_worker_that_is_refused_keeps_its_job_and_delivers_it_when_it_is_let_in_again(
    server: RedisServer, start_bench: StartBench, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    bench = await start_bench(server.url_for("conduit", "secret"))
    begun, go = asyncio.Event(), asyncio.Event()
    runs: Counter[str] = Counter()

    async def work() -> str:
        runs["work"] += 1
        begun.set()
        await go.wait()
        return "kept"

    async def is_told() -> bool:
        return "the queue is unavailable" in caplog.text

    await bench.start(task(work))
    job_id = await bench.submit("work")
    await begun.wait()
    refuse, mend = FAULTS[fault]
    with server.client() as client:
        client.ping()  # it is connected, whatever comes
        await asyncio.to_thread(client.execute_command, *refuse)
        await asyncio.to_thread(client.execute_command, "CLIENT", "KILL", "USER", "conduit")
        await until(is_told)
        go.set()
        await asyncio.to_thread(client.execute_command, *mend)
    done = await once_back(lambda: bench.finished(job_id))
    assert (done.status, done.result, done.attempt) == (JobStatus.COMPLETED, b'"kept"', 1)
    assert runs == {"work": 1}
    assert not [each for each in caplog.records if each.levelno >= logging.ERROR]
    await once_back(lambda: check_history(bench.queue))


async def test_a_worker_outlives_a_restart_of_its_server_with_another_password(
    start_redis: StartRedis, start_bench: StartBench, caplog: pytest.LogCaptureFixture
) -> None:
    server = start_redis(config={"appendfsync": "always"})
    bench = await start_bench(server.url)
    begun, go = asyncio.Event(), asyncio.Event()
    runs: Counter[str] = Counter()

    async def work() -> str:
        runs["work"] += 1
        begun.set()
        await go.wait()
        return "kept"

    async def is_told() -> bool:
        return "wants a password" in caplog.text

    await bench.start(task(work))
    job_id = await bench.submit("work")
    await begun.wait()
    await asyncio.to_thread(server.stop)
    text = server.path.read_text()
    server.path.write_text(f"{text}\nrequirepass new\n")
    await asyncio.to_thread(server.start)
    await until(is_told)
    await until(lambda: _is_refused(bench.queue, job_id))
    go.set()
    server.password = "new"
    await execute(server, "CONFIG", "SET", "requirepass", "")
    server.password = None
    done = await once_back(lambda: bench.finished(job_id))
    assert (done.status, done.attempt, runs["work"]) == (JobStatus.COMPLETED, 1, 1)
    assert caplog.text.count("wants a password") == 1


async def _is_refused(queue: Queue, job_id: str) -> bool:
    with pytest.raises(QueueUnavailableError) as caught:
        await queue.get([job_id])
    return "wants a password" in str(caught.value)


async def test_a_wait_outlives_a_refusal(server: RedisServer, connect: Connect) -> None:
    queue = await connect(server.url_for("conduit", "secret"))
    direct = await connect(server.url)
    new = await submit(queue)
    waiting = asyncio.create_task(queue.wait_finished([new.id], 60))

    async def is_watched() -> bool:
        return bool(await execute(server, "EXISTS", "conduit:{default}:waits"))

    await until(is_watched)
    await execute(server, *USER, "resetpass", ">other")
    await break_off(server)
    await direct.cancel([new.id], "enough")
    await execute(server, *USER, ">secret")
    assert [job.status for job in await waiting] == [JobStatus.CANCELLED]


async def test_the_server_answers_503_while_it_is_refused_and_recovers(server: RedisServer) -> None:
    link = QueueLink(server.url_for("conduit", "secret"), "the queue")
    await link.start()
    try:
        await execute(server, *USER, "resetpass", ">other")
        await break_off(server)

        async def is_refused() -> bool:
            with pytest.raises(QueueUnavailableError):
                await link.ask(RedisQueue.now)
            return "doesn't accept this user and password" in str(link.fault)

        await until(is_refused)
        await execute(server, *USER, ">secret")
        assert await link.ask(RedisQueue.now)
        assert link.fault is None
    finally:
        await link.close()


async def test_a_server_that_is_refused_at_its_start_does_not_wait(server: RedisServer) -> None:
    link = QueueLink(server.url_for("conduit", "wrong"), "the queue")
    with pytest.raises(QueueAccessError):
        await link.start()


def test_a_run_that_is_refused_at_its_start_ends_with_3_at_once(
    cli: Cli,  # noqa: F811
    server: RedisServer,
) -> None:
    cli.write("service.py", SERVICE)
    url = server.url_for("conduit", "wrong")
    ended = cli("run", "service.py", "--queue-url", url, "--connect-timeout", "1000")
    assert ended.returncode == 3
    assert "doesn't accept this user and password" in ended.stderr
    assert "Traceback" not in ended.stderr
