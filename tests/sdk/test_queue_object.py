"""A queue that is handed to a worker: used where it is open, never closed, on both stores."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import conduit
from conduit import ConfigurationError, InvalidTaskError, Worker
from conduit.queue import Queue, open_queue
from conduit.queue.base import JobFilter
from tests.sdk.support import running_in_thread


async def double(number: int) -> int:
    return 2 * number


@pytest.fixture(autouse=True)
def another_place(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """What the settings name is another queue, which has to stay untouched."""
    path = tmp_path / "elsewhere.db"
    monkeypatch.setenv("CONDUIT_QUEUE_URL", f"sqlite:///{path}")
    yield path
    assert not path.exists()


async def test_worker_and_submits_use_an_open_queue_and_leave_it_open(
    store_url: str,
) -> None:
    async with open_queue(store_url) as queue:
        worker = Worker("w", queue=queue)
        task = worker.task(double)
        future = await task.submit(2)
        async with worker:
            assert await future.value() == 4
            assert await conduit.map_tasks(task, [1, 2, 3]) == [2, 4, 6]
            assert await asyncio.to_thread(lambda: task.wait_sync(5).value) == 10
        assert (await queue.find(JobFilter())).total == 5
        assert [worker.name for worker in await queue.workers()] == []


async def test_what_is_done_with_it_goes_through_the_very_object(store_url: str) -> None:
    class Counted:
        """Another's queue with something of one's own in front."""

        def __init__(self, queue: Queue) -> None:
            self._queue = queue
            self.calls: list[str] = []

        def __getattr__(self, name: str) -> Any:
            self.calls.append(name)
            return getattr(self._queue, name)

    async with open_queue(store_url) as queue:
        counted: Any = Counted(queue)
        worker = Worker("w", queue=counted)
        task = worker.task(double)
        async with worker:
            assert (await task.wait(2)).value == 4
        assert {"submit", "claim", "finish", "wait_finished"} <= set(counted.calls)
        assert "close" not in counted.calls
        assert "open" not in counted.calls


async def test_one_that_is_not_open_here_says_where_the_store_is(
    store_url: str,
) -> None:
    queue = open_queue(store_url)
    worker = Worker("w", queue=queue)
    task = worker.task(double)
    async with worker:
        assert (await task.wait(2)).value == 4
        assert queue.loop is None


def test_each_event_loop_has_its_own(store_url: str) -> None:
    async def main() -> None:
        async with open_queue(store_url) as queue:
            worker = Worker("w", queue=queue)
            task = worker.task(double)
            with running_in_thread(worker):
                assert (await task.wait(2)).value == 4
                assert await asyncio.to_thread(lambda: task.wait_sync(3).value) == 6
            assert queue.loop is asyncio.get_running_loop()

    asyncio.run(main())


async def test_submits_go_on_when_its_owner_has_closed_it(store_url: str) -> None:
    queue = open_queue(store_url)
    task = Worker("w", queue=queue).task(double)
    async with queue:
        first = await task.submit(1)
    second = await task.submit(2)
    assert [await first.status(), await second.status()] == ["queued", "queued"]


async def test_execute_uses_it_and_leaves_it_open(store_url: str) -> None:
    async with open_queue(store_url) as queue:
        worker = Worker("w", queue=queue)
        worker.task(double)
        assert (await worker.execute("double", {"number": 4})).value == 8
        assert (await queue.find(JobFilter())).total == 1


async def test_futures_of_a_task_ask_its_queue(store_url: str) -> None:
    async with open_queue(store_url) as queue:
        task = Worker("w", queue=queue).task(double)
        future = await task.submit(1)
        again = conduit.Future.of(future.job_id, task)
        assert await again.cancel()
        assert await again.status() == "cancelled"


async def test_a_setting_of_the_run_takes_its_place(store_url: str, tmp_path: Path) -> None:
    async with open_queue(store_url) as queue:
        worker = Worker("w", queue=queue)
        task = worker.task(double)
        worker.configure(queue_url=f"sqlite:///{tmp_path / 'of_flag.db'}")
        await task.submit(1)
        assert (await queue.find(JobFilter())).total == 0
        worker.configure(queue=queue)
        await task.submit(1)
        assert (await queue.find(JobFilter())).total == 1


def test_what_is_no_queue_is_refused(store_url: str) -> None:
    wrong: Any = store_url
    with pytest.raises(InvalidTaskError, match="must be a queue"):
        Worker("w", queue=wrong)
    with pytest.raises(ConfigurationError, match="must be a queue"):
        Worker("w").configure(queue=wrong)
    with pytest.raises(InvalidTaskError, match="give one of them"):
        Worker("w", queue=open_queue(store_url), queue_url=store_url)
