"""register, heartbeat, unregister, workers, functions."""

from __future__ import annotations

import json

import pytest
from msgspec import structs

from conduit.core.errors import RegistrationConflictError
from conduit.core.events import Report
from conduit.core.model import FunctionInfo, Standstill, StandstillWait
from conduit.queue.base import ALIVE_MS, Queue, Registration
from tests.conformance.backends import Backend
from tests.conformance.builders import (
    DAY,
    HOUR,
    MINUTE,
    SECOND,
    SWEEP_STEP,
    a_cron,
    a_function,
    a_worker,
    sweep,
    sweep_for,
)
from tests.conformance.history import Reader


async def reports_of(queue: Queue) -> list[Report]:
    return [report for e in await Reader().read(queue) for report in e.entry.reports]


async def register(queue: Queue, name: str, *functions: FunctionInfo, worker_id: str = "") -> None:
    """Announce a worker of this name with these functions."""
    worker = a_worker(id=worker_id or f"{name}-1", name=name)
    await queue.register(Registration(worker=worker, functions=functions))


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
    assert await queue.heartbeat("w1", 3)
    (listed,) = await queue.workers()
    assert (listed.running, listed.seen_at) == (3, backend.clock.now)


async def test_what_a_worker_says_of_itself_is_replaced_and_its_times_stay(
    backend: Backend,
) -> None:
    queue, began = backend.queue, backend.clock.now
    await queue.register(Registration(worker=a_worker(), functions=(a_function(),)))
    backend.clock.advance(5 * SECOND)
    await queue.heartbeat("w1", 3)
    wait = StandstillWait(waiter="parent", awaited="child", queue="default")
    standstill = Standstill(places=3, functions=("parent", "child"), waits=(wait,))
    await queue.update_worker(structs.replace(a_worker(), standstills=(standstill,)))
    (listed,) = await queue.workers()
    assert listed.standstills == (standstill,)
    assert (listed.running, listed.started_at, listed.seen_at) == (3, began, began + 5 * SECOND)
    await queue.update_worker(a_worker())
    (listed,) = await queue.workers()
    assert listed.standstills == ()


async def test_a_stranger_that_says_something_of_itself_stays_unknown(queue: Queue) -> None:
    await queue.update_worker(a_worker())
    assert await queue.workers() == []


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
    assert await queue.workers() == []


async def test_a_worker_that_is_not_known_hears_so(backend: Backend) -> None:
    queue = backend.queue
    assert not await queue.heartbeat("nobody", 0)
    assert await queue.workers() == []
    await queue.register(Registration(worker=a_worker()))
    assert await queue.heartbeat("w1", 0)
    backend.clock.advance(2 * HOUR)
    await sweep_for(backend, 2 * MINUTE)
    assert not await queue.heartbeat("w1", 0)
    await queue.register(Registration(worker=a_worker()))
    assert await queue.heartbeat("w1", 0)


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
    reports = [(report.kind, report.subject) for report in await reports_of(queue)]
    assert reports == [("worker.started", "w1"), ("worker.stopped", "w1")]


# --- workers that fall silent -----------------------------------------------------------------


async def test_a_worker_that_fell_silent_is_reported_as_lost_once(backend: Backend) -> None:
    queue = backend.queue
    await register(queue, "alive")
    await register(queue, "killed")
    killed_at = backend.clock.now
    await sweep_for(backend, 5 * MINUTE, beating=("alive-1",))
    lost = [report for report in await reports_of(queue) if report.kind == "worker.lost"]
    assert [report.subject for report in lost] == ["killed-1"]
    assert killed_at + ALIVE_MS <= lost[0].at <= killed_at + ALIVE_MS + SWEEP_STEP
    assert json.loads(bytes(lost[0].data)) == {"seen_at": killed_at}


