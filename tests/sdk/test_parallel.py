"""The helpers for many jobs at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any, cast

import pytest

import conduit
import conduit.parallel
import conduit.sdk.parallel
from conduit import (
    ArgumentError,
    Future,
    InvalidOptionError,
    JobStatus,
    SerializationError,
    TaskFailedError,
    Worker,
    as_completed,
    first_completed,
    gather,
    map_tasks,
    submit_many,
)
from conduit.queue import Queue
from conduit.queue.base import JobFilter
from conduit.sdk import submitting
from tests.sdk.support import running_in_thread


async def add(left: int, right: int = 1) -> int:
    if left < 0:
        raise ValueError(f"negative: {left}")
    return left + right


class Gates:
    """Jobs that end when they are told to."""

    def __init__(self, worker: Worker) -> None:
        self.open: dict[str, asyncio.Event] = {}
        self.started: asyncio.Queue[str] = asyncio.Queue()
        self.handle = worker.task(self.wait)

    async def wait(self, name: str) -> str:
        gate = self.open.setdefault(name, asyncio.Event())
        self.started.put_nowait(name)
        await gate.wait()
        return name


def test_the_helpers_are_in_conduit_and_in_conduit_parallel() -> None:
    for name in conduit.parallel.__all__:
        assert getattr(conduit, name) is getattr(conduit.parallel, name)


async def test_an_input_that_does_not_fit_is_named_by_its_number(worker: Worker) -> None:
    handle = worker.task(add)
    with pytest.raises(ArgumentError, match=r"^input 1: argument 'left' of task 'add'"):
        await submit_many(handle, [1, "two", 3])
    with pytest.raises(SerializationError, match=r"^input 2: ") as caught:
        await submit_many(handle, [1, 2, object()])
    assert caught.value.path == "args[0]"
    async with worker:
        with pytest.raises(ArgumentError, match=r"^input 2: argument 'left'"):
            await map_tasks(handle, [1, 2, "three"], concurrency=1)


async def test_submit_many_takes_dicts_tuples_and_single_values(worker: Worker) -> None:
    handle = worker.task(add)
    futures = await submit_many(handle, [{"left": 1, "right": 2}, (3, 4), 5])
    assert all(isinstance(future, Future) for future in futures)
    async with worker:
        assert await gather(*futures) == [3, 7, 6]


async def test_submit_many_checks_all_arguments_before_anything_is_sent(
    worker: Worker, queue: Queue
) -> None:
    with pytest.raises(ArgumentError, match="left"):
        await submit_many(worker.task(add), [1, 2, "three"])
    assert (await queue.find(JobFilter())).total == 0


async def test_a_large_submit_many_goes_in_steps_and_keeps_its_order(
    worker: Worker, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submitting, "STEP", 2)
    futures = await submit_many(worker.task(add), range(5))
    entries = await queue.read_events("test", "test")
    assert [len(each.entry.events) for each in entries] == [2, 2, 1]
    async with worker:
        assert await gather(*futures) == [1, 2, 3, 4, 5]


async def test_what_is_no_task_and_no_future_is_refused_by_name(worker: Worker) -> None:
    for helper in (submit_many, map_tasks):
        with pytest.raises(TypeError, match=r"<function add .* isn't a task: .*@worker\.task"):
            await helper(cast("Any", add), [1])
    with pytest.raises(TypeError, match="5 isn't a Future"):
        await gather(cast("Any", 5))
    future = await worker.task(add).submit(1)
    with pytest.raises(TypeError, match="'x' isn't a Future"):
        await first_completed(future, cast("Any", "x"))
    with pytest.raises(InvalidOptionError, match="timeout=-1"):
        await first_completed(future, timeout=-1)


async def test_submit_many_of_nothing_is_nothing(worker: Worker) -> None:
    assert await submit_many(worker.task(add), []) == []
    assert await map_tasks(worker.task(add, name="again"), []) == []
    assert await gather() == []


async def test_submit_many_gives_duplicates_the_same_job(worker: Worker) -> None:
    first, other, again = await submit_many(worker.task(add, unique=True), [1, 2, 1])
    assert first.job_id == again.job_id != other.job_id


async def test_map_tasks_returns_values_in_the_order_of_the_inputs(worker: Worker) -> None:
    handle = worker.task(add)
    async with worker:
        assert await map_tasks(handle, range(20)) == list(range(1, 21))
        assert await map_tasks(handle, iter(range(20)), concurrency=3) == list(range(1, 21))


async def test_map_tasks_keeps_to_its_concurrency_and_reads_inputs_as_there_is_room(
    worker: Worker,
) -> None:
    gates = Gates(worker)
    read: list[str] = []

    def names() -> Iterator[str]:
        for name in "abcd":
            read.append(name)
            yield name

    async with worker:
        mapping = asyncio.create_task(map_tasks(gates.handle, names(), concurrency=2))
        assert {await gates.started.get(), await gates.started.get()} == {"a", "b"}
        assert read == ["a", "b"]
        gates.open["b"].set()
        assert await gates.started.get() == "c"
        assert read == ["a", "b", "c"]
        gates.open["a"].set()
        assert await gates.started.get() == "d"
        gates.open["c"].set()
        gates.open["d"].set()
        assert await mapping == ["a", "b", "c", "d"]


async def test_map_tasks_consumes_an_async_generator_as_it_comes(worker: Worker) -> None:
    gates = Gates(worker)

    first_started = asyncio.Event()

    async def names() -> AsyncIterator[str]:
        yield "first"
        await first_started.wait()
        yield "second"

    async with worker:
        mapping = asyncio.create_task(map_tasks(gates.handle, names()))
        assert await gates.started.get() == "first"
        first_started.set()
        assert await gates.started.get() == "second"
        for gate in gates.open.values():
            gate.set()
        assert await mapping == ["first", "second"]


async def test_map_tasks_raises_the_first_failure_and_cancels_what_has_not_finished(
    worker: Worker, queue: Queue
) -> None:
    started = asyncio.Event()

    @worker.task
    async def work(number: int) -> None:
        if number == 1:
            await started.wait()
            raise ValueError("one")
        started.set()
        await asyncio.Event().wait()

    async with worker:
        with pytest.raises(TaskFailedError, match="one"):
            await map_tasks(work, [0, 1])
        other = next(
            job for job in (await queue.find(JobFilter())).items if job.args == b'{"number":0}'
        )
        (ended,) = await queue.wait_finished([other.id], 20)
    assert ended.status is JobStatus.CANCELLED


async def test_map_tasks_refuses_a_concurrency_of_nothing(worker: Worker) -> None:
    with pytest.raises(InvalidOptionError, match="concurrency=0"):
        await map_tasks(worker.task(add), [1], concurrency=0)


async def test_gather_raises_the_first_failure_and_lets_the_others_go_on(worker: Worker) -> None:
    gates = Gates(worker)
    handle = worker.task(add)
    async with worker:
        slow = await gates.handle.submit("slow")
        bad = await handle.submit(-1)
        with pytest.raises(TaskFailedError, match="negative"):
            await gather(slow, bad)
        await gates.started.get()
        gates.open["slow"].set()
        assert await slow.value() == "slow"


async def test_gather_can_hand_back_errors_in_their_place(worker: Worker) -> None:
    handle = worker.task(add)
    async with worker:
        futures = await submit_many(handle, [1, -1])
        good, bad = await gather(*futures, return_exceptions=True)
    assert good == 2
    assert isinstance(bad, TaskFailedError)


async def test_first_completed_returns_the_winners_value_and_cancels_the_losers(
    worker: Worker,
) -> None:
    gates = Gates(worker)
    async with worker:
        slow, fast = await submit_many(gates.handle, ["slow", "fast"])
        race = asyncio.create_task(first_completed(slow, fast))
        assert {await gates.started.get(), await gates.started.get()} == {"slow", "fast"}
        gates.open["fast"].set()
        assert await race == "fast"
        with pytest.raises(conduit.TaskCancelledError):
            await slow.result()


async def test_first_completed_past_its_timeout_leaves_the_jobs_alone(worker: Worker) -> None:
    futures = await submit_many(worker.task(add), [1, 2])
    with pytest.raises(TimeoutError):
        await first_completed(*futures, timeout=0.01)
    assert {await future.status() for future in futures} == {JobStatus.QUEUED}


async def test_as_completed_yields_futures_as_their_jobs_finish(worker: Worker) -> None:
    gates = Gates(worker)
    async with worker:
        futures = await submit_many(gates.handle, ["a", "b", "c"])
        for _ in futures:
            await gates.started.get()
        order: list[str] = []
        gates.open["b"].set()
        async for future in as_completed(futures):
            order.append(await future.value())
            following = {"b": "c", "c": "a"}.get(order[-1])
            if following is not None:
                gates.open[following].set()
    assert order == ["b", "c", "a"]


async def test_as_completed_stops_at_its_timeout(worker: Worker) -> None:
    futures = await submit_many(worker.task(add), [1])
    with pytest.raises(TimeoutError, match="1 of 1 jobs"):
        await anext(as_completed(futures, timeout=0.01))


def test_the_sync_twins_work_without_an_event_loop(worker: Worker) -> None:
    handle = worker.task(add)
    with running_in_thread(worker):
        futures = conduit.submit_many_sync(handle, [1, 2])
        assert conduit.gather_sync(*futures) == [2, 3]
        assert conduit.map_tasks_sync(handle, range(5), concurrency=2) == [1, 2, 3, 4, 5]
