"""Servers away, killed, frozen, full, flushed, busy or read-only, and answers that get lost."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import pytest
import uvloop
from redis.exceptions import RedisError

from conduit.core.crons import TickOutcome
from conduit.core.errors import (
    ConduitError,
    JobNotFoundError,
    QueueUnavailableError,
    SubmitUnknownError,
)
from conduit.core.events import EventKind
from conduit.core.model import JobStatus
from conduit.core.schedule import parse_schedule
from conduit.core.transitions import OutcomeKind
from conduit.engine.attempts.function import Cron
from conduit.queue.base import Finished, JobFilter, Registration, Submitted
from conduit.queue.redis import RedisQueue, connection, listener
from conduit.queue.redis import queue as queue_module
from conduit.queue.redis.keys import Keys
from conduit.queue.redis.scripts import script
from tests.cli.conftest import Cli, cli  # noqa: F401
from tests.conformance.backends import ManualClock
from tests.conformance.builders import (
    a_cron,
    a_job,
    a_tick,
    a_worker,
    claim,
    claim_one,
    complete,
    finish,
    get,
    note,
    running,
    send,
    submit,
    sweep,
)
from tests.conformance.history import check_history, events_of, kinds_of
from tests.engine.bench import task
from tests.redis.conftest import Connect, StartBench
from tests.redis.support import execute, once_back, until
from tests.servers.fixtures import StartRedis
from tests.servers.process import free_port
from tests.servers.proxy import Proxy
from tests.servers.redis import RedisServer, binary

SERVICE = """
    import conduit

    worker = conduit.Worker("shop")

    @worker.task
    async def greet(name: str) -> str:
        return f"hello {name}"
"""


@contextmanager
def impatience() -> Iterator[None]:
    """Answers are given up on after part of a second; not to be meant for a server that is well."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (connection, listener):
            patch.setattr(module, "ANSWER_TIMEOUT_S", 0.4)
        yield


# At the start


def test_a_run_without_a_server_says_so_and_ends_with_4(cli: Cli) -> None:  # noqa: F811
    cli.write("service.py", SERVICE)
    url = f"redis://:secret@127.0.0.1:{free_port()}/0"
    ended = cli("run", "service.py", "--queue-url", url, "--connect-timeout", "0.3")
    assert ended.returncode == 4
    assert "can't be reached" in ended.stderr
    assert "secret" not in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_run_waits_for_a_server_that_comes(cli: Cli, start_redis: StartRedis) -> None:  # noqa: F811
    cli.write("service.py", SERVICE)
    port = free_port()
    url = f"redis://127.0.0.1:{port}/0"
    run = cli.start("run", "service.py", "--queue-url", url)
    run.until("the queue is unavailable")
    start_redis(port=port)
    submitted = cli("submit", "greet", "--args", '["you"]', "--wait", "--queue-url", url)
    assert (submitted.returncode, "hello you" in submitted.stdout) == (0, True), submitted.stderr
    assert run.stop() == 0
    assert run.seen.count("trying again until it answers") == 1


async def test_a_server_that_is_lost_while_a_worker_starts_is_waited_for(
    start_redis: StartRedis, start_bench: StartBench, caplog: pytest.LogCaptureFixture
) -> None:
    server = start_redis(config=FLUSHED)
    bench = await start_bench(server.url)
    coming: list[asyncio.Task[None]] = []

    async def come_back() -> None:
        await until(lambda: _told(caplog, "the queue is unavailable"))
        await asyncio.to_thread(server.start)

    @asynccontextmanager
    async def lifespan() -> AsyncGenerator[None]:  # entered once the queue is open
        await asyncio.to_thread(server.kill)
        coming.append(asyncio.create_task(come_back()))
        yield

    async def work() -> None: ...

    await bench.start(task(work), lifespan=lifespan, connect_timeout=30)
    await coming[0]
    assert (await bench.run("work")).status is JobStatus.COMPLETED


# A server that dies


# With `everysec` a server puts off its writes while it flushes, and answers all the same.
FLUSHED = {"appendfsync": "always"}


