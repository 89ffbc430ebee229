"""Somebody else's keys and values under our names, found when a queue is at work already.

A script can take nothing back: what it meets has to be seen before it writes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from redis import Redis

from conduit.core.crons import Tick
from conduit.core.errors import QueueCorruptError, QueueUnavailableError
from conduit.core.model import JobStatus, Lease, Level, LogLine
from conduit.core.transitions import OutcomeKind
from conduit.engine.worker import WorkerService
from conduit.queue.base import Finished, Registration
from conduit.queue.redis import RedisQueue
from conduit.queue.redis.keys import FIXED, Keys
from conduit.queue.redis.packing import short
from tests.conformance.backends import ManualClock
from tests.conformance.builders import (
    a_cron,
    a_function,
    a_job,
    a_worker,
    cancel,
    claim,
    claim_one,
    complete,
    delete,
    finish,
    get,
    note,
    retry,
    running,
    submit,
    sweep,
)
from tests.conformance.history import check_history
from tests.engine.bench import task
from tests.redis.conftest import Connect, StartBench
from tests.redis.support import execute, until
from tests.servers.redis import RedisServer

LINE = LogLine(1, Level.INFO, "app", "hello")
EVERYTHING: dict[str, Any] = {
    "progress": 0.5,
    "metadata": b'{"a":1}',
    "checkpoint": b"1",
    "logs": (LINE,),
}


class Stage:
    """A queue with jobs in every state, and a clock at which something of everything is due."""

    def __init__(self, queue: RedisQueue, clock: ManualClock) -> None:
        self.queue = queue
        self.clock = clock

    async def set(self) -> None:
        queue = self.queue
        self.worker = a_worker()
        await queue.register(
            Registration(worker=self.worker, functions=(a_function(),), crons=(a_cron(),))
        )
        await queue.register(Registration(worker=a_worker(id="silent", name="silent")))
        self.held = await running(queue, function="held", key="held", metadata=b'{"b":1}')
        self.lapsing = await running(queue, function="lapsing")
        self.awaited = await running(queue, function="awaited")
        self.blocked = await submit(queue, function="blocked", after=(self.awaited.id,))
        self.done = await running(queue, function="done", metadata=b'{"c":1}')
        await complete(queue, self.done)
        self.failed = await running(queue, function="failed", key="failed")
        await finish(queue, self.failed, OutcomeKind.FAIL)
        self.waiting = await submit(queue, function="waiting")
        await submit(queue, function="expiring", expires_ms=1000)
        await submit(queue, function="later", delay_ms=1000)
        await queue.pause("stopped")
        await queue.pause_function("stopped")
        await claim(queue, queues=("default", "stopped"), functions=("held", "stopped"))
        await queue.wait_for_jobs(["default"], 0)
        await queue.wait_finished([self.waiting.id, self.held.id], 0)
        await queue.read_events("readers", "one", limit=1000)
        for _ in range(20):  # sweeps go on, so that nobody is granted anything
            await sweep(queue)
            self.clock.advance(5_000)
            await queue.heartbeat(self.worker.id, 1)


async def _tick(stage: Stage) -> Any:
    at = await stage.queue.now() + 1
    return await stage.queue.tick([Tick("nightly", "f1", at, a_job(id="cron:nightly"))])


VERBS: dict[str, Callable[[Stage], Awaitable[Any]]] = {
    "submit": lambda stage: stage.queue.submit([a_job()]),
    "submit many": lambda stage: stage.queue.submit([a_job(function=f"f{n}") for n in range(5)]),
    "submit with all": lambda stage: stage.queue.submit(
        [a_job(key="k", delay_ms=5, expires_ms=9, metadata=b'{"a":1}', after=(stage.awaited.id,))]
    ),
    "submit later": lambda stage: stage.queue.submit([a_job(delay_ms=60_000)]),
    "submit urgent": lambda stage: stage.queue.submit([a_job(priority=3)]),
    "start": lambda stage: stage.queue.start(a_job(), "w1", 15_000),
    "claim": lambda stage: claim(stage.queue, functions=("waiting", "expiring", "later")),
    "extend": lambda stage: stage.queue.extend([_lease(stage.held)], 60_000),
    "complete": lambda stage: complete(stage.queue, stage.held),
    "complete awaited": lambda stage: complete(stage.queue, stage.awaited),
    "fail awaited": lambda stage: finish(stage.queue, stage.awaited, OutcomeKind.FAIL),
    "retry later": lambda stage: finish(
        stage.queue, stage.held, OutcomeKind.RETRY_LATER, delay_ms=9
    ),
    "release": lambda stage: finish(stage.queue, stage.held, OutcomeKind.RELEASE),
    "record": lambda stage: note(stage.queue, stage.held, **EVERYTHING),
    "sweep": lambda stage: sweep(stage.queue),
    "cancel": lambda stage: cancel(stage.queue, stage.waiting.id),
    "cancel running": lambda stage: cancel(stage.queue, stage.held.id),
    "cancel blocked": lambda stage: cancel(stage.queue, stage.blocked.id),
    "retry": lambda stage: retry(stage.queue, stage.failed.id),
    "delete": lambda stage: delete(stage.queue, stage.done.id),
    "pause": lambda stage: stage.queue.pause("default"),
    "pause function": lambda stage: stage.queue.pause_function("waiting"),
    "resume": lambda stage: stage.queue.resume("stopped"),
    "resume function": lambda stage: stage.queue.resume_function("stopped"),
    "pause schedule": lambda stage: stage.queue.pause_cron("nightly", paused=True),
    "register": lambda stage: stage.queue.register(
        Registration(worker=a_worker(id="w9", name="late"), functions=(a_function(name="late"),))
    ),
    "unregister": lambda stage: stage.queue.unregister(stage.worker.id),
    "tick": _tick,
}
HARMLESS = {"number", "idle", "lanes", "meta", "subscriptions"}
"""Numbers may have gaps, an idle worker may be announced, a lane may be empty, a sweep noted."""
HINTS = ("served_by", "wanted_by", "wants", "weights", "ring", "queue_ring", "idle")
"""What is known of a kind of claims, whether or not one of them was refused."""


def _lease(job: Any) -> Any:
    return Lease(job.id, job.token)


@pytest.fixture(params=["redis_server", "old_redis_server"])
def there(request: pytest.FixtureRequest) -> RedisServer:
    return request.getfixturevalue(request.param)


@pytest.fixture
async def stage(connect: Connect, there: RedisServer, namespace: str) -> Stage:
    clock = ManualClock()
    stage = Stage(await connect(f"{there.url}?namespace={namespace}", clock=clock), clock)
    await stage.set()
    return stage


READ: dict[bytes, Callable[[Any, bytes], Any]] = {
    b"hash": lambda client, name: client.hgetall(name),
    b"list": lambda client, name: client.lrange(name, 0, -1),
    b"set": lambda client, name: client.smembers(name),
    b"zset": lambda client, name: client.zrange(name, 0, -1, withscores=True),
    b"string": lambda client, name: client.get(name),
    b"stream": lambda client, name: client.xrange(name),
}


def contents(client: Any, keys: Keys) -> dict[bytes, Any]:
    """All of a namespace that has to stay as it is, by key."""
    harmless = {keys.name(key).encode() for key in HARMLESS}
    found = set(client.keys(f"{keys.prefix}*")) - harmless
    names = {name for name in found if not name.decode().startswith(_hints(keys))}
    return {name: READ[client.type(name)](client, name) for name in names}


def _hints(keys: Keys) -> tuple[str, ...]:
    return tuple(f"{keys.prefix}{hint}:" for hint in HINTS)


@pytest.mark.parametrize("verb", VERBS)
async def test_a_verb_that_meets_a_foreign_key_names_it_and_changes_nothing(
    stage: Stage, there: RedisServer, keys: Keys, verb: str
) -> None:
    refused = []
    with Redis(port=there.port) as client:
        client.ping()
        saved = {name: client.dump(name) for name in client.keys(f"{keys.prefix}*")}
        hints = [name.decode() for name in saved if name.decode().startswith(_hints(keys))]
        assert {name[len(keys.prefix) :].partition(":")[0] for name in hints} == {*HINTS}
        for name in (*map(keys.name, FIXED), *hints):
            client.delete(name)
            is_string = FIXED.get(name[len(keys.prefix) :]) == "string"
            client.rpush(name, "mine") if is_string else client.set(name, "mine")
            before = contents(client, keys)
            error = await _refusal(VERBS[verb](stage))
            if error is not None:
                which = "one of Conduit's names" if name in hints else name
                assert f"isn't Conduit's under {which}" in str(error)
                refused.append(name)
                if verb != "sweep":  # whose duties are steps of their own
                    assert contents(client, keys) == before, name
            for each in client.keys(f"{keys.prefix}*"):
                client.delete(each)
            for each, value in saved.items():
                client.restore(each, 0, value)
    assert refused
    await VERBS[verb](stage)
    await check_history(stage.queue)


async def _refusal(call: Awaitable[Any]) -> QueueUnavailableError | None:
    try:
        await call
    except QueueUnavailableError as error:
        return error
    return None


@pytest.mark.parametrize("part", ["metadata", "checkpoint", "steps", "logs"])
async def test_a_foreign_key_of_one_job_keeps_neither_it_nor_others_from_their_ends(
    there: RedisServer, connect: Connect, keys: Keys, namespace: str, part: str
) -> None:
    queue = await connect(f"{there.url}?namespace={namespace}")
    new = await submit(queue, id="odd", metadata=b'{"a":1}')
    await submit(queue, id="other")
    foreign = keys.name(part, ":odd")
    await execute(there, "DEL", foreign)
    if part == "checkpoint":
        await execute(there, "RPUSH", foreign, "mine")
    else:
        await execute(there, "SET", foreign, "mine")
    first, second = await claim(queue)
    assert first.id == new.id
    if part != "checkpoint":  # which is written over
        with pytest.raises(QueueCorruptError, match=f"{foreign}, and nothing was written"):
            await note(queue, first, **EVERYTHING, steps=b'{"s":1}')
    assert await complete(queue, first) is Finished.OK
    assert await complete(queue, second) is Finished.OK
    assert await delete(queue, first.id)
    await check_history(queue)


@pytest.mark.parametrize("value", ["mine", "\x81\xa1s\xa1q", "\x82\xa1s\x01\xa1q\x01", "\xc1"])
async def test_a_state_that_is_not_ours_keeps_no_other_job_from_its_way(
    there: RedisServer, connect: Connect, keys: Keys, namespace: str, value: str
) -> None:
    clock = ManualClock()
    queue = await connect(f"{there.url}?namespace={namespace}", clock=clock)
    odd = await submit(queue)
    held = await running(queue, function="held")
    later = await submit(queue, delay_ms=1000)
    new = await submit(queue)
    states = keys.name("states")
    for job in (odd, held, later):
        await execute(there, "HSET", states, short(job.id), value)
    assert [job.id for job in await claim(queue)] == [new.id]
    for _ in range(5):
        await sweep(queue)
        clock.advance(5_000)
    assert await complete(queue, held) is Finished.STALE
    with pytest.raises(QueueCorruptError, match="is damaged"):
        await get(queue, odd.id)


async def test_a_count_that_is_no_number_refuses_a_submit_in_words_and_keeps_nothing(
    there: RedisServer, connect: Connect, keys: Keys, namespace: str
) -> None:
    queue = await connect(f"{there.url}?namespace={namespace}")
    await execute(there, "HSET", keys.name("counts"), "q:default", "mine")
    job = a_job()
    with pytest.raises(QueueUnavailableError, match="has no number at q:default"):
        await queue.submit([job])
    assert await queue.get([job.id]) == [None]
    await execute(there, "DEL", keys.name("counts"))
    await queue.submit([job])
    assert (await claim_one(queue)).id == job.id
    await check_history(queue)


@pytest.mark.parametrize("key", ["finished", "leases", "states", "events", "counts"])
async def test_a_worker_outlives_a_foreign_key_and_delivers_what_it_holds_when_that_is_gone(
    start_bench: StartBench,
    there: RedisServer,
    keys: Keys,
    namespace: str,
    key: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench = await start_bench(f"{there.url}?namespace={namespace}")
    begun, go = asyncio.Event(), asyncio.Event()

    async def work() -> str:
        begun.set()
        await go.wait()
        return "kept"

    async def is_told() -> bool:
        return f"isn't Conduit's under {keys.name(key)}" in caplog.text

    worker: WorkerService = await bench.start(task(work))
    job_id = await bench.submit("work")
    await begun.wait()
    saved = await execute(there, "COPY", keys.name(key), keys.name("meta") + "saved")
    await execute(there, "SET", keys.name(key), "mine")
    go.set()
    await until(is_told)
    if saved:
        await execute(there, "RENAME", keys.name("meta") + "saved", keys.name(key))
    else:
        await execute(there, "DEL", keys.name(key))
    done = await bench.finished(job_id)
    assert (done.status, done.result, done.attempt) == (JobStatus.COMPLETED, b'"kept"', 1)
    assert worker._main is not None
    assert not worker._main.done()