@pytest.mark.parametrize("pause_ms", [2 * MINUTE, 50 * MINUTE])
async def test_a_worker_that_was_paused_is_listed_again(backend: Backend, pause_ms: int) -> None:
    queue = backend.queue
    await register(queue, "alive")
    await register(queue, "paused")
    await sweep_for(backend, pause_ms, beating=("alive-1",))
    assert [worker.id for worker in await queue.workers()] == ["alive-1"]
    await queue.heartbeat("paused-1", 2)
    assert {worker.id: worker.running for worker in await queue.workers()} == {
        "alive-1": 0,
        "paused-1": 2,
    }


async def test_a_worker_that_is_lost_again_is_reported_again(backend: Backend) -> None:
    queue = backend.queue
    await register(queue, "orders")
    for _ in range(2):
        await sweep_for(backend, 2 * MINUTE)
        await queue.heartbeat("orders-1", 0)
    kinds = [report.kind for report in await reports_of(queue)]
    assert kinds == ["worker.started", "worker.lost", "worker.lost"]


async def test_a_worker_that_never_comes_back_is_forgotten_in_the_end(backend: Backend) -> None:
    queue = backend.queue
    await register(queue, "orders")
    await sweep_for(backend, HOUR + 2 * MINUTE)
    await queue.heartbeat("orders-1", 0)
    assert await queue.workers() == []
    kinds = [report.kind for report in await reports_of(queue)]
    assert kinds == ["worker.started", "worker.lost"]


async def test_nobody_is_lost_while_the_whole_machine_slept(backend: Backend) -> None:
    queue = backend.queue
    await register(queue, "orders")
    await sweep_for(backend, 2 * MINUTE, beating=("orders-1",))
    backend.clock.advance(10 * HOUR)
    await sweep(queue)
    await queue.heartbeat("orders-1", 0)
    await sweep_for(backend, 2 * MINUTE, beating=("orders-1",))
    assert [worker.id for worker in await queue.workers()] == ["orders-1"]
    assert [report.kind for report in await reports_of(queue)] == ["worker.started"]


async def test_queues_of_a_lost_worker_are_no_longer_listed(backend: Backend) -> None:
    queue = backend.queue
    await queue.register(Registration(worker=a_worker(id="w1", queues=("theirs",))))
    assert [info.name for info in await queue.queues()] == ["theirs"]
    await sweep_for(backend, 2 * MINUTE)
    assert await queue.queues() == []


# --- registrations that grow old ----------------------------------------------------------------


async def test_functions_are_forgotten_when_no_worker_of_that_name_was_there_for_a_week(
    backend: Backend,
) -> None:
    queue = backend.queue
    await register(queue, "old", a_function(worker="old"))
    await register(queue, "new", a_function(worker="new"))
    backend.clock.advance(2 * HOUR)
    await queue.heartbeat("new-1", 0)
    await sweep_for(backend, 2 * MINUTE, beating=("new-1",))  # the old one is gone and forgotten
    for _ in range(7):
        assert [info.worker for info in await queue.functions()] == ["old", "new"]
        backend.clock.advance(DAY)
        await queue.heartbeat("new-1", 0)
        await sweep_for(backend, 2 * MINUTE, beating=("new-1",))
    assert await queue.functions() == [a_function(worker="new")]


async def test_the_week_counts_from_the_end_of_the_last_worker_of_that_name(
    backend: Backend,
) -> None:
    queue = backend.queue
    await register(queue, "orders", a_function())
    await register(queue, "orders", a_function(), worker_id="orders-2")
    await sweep_for(backend, 2 * MINUTE, beating=("orders-1", "orders-2"))
    backend.clock.advance(6 * DAY)
    await queue.heartbeat("orders-1", 0)
    await queue.heartbeat("orders-2", 0)
    await queue.unregister("orders-1")
    await sweep_for(backend, 2 * MINUTE, beating=("orders-2",))
    await queue.unregister("orders-2")
    backend.clock.advance(6 * DAY)
    await sweep_for(backend, 2 * MINUTE)
    assert await queue.functions() == [a_function()]
    backend.clock.advance(2 * DAY)
    await sweep_for(backend, 2 * MINUTE)
    assert await queue.functions() == []