async def test_a_killed_server_costs_no_accepted_job(
    start_redis: StartRedis, start_bench: StartBench
) -> None:
    server = start_redis(config=FLUSHED)
    bench = await start_bench(server.url)
    runs: Counter[int] = Counter()

    async def work(number: int) -> int:
        runs[number] += 1
        await asyncio.sleep(0.005)
        return number

    await bench.start(task(work), concurrency=10, lease_ms=2000)
    accepted: list[str] = []

    async def submit_all() -> None:
        for number in range(400):
            job = a_job(function="work", args=b'{"number":%d}' % number)

            async def call(job: Any = job) -> Any:
                with suppress(SubmitUnknownError):
                    return await bench.queue.submit([job])
                raise QueueUnavailableError("to be submitted again, with the same id")

            assert await once_back(call) == [Submitted(job.id)]
            accepted.append(job.id)

    submitting = asyncio.create_task(submit_all())
    for progress in (80, 200):
        await until(lambda progress=progress: _reached(accepted, progress))
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)
    await submitting

    jobs = [await once_back(lambda job_id=job_id: bench.finished(job_id)) for job_id in accepted]
    assert Counter(job.status for job in jobs) == {JobStatus.COMPLETED: 400}
    assert sorted(int(job.result or b"") for job in jobs) == list(range(400))
    for job in jobs:
        number = int(job.result or b"")
        assert 1 <= runs[number] <= 1 + job.rescues
    await check_history(bench.queue)


async def _reached(accepted: list[str], progress: int) -> bool:
    return len(accepted) >= progress


async def test_jobs_that_waited_for_the_flush_outlive_a_server_killed_at_any_moment(
    start_redis: StartRedis, connect: Connect
) -> None:
    server = start_redis()
    queue = await connect(f"{server.url}?durability=fsync&wait_ms=5000")
    accepted: list[str] = []
    for _ in range(4):
        jobs = [a_job() for _ in range(20)]
        await once_back(lambda jobs=jobs: queue.submit(jobs))
        accepted.extend(job.id for job in jobs)
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)
        assert None not in await once_back(lambda: queue.get(accepted))


async def test_a_result_made_while_the_server_was_away_is_delivered(
    start_redis: StartRedis, start_bench: StartBench
) -> None:
    server = start_redis(config=FLUSHED)
    bench = await start_bench(server.url)
    begun, go = asyncio.Event(), asyncio.Event()

    async def work() -> str:
        begun.set()
        await go.wait()
        return "kept"

    await bench.start(task(work))
    job_id = await bench.submit("work")
    await begun.wait()
    await asyncio.to_thread(server.kill)
    go.set()
    with pytest.raises(QueueUnavailableError):
        await bench.job(job_id)
    await asyncio.to_thread(server.start)

    job = await once_back(lambda: bench.finished(job_id))
    assert (job.status, job.result, job.attempt) == (JobStatus.COMPLETED, b'"kept"', 1)
    await check_history(bench.queue)


async def test_a_wait_outlives_an_outage(
    start_redis: StartRedis, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_module, "ASK_AGAIN_S", 0.1)
    monkeypatch.setattr(queue_module, "ASK_AFTER_FAILURE_S", 0.1)
    server = start_redis(config=FLUSHED)
    queue, other = await connect(server.url), await connect(server.url)
    job = await running(queue)
    waiting = asyncio.create_task(queue.wait_finished([job.id], 60))
    await until(lambda: _waited_for(server))
    await asyncio.to_thread(server.kill)
    with pytest.raises(QueueUnavailableError):
        await queue.wait_finished(["unknown"], 60)
    await asyncio.to_thread(server.start)
    await once_back(lambda: complete(other, job))
    assert [done.id for done in await waiting] == [job.id]


async def test_a_wait_ends_in_time_though_its_question_is_refused(
    start_redis: StartRedis, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_module, "ASK_AGAIN_S", 0.1)
    monkeypatch.setattr(queue_module, "ASK_AFTER_FAILURE_S", 0.1)
    server = start_redis()
    queue = await connect(server.url)
    job = await running(queue)
    waiting = asyncio.create_task(queue.wait_finished([job.id], 1))
    await until(lambda: _waited_for(server))
    await execute(server, "REPLICAOF", "127.0.0.1", free_port())
    assert await waiting == []


