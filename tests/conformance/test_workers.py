"""register, heartbeat, unregister, workers, functions."""

from __future__ import annotations

from conduit.queue.base import Queue, Registration
from tests.conformance.backends import Backend
from tests.conformance.builders import HOUR, SECOND, a_function, a_worker, sweep
from tests.conformance.history import Reader


async def test_a_registered_worker_is_listed(backend: Backend) -> None:
    worker = a_worker(host="box", pid=42, queues=("a", "b"), concurrency=8)
    await backend.queue.register(Registration(worker=worker))
    (listed,) = await backend.queue.workers()
    assert (listed.id, listed.name, listed.host, listed.pid) == ("w1", "orders", "box", 42)
    assert (listed.queues, listed.concurrency, listed.running) == (("a", "b"), 8, 0)
    assert listed.seen_at == backend.clock.now


async def test_a_heartbeat_says_how_much_runs_and_when(backend: Backend) -> None:
    queue = backend.queue
    await queue.register(Registration(worker=a_worker()))
    backend.clock.advance(5 * SECOND)
    await queue.heartbeat("w1", 3)
    (listed,) = await queue.workers()
    assert (listed.running, listed.seen_at) == (3, backend.clock.now)


async def test_a_worker_that_beats_stays_listed_and_a_silent_one_goes(backend: Backend) -> None:
    queue = backend.queue
    for worker_id in ("alive", "silent"):
        await queue.register(Registration(worker=a_worker(id=worker_id)))
    for _ in range(20):
        backend.clock.advance(5 * SECOND)
        await queue.heartbeat("alive", 0)
        await sweep(queue)
    assert [worker.id for worker in await queue.workers()] == ["alive"]


async def test_an_unregistered_worker_goes_and_its_functions_stay(queue: Queue) -> None:
    await queue.register(Registration(worker=a_worker(), functions=(a_function(),)))
    await queue.unregister("w1")
    assert await queue.workers() == []
    assert await queue.functions() == [a_function()]


async def test_unregistering_twice_or_a_stranger_is_fine(queue: Queue) -> None:
    await queue.register(Registration(worker=a_worker()))
    await queue.unregister("w1")
    await queue.unregister("w1")
    await queue.unregister("nobody")
    await queue.heartbeat("nobody", 0)
    assert await queue.workers() == []


async def test_two_processes_of_one_worker_are_two(queue: Queue) -> None:
    for worker_id in ("w1", "w2"):
        await queue.register(Registration(worker=a_worker(id=worker_id)))
    assert {worker.id for worker in await queue.workers()} == {"w1", "w2"}


async def test_functions_are_listed_by_name_with_all_they_say(queue: Queue) -> None:
    functions = (
        a_function("b", signature="(n: int)", doc="Count.", retries=2, timeout_ms=5, priority=1),
        a_function("a", queue="other", max_deliveries=1),
        a_function("c", event="order.*"),
    )
    await queue.register(Registration(worker=a_worker(), functions=functions))
    assert await queue.functions() == sorted(functions, key=lambda function: function.name)


async def test_a_new_registration_replaces_what_its_worker_had(queue: Queue) -> None:
    theirs = a_function("theirs", worker="other")
    await queue.register(Registration(worker=a_worker(id="x1", name="other"), functions=(theirs,)))
    await queue.register(
        Registration(worker=a_worker(), functions=(a_function("old"), a_function("kept")))
    )
    changed = a_function("kept", retries=9)
    await queue.register(Registration(worker=a_worker(id="w2"), functions=(changed,)))
    assert await queue.functions() == [changed, theirs]


async def test_functions_do_not_age(backend: Backend) -> None:
    queue = backend.queue
    await queue.register(Registration(worker=a_worker(), functions=(a_function(),)))
    backend.clock.advance(100 * HOUR)
    await sweep(queue)
    assert await queue.functions() == [a_function()]
    assert await queue.workers() == []


async def test_starts_and_stops_of_workers_are_reported(queue: Queue) -> None:
    await queue.register(Registration(worker=a_worker()))
    await queue.unregister("w1")
    entries = await Reader().read(queue)
    reports = [(report.kind, report.subject) for e in entries for report in e.entry.reports]
    assert reports == [("worker.started", "w1"), ("worker.stopped", "w1")]