async def test_of_one_functions_workers_the_one_that_lives_comes_last(backend: Backend) -> None:
    queue = backend.queue
    names = ("a", "b", "c")
    for name in names:
        await register(queue, name, a_function(worker=name))
    assert [info.worker for info in await queue.functions()] == ["a", "b", "c"]
    await queue.unregister("c-1")
    backend.clock.advance(2 * MINUTE)
    await queue.heartbeat("a-1", 0)
    assert [info.worker for info in await queue.functions()] == ["b", "c", "a"]
    backend.clock.advance(SECOND)
    await queue.heartbeat("b-1", 0)
    assert [info.worker for info in await queue.functions()] == ["c", "a", "b"]


# --- registrations that contradict each other ---------------------------------------------------


async def test_another_function_of_the_same_name_and_queue_is_refused(queue: Queue) -> None:
    await register(queue, "orders", a_function(signature="(n: int)"))
    with pytest.raises(RegistrationConflictError) as caught:
        await register(queue, "shop", a_function("fine"), a_function(signature="(text: str)"))
    assert caught.value.exit_code == 3
    for word in ("'orders'", "function", "'task'", "name=..."):
        assert word in str(caught.value)
    assert [worker.name for worker in await queue.workers()] == ["orders"]
    assert await queue.functions() == [a_function(signature="(n: int)")]


async def test_a_function_that_workers_share_is_no_conflict(queue: Queue) -> None:
    await register(queue, "orders", a_function())
    await register(queue, "shop", a_function(worker="shop", retries=3))
    await register(queue, "mail", a_function(worker="mail", queue="mail", signature="(to: str)"))
    assert [info.worker for info in await queue.functions()] == ["mail", "orders", "shop"]


async def test_a_worker_may_change_its_own_functions(queue: Queue) -> None:
    await register(queue, "orders", a_function(signature="(n: int)"))
    await register(queue, "orders", a_function(signature="(text: str)"), worker_id="orders-2")
    assert await queue.functions() == [a_function(signature="(text: str)")]


@pytest.mark.parametrize("how", ["stopped", "killed"])
async def test_the_functions_of_a_worker_that_is_gone_stand_in_nobodys_way(
    backend: Backend, how: str
) -> None:
    queue = backend.queue
    await register(queue, "orders", a_function(signature="(n: int)"))
    if how == "stopped":
        await queue.unregister("orders-1")
    else:
        backend.clock.advance(ALIVE_MS)
    changed = a_function(worker="shop", signature="(text: str)")
    await register(queue, "shop", changed)
    assert changed in await queue.functions()


@pytest.mark.parametrize("other", [{"fingerprint": "f2"}, {"function": "other"}], ids=str)
async def test_another_cron_of_the_same_name_is_refused(
    backend: Backend, other: dict[str, str]
) -> None:
    queue = backend.queue
    await queue.register(Registration(worker=a_worker(), crons=(a_cron(),)))
    theirs = Registration(
        worker=a_worker(id="x1", name="shop"), crons=(a_cron(worker="shop", **other),)
    )
    with pytest.raises(RegistrationConflictError, match="'orders' is running with another cron"):
        await queue.register(theirs)
    (kept,) = await queue.crons()
    assert (kept.worker, kept.fingerprint, kept.function) == ("orders", "f1", "task")
    assert [worker.id for worker in await queue.workers()] == ["w1"]

    await queue.unregister("w1")
    await queue.register(theirs)
    (kept,) = await queue.crons()
    assert kept.worker == "shop"


async def test_an_equal_cron_is_shared_and_stays_its_first_workers(backend: Backend) -> None:
    queue = backend.queue
    await queue.register(Registration(worker=a_worker(), crons=(a_cron(),)))
    began = backend.clock.now
    backend.clock.advance(SECOND)
    shop = a_worker(id="x1", name="shop")
    await queue.register(Registration(worker=shop, crons=(a_cron(worker="shop"),)))
    (kept,) = await queue.crons()
    assert (kept.worker, kept.last_tick) == ("orders", began)
    await queue.register(Registration(worker=shop))  # no longer has it, and it wasn't its own
    assert [cron.worker for cron in await queue.crons()] == ["orders"]