async def test_an_outage_is_told_of_once_and_so_is_its_end(
    start_redis: StartRedis, start_bench: StartBench, caplog: pytest.LogCaptureFixture
) -> None:
    server = start_redis(config=FLUSHED)
    bench = await start_bench(server.url)

    async def work() -> None: ...

    await bench.start(task(work), lease_ms=3000)
    await bench.run("work")
    with caplog.at_level(logging.INFO):
        await asyncio.to_thread(server.kill)
        await until(lambda: _told(caplog, "the queue is unavailable"))
        await asyncio.sleep(1.5)  # many tries later
        await asyncio.to_thread(server.start)
        assert (await once_back(lambda: bench.run("work"))).status is JobStatus.COMPLETED
        await until(lambda: _told(caplog, "answers again after"))
    told = [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]
    assert len(told) == 2, told
    assert ".;" not in told[0]
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def _told(caplog: pytest.LogCaptureFixture, words: str) -> bool:
    return any(words in record.getMessage() for record in caplog.records)


def test_uvloop_has_words_of_its_own_for_a_lost_connection(start_redis: StartRedis) -> None:
    server = start_redis()

    async def lose_connections(proxy: Proxy) -> int:
        told = 0
        async with RedisQueue(server.url_for(port=proxy.port)) as queue:
            for _ in range(20):
                await queue.lock("lock", "token", 1000)
                await asyncio.to_thread(proxy.cut)
                try:
                    await queue.lock("lock", "token", 1000)
                except QueueUnavailableError:
                    told += 1
                    await once_back(lambda: queue.lock("lock", "token", 1000))
        return told

    with Proxy(server.port) as proxy, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(lose_connections(proxy)) > 0


# A server that is silent


async def test_calls_to_a_frozen_server_are_given_up_and_then_work_again(
    start_redis: StartRedis, connect: Connect
) -> None:
    server = start_redis()
    queue = await connect(server.url)
    new = await submit(queue)
    server.pause()
    with impatience():
        with pytest.raises(SubmitUnknownError) as caught:
            await queue.submit([a_job(id="unknown")])
        assert caught.value.job_id == "unknown"
        with pytest.raises(QueueUnavailableError, match="doesn't answer in time"):
            await queue.get([new.id])
        with pytest.raises(QueueUnavailableError, match="doesn't answer in time"):
            await queue.now()
    server.resume()
    assert await once_back(lambda: queue.submit([a_job(id="unknown")])) == [Submitted("unknown")]
    assert {job.id for job in await claim(queue)} == {new.id, "unknown"}


async def test_a_heartbeat_gives_up_on_an_answer_well_before_leases_end(
    start_redis: StartRedis, start_bench: StartBench, caplog: pytest.LogCaptureFixture
) -> None:
    server = start_redis()
    bench = await start_bench(server.url)

    async def work() -> None: ...

    await bench.start(task(work), lease_ms=1500)
    (begun,) = await bench.queue.workers()

    async def has_beaten() -> bool:
        (worker,) = await bench.queue.workers()
        return worker.seen_at > begun.seen_at

    while not await has_beaten():  # noqa: ASYNC110  so that it is connected
        await asyncio.sleep(0.05)
    server.pause()
    await until(lambda: _told(caplog, "the queue is unavailable: no answer within 0.5 s"))
    server.resume()
    await until(lambda: _told(caplog, "answers again after"))
    assert (await once_back(lambda: bench.run("work"))).status is JobStatus.COMPLETED


async def test_a_connection_that_is_only_half_there_is_left(
    redis_server: RedisServer,
    connect: Connect,
    namespace: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listener, "PING_AFTER_S", 0.2)
    direct = await connect(f"{redis_server.url}?namespace={namespace}")
    with Proxy(redis_server.port) as proxy:
        queue = await connect(f"redis://127.0.0.1:{proxy.port}?namespace={namespace}")
        job = await running(queue)
        waiting = asyncio.create_task(queue.wait_finished([job.id], 30))
        reading = asyncio.create_task(queue.read_events("late", "one", timeout=0.1))
        await until(lambda: _waited_for(redis_server, namespace))
        assert await reading
        proxy.freeze()
        await complete(direct, job)
        with impatience():
            with pytest.raises(QueueUnavailableError):
                await queue.read_events("late", "one", timeout=0.1)
            await until(lambda: _is_below(lambda: proxy.held, 1, negate=True))
        proxy.thaw()
        (done,) = await waiting
        assert done.status is JobStatus.COMPLETED
        assert await once_back(lambda: queue.get([job.id])) == [done]


async def _waited_for(server: RedisServer, namespace: str = "default") -> bool:
    return bool(await execute(server, "EXISTS", Keys(namespace).name("waits")))


async def _is_below(figure: Callable[[], int], limit: int, *, negate: bool = False) -> bool:
    return (figure() < limit) is not negate


async def test_an_open_queue_may_be_closed_and_opened_again(url: str, connect: Connect) -> None:
    other = await connect(url)
    queue = RedisQueue(url)
    for _ in range(2):
        async with queue:
            job = await running(queue)
            waiting = asyncio.create_task(queue.wait_finished([job.id], 30))
            await asyncio.sleep(0)
            await complete(other, job)
            assert [done.id for done in await waiting] == [job.id]
            await queue.wait_for_jobs(["default"], 0)
            woken = asyncio.create_task(queue.wait_for_jobs(["default"], 30))
            await claim(queue)
            new = await submit(other)
            await woken
            assert [job.id for job in await claim(queue)] == [new.id]


# Lost answers


@pytest.fixture
def proxied(redis_server: RedisServer) -> Any:
    with Proxy(redis_server.port) as proxy:
        yield proxy


@pytest.fixture
async def frail(proxied: Proxy, connect: Connect, namespace: str) -> RedisQueue:
    """A queue behind the proxy, whose scripts the server has all seen."""
    clock = ManualClock()
    queue = await connect(f"redis://127.0.0.1:{proxied.port}?namespace={namespace}", clock=clock)
    queue.clock = clock  # type: ignore[attr-defined]
    job = await running(queue)
    await submit(queue, key="seen")
    await note(queue, job, progress=0.1)
    await complete(queue, job)
    await queue.register(Registration(worker=a_worker(), crons=(a_cron(),)))
    await queue.tick([a_tick(0)])  # which has passed
    return queue


def lose(proxy: Proxy, verb: str, times: int = 1) -> None:
    """Lose the answers to a verb."""
    proxy.drop_replies(times, to=script(verb, flags=True).sha.encode())


@pytest.mark.parametrize("options", [{}, {"key": "k", "delay_ms": 5}])
async def test_a_submit_whose_answer_is_lost_is_sent_again_and_kept_once(
    frail: RedisQueue, proxied: Proxy, options: Any
) -> None:
    new = a_job(**options)
    proxied.drop_replies(1, to=b"EVALSHA")
    assert await frail.submit([new]) == [Submitted(new.id)]
    assert proxied.lost == 1
    assert await kinds_of(frail, new.id) == [EventKind.SUBMITTED]


async def test_a_submit_that_can_not_be_told_is_unknown_and_safe_to_repeat(
    frail: RedisQueue, proxied: Proxy
) -> None:
    new = a_job()
    proxied.drop_replies(2, to=b"EVALSHA")
    with pytest.raises(SubmitUnknownError) as caught:
        await frail.submit([new])
    assert caught.value.job_id == new.id
    assert await frail.submit([new]) == [Submitted(new.id)]
    assert await kinds_of(frail, new.id) == [EventKind.SUBMITTED]


async def test_a_claim_whose_answer_is_lost_costs_one_rescue(
    frail: RedisQueue, proxied: Proxy
) -> None:
    clock: ManualClock = frail.clock  # type: ignore[attr-defined]
    assert await claim(frail, functions=("other",)) == []
    new = await submit(frail, function="other")
    lose(proxied, "claim")
    with pytest.raises(QueueUnavailableError):
        await claim(frail, functions=("other",))
    assert (await get(frail, new.id)).status is JobStatus.RUNNING
    for _ in range(5):
        await sweep(frail)
        clock.advance(5_000)
    job = await claim_one(frail, functions=("other",))
    assert (job.id, job.rescues, job.attempt) == (new.id, 1, 2)
    await check_history(frail)


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (OutcomeKind.COMPLETE, JobStatus.COMPLETED),
        (OutcomeKind.FAIL, JobStatus.FAILED),
        (OutcomeKind.CANCEL, JobStatus.CANCELLED),
        (OutcomeKind.RETRY_LATER, JobStatus.SCHEDULED),
        (OutcomeKind.RELEASE, JobStatus.QUEUED),
    ],
)
async def test_an_outcome_whose_answer_is_lost_is_recorded_once(
    frail: RedisQueue, proxied: Proxy, kind: OutcomeKind, status: JobStatus
) -> None:
    job = await running(frail, function="other")
    delay = 1000 if status is JobStatus.SCHEDULED else 0
    lose(proxied, "finish")
    with pytest.raises(QueueUnavailableError):
        await finish(frail, job, kind, delay_ms=delay)
    assert await finish(frail, job, kind, delay_ms=delay) is Finished.ALREADY
    assert (await get(frail, job.id)).status is status
    assert len(await events_of(frail, job.id)) == 3
    await check_history(frail)


async def test_a_note_whose_answer_is_lost_leaves_what_one_would(
    frail: RedisQueue, proxied: Proxy
) -> None:
    job = await running(frail, function="other")
    lose(proxied, "record")
    news: dict[str, Any] = {"metadata": b'{"a":1}', "checkpoint": b"2", "progress": 0.5}
    with pytest.raises(QueueUnavailableError):
        await note(frail, job, **news)
    assert await note(frail, job, **news)
    stored = await get(frail, job.id)
    assert (stored.metadata, stored.checkpoint, stored.progress) == (b'{"a":1}', b"2", 0.5)
    await check_history(frail)


async def test_a_tick_whose_answer_is_lost_makes_one_job(frail: RedisQueue, proxied: Proxy) -> None:
    at = await frail.now() + 1
    tick = a_tick(at, id="cron:nightly")
    lose(proxied, "tick")
    with pytest.raises(QueueUnavailableError):
        await frail.tick([tick])
    assert await send(frail, tick) == [TickOutcome.REFUSED]
    assert await kinds_of(frail, "cron:nightly") == [EventKind.SUBMITTED]


async def test_a_wait_whose_question_is_lost_is_asked_again(
    frail: RedisQueue, proxied: Proxy, connect: Connect, redis_server: RedisServer, namespace: str
) -> None:
    job = await running(frail, function="other")
    assert await frail.wait_finished([job.id], 0) == []
    second = await running(frail, function="other")
    lose(proxied, "watch", 2)
    with pytest.raises(QueueUnavailableError):
        await frail.wait_finished([second.id], 30)
    direct = await connect(f"{redis_server.url}?namespace={namespace}")
    await complete(direct, second)
    (done,) = await frail.wait_finished([second.id], 30)
    assert done.status is JobStatus.COMPLETED


async def test_a_worker_whose_answers_get_lost_doubles_nothing(
    proxied: Proxy, start_bench: StartBench, namespace: str
) -> None:
    bench = await start_bench(f"redis://127.0.0.1:{proxied.port}?namespace={namespace}")
    runs: Counter[int] = Counter()

    async def work(number: int) -> None:
        runs[number] += 1

    await bench.start(task(work), lease_ms=1500)
    ids: list[str] = []
    for number in range(60):
        verb = ("finish", "submit", "record", "extend")[number % 4]
        lose(proxied, verb)
        job = a_job(function="work", args=b'{"number":%d}' % number)

        async def call(job: Any = job) -> Any:
            with suppress(SubmitUnknownError):
                return await bench.queue.submit([job])
            raise QueueUnavailableError("to be submitted again, with the same id")

        await once_back(call)
        ids.append(job.id)
    jobs = [await once_back(lambda job_id=job_id: bench.finished(job_id)) for job_id in ids]
    assert {job.status for job in jobs} == {JobStatus.COMPLETED}
    for job in jobs:
        assert runs[int(job.args.split(b":")[1][:-1])] <= 1 + job.rescues
    proxied.drop_replies(0)
    await check_history(bench.queue)


async def test_a_worker_hands_back_what_claims_leased_whose_answers_were_lost(
    frail: RedisQueue, proxied: Proxy, start_bench: StartBench, namespace: str
) -> None:
    bench = await start_bench(f"redis://127.0.0.1:{proxied.port}?namespace={namespace}")
    runs: Counter[int] = Counter()

    async def work(number: int) -> None:
        runs[number] += 1

    ids = [
        await bench.submit("work", args=b'{"number":%d}' % number, max_deliveries=1)
        for number in range(5)
    ]
    lose(proxied, "claim", 4)
    await bench.start(task(work))
    jobs = [await bench.finished(job_id) for job_id in ids]
    assert proxied.lost == 4
    assert {job.status for job in jobs} == {JobStatus.COMPLETED}
    assert {(job.rescues, job.attempt) for job in jobs} == {(0, 1)}
    assert runs == dict.fromkeys(range(5), 1)
    await check_history(bench.queue)


# A server that forgets


async def test_flushed_scripts_are_sent_again(
    start_redis: StartRedis, start_bench: StartBench
) -> None:
    server = start_redis()
    bench = await start_bench(server.url)

    async def work() -> None: ...

    await bench.start(task(work))
    for _ in range(20):
        await execute(server, "SCRIPT", "FLUSH")
        assert (await bench.run("work")).status is JobStatus.COMPLETED
    await check_history(bench.queue)


async def test_what_was_paused_stays_so_when_the_server_is_restarted(
    start_redis: StartRedis, connect: Connect
) -> None:
    server = start_redis()
    queue = await connect(server.url)
    await submit(queue)
    await queue.pause_function("task")
    await asyncio.to_thread(server.stop)
    await asyncio.to_thread(server.start)
    assert await once_back(lambda: claim(queue)) == []
    assert (await queue.find(JobFilter(statuses=(JobStatus.QUEUED,)))).total == 1
    await queue.resume_function("task")
    assert len(await claim(queue)) == 1


@pytest.mark.parametrize("name", ["valkey", "redis-6.2"])
async def test_a_flushed_server_gets_new_jobs_done_without_a_restart(
    start_redis: StartRedis,
    start_bench: StartBench,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(queue_module, "ASK_AGAIN_S", 0.2)
    monkeypatch.setattr(queue_module, "ANNOUNCE_S", 0.2)
    server = start_redis(binary=binary(name))
    bench = await start_bench(server.url)
    queue = bench.queue
    begun, go = asyncio.Event(), asyncio.Event()

    async def work() -> None: ...

    async def long() -> None:
        begun.set()
        await go.wait()

    await bench.start(task(work), task(long), concurrency=2)
    lost = await bench.submit("long")
    await begun.wait()
    waiting = asyncio.create_task(queue.wait_finished([lost], 30))
    assert await queue.read_events("readers", "one", limit=1000)
    reading = asyncio.create_task(queue.read_events("readers", "one", timeout=30))
    await until(lambda: _blocked(server))

    await execute(server, "FLUSHALL")
    with pytest.raises(JobNotFoundError):
        await waiting
    job_id = await bench.submit("work")
    assert (await bench.finished(job_id)).status is JobStatus.COMPLETED
    go.set()
    assert (await bench.run("work")).status is JobStatus.COMPLETED

    entries = await reading
    while not any(event.job_id == job_id for entry in entries for event in entry.entry.events):
        entries += await queue.read_events("readers", "one", timeout=30)
    first = next(event for entry in entries for event in entry.entry.events)
    assert (first.job_id, first.kind) == (job_id, EventKind.SUBMITTED)
    assert await queue.claim_stale("others", "one", 0) == []
    assert len(caplog.records) < 20


async def test_a_flushed_server_knows_its_workers_functions_and_schedules_again(
    start_redis: StartRedis, start_bench: StartBench
) -> None:
    server = start_redis()
    bench = await start_bench(server.url)
    queue = bench.queue

    async def report() -> None: ...

    async def jobs() -> int:
        return (await queue.find(JobFilter(functions=("report",)))).total

    cron = Cron(
        name="report",
        function="report",
        queue="default",
        schedule=parse_schedule("@every 1s", "UTC"),
        timezone="UTC",
    )
    worker = await bench.start(task(report), crons=[cron], lease_ms=1500)
    await until(lambda: _reaches(jobs, 1))
    await execute(server, "FLUSHALL")
    await until(lambda: _reaches(jobs, 2))
    assert [each.id for each in await queue.workers()] == [worker.id]
    assert [function.name for function in await queue.functions()] == ["report"]
    assert [each.name for each in await queue.crons()] == ["report"]


async def test_a_flushed_server_knows_a_worker_without_schedules_again(
    start_redis: StartRedis, start_bench: StartBench, caplog: pytest.LogCaptureFixture
) -> None:
    server = start_redis()
    bench = await start_bench(server.url)

    async def work() -> None: ...

    async def known() -> bool:
        return [each.id for each in await bench.queue.workers()] == [worker.id]

    worker = await bench.start(task(work), lease_ms=1500)
    assert await known()
    await execute(server, "FLUSHALL")
    await until(known)
    await until(lambda: _told(caplog, "the queue had forgotten this worker"))
    assert [function.name for function in await bench.queue.functions()] == ["work"]


async def _reaches(count: Callable[[], Awaitable[int]], wanted: int) -> bool:
    return await count() >= wanted


async def _blocked(server: RedisServer) -> bool:
    return int((await asyncio.to_thread(server.info))["blocked_clients"]) > 0


# A server that is full, busy or read-only


@pytest.mark.parametrize("name", ["valkey", "redis-6.2"])
async def test_a_full_server_refuses_new_jobs_and_lets_the_others_finish(
    start_redis: StartRedis, start_bench: StartBench, name: str
) -> None:
    server = start_redis(binary=binary(name))
    bench = await start_bench(server.url)
    begun, go = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        await go.wait()

    await bench.start(task(work), concurrency=1)
    ids = [await bench.submit("work") for _ in range(5)]
    await begun.wait()
    await execute(server, "CONFIG", "SET", "maxmemory", "1")
    with pytest.raises(QueueUnavailableError, match="out of memory"):
        await bench.submit("work", priority=1)
    with pytest.raises(QueueUnavailableError, match="out of memory"):
        await bench.submit("work")
    go.set()
    assert {(await bench.finished(job_id)).status for job_id in ids} == {JobStatus.COMPLETED}
    assert (await bench.queue.find(JobFilter())).total == 5
    await execute(server, "CONFIG", "SET", "maxmemory", "0")
    assert (await bench.run("work")).status is JobStatus.COMPLETED
    await check_history(bench.queue)


async def test_a_paused_server_only_delays(
    start_redis: StartRedis, start_bench: StartBench
) -> None:
    server = start_redis()
    bench = await start_bench(server.url)

    async def work() -> None: ...

    await bench.start(task(work))
    for mode in ("WRITE", "ALL"):
        await execute(server, "CLIENT", "PAUSE", 300, mode)
        assert (await bench.run("work")).status is JobStatus.COMPLETED


@pytest.mark.parametrize("name", ["valkey", "redis-6.2"])
async def test_a_server_busy_with_a_script_is_unavailable_until_that_ends(
    start_redis: StartRedis, start_bench: StartBench, name: str
) -> None:
    server = start_redis(binary=binary(name), config={"lua-time-limit": 50})
    bench = await start_bench(server.url)

    async def work() -> None: ...

    await bench.start(task(work))
    endless = asyncio.create_task(_errors(server, "EVAL", "while true do end", 0))
    await until(lambda: _fails(bench.queue.now, "is busy with a script"))
    with pytest.raises(QueueUnavailableError, match="is busy with a script"):
        await bench.submit("work")
    await execute(server, "SCRIPT", "KILL")
    await endless
    assert (await once_back(lambda: bench.run("work"))).status is JobStatus.COMPLETED


async def _errors(server: RedisServer, *words: str | int) -> None:
    with suppress(RedisError):
        await execute(server, *words)


async def _fails(call: Callable[[], Awaitable[Any]], words: str) -> bool:
    try:
        await call()
    except ConduitError as error:
        return words in str(error)
    return False


@pytest.mark.parametrize("name", ["valkey", "redis-6.2"])
async def test_a_server_that_became_a_replica_is_unavailable_until_it_is_master_again(
    start_redis: StartRedis, start_bench: StartBench, name: str
) -> None:
    server = start_redis(binary=binary(name))
    bench = await start_bench(server.url)

    async def work() -> None: ...

    await bench.start(task(work))
    await bench.run("work")
    await execute(server, "REPLICAOF", "127.0.0.1", free_port())
    with pytest.raises(QueueUnavailableError, match="read-only replica"):
        await bench.submit("work")
    assert [function.name for function in await bench.queue.functions()] == ["work"]
    assert await bench.queue.workers()
    await execute(server, "REPLICAOF", "NO", "ONE")
    assert (await once_back(lambda: bench.run("work"))).status is JobStatus.COMPLETED


async def test_a_server_that_takes_no_more_clients_says_so(
    start_redis: StartRedis, connect: Connect
) -> None:
    server = start_redis(config={"maxclients": 10})
    opened = [await connect(server.url) for _ in range(9)]
    with pytest.raises(QueueUnavailableError, match="takes no more connections"):
        async with RedisQueue(server.url) as one, RedisQueue(server.url) as another:
            await asyncio.gather(*(queue.now() for queue in (one, another)))
    await submit(opened[0])
