"""A process that forks while its queue's file is open: nothing of it is open at that moment."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from conduit import Worker
from conduit.core.errors import JobNotFoundError, QueueCorruptError, QueueError
from conduit.queue import forks, open_queue
from conduit.queue.sqlite import SqliteQueue
from conduit.queue.sqlite.database import Database
from tests.conformance.builders import get, submit
from tests.queue.conftest import Others
from tests.queue.test_sqlite_hazards import PATIENCE, check_integrity
from tests.sdk.forking_service import ended_well, in_child, open_files

shows_what_is_open = pytest.mark.skipif(
    not Path("/proc/self/fd").exists(), reason="the system doesn't show what is open"
)


@pytest.fixture
async def database(path: Path) -> AsyncGenerator[Database]:
    """The file, opened without a queue's verbs."""
    database = Database(path)
    await database.open()
    yield database
    await database.close()


def check_nothing_open() -> None:
    assert open_files() == []


def use_anew(path: Path) -> None:
    """Open, use and close the file in a child, which has no event loop yet."""

    async def use() -> None:
        database = Database(path)
        await database.open()
        await database.write(lambda db: db.execute("DELETE FROM meta WHERE name = 'none'").rowcount)
        await database.close()

    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, use()).result()


def hears(path: Path, words: str) -> None:
    with pytest.raises(QueueError, match=words):
        use_anew(path)


@shows_what_is_open
async def test_a_child_inherits_no_handle_of_the_file(queue: SqliteQueue, path: Path) -> None:
    with pytest.raises(JobNotFoundError) as kept:  # an error that is kept keeps nothing open
        await queue.wait_finished(["none"], 0)
    await submit(queue)
    assert open_files()
    assert ended_well(in_child(check_nothing_open))
    assert kept.value.job_id == "none"


@shows_what_is_open
async def test_a_fork_doesnt_wait_for_a_lock_that_another_process_has(
    queue: SqliteQueue, path: Path, others: Others
) -> None:
    locker = await others.lock()
    submits = [asyncio.create_task(submit(queue)) for _ in range(3)]
    await asyncio.sleep(0)  # they are with the writer, which waits
    for _ in range(3):
        assert ended_well(in_child(check_nothing_open))
    await others.unlock(locker)
    for job in await asyncio.gather(*submits):
        assert (await get(queue, job.id)).id == job.id
    check_integrity(path)


async def test_who_watches_for_changes_at_a_fork_hears_of_those_that_come_after(
    queue: SqliteQueue, path: Path, others: Others, url: str
) -> None:
    job_id = (await submit(queue)).id
    waiting = asyncio.create_task(queue.wait_finished([job_id], PATIENCE))
    await asyncio.sleep(0)
    for _ in range(3):
        assert ended_well(in_child(lambda: use_anew(path)))
    async with open_queue(url) as other:
        await other.cancel([job_id], "cancelled")
    (job,) = await waiting
    assert job.id == job_id


async def test_a_child_of_a_parent_that_never_came_to_rest_is_refused_the_file_in_words(
    database: Database, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that hangs, say. The parent goes on, and may use the file."""
    monkeypatch.setattr(forks, "PATIENCE_S", 0.1)
    busy, free = threading.Event(), threading.Event()

    def hang(_db: sqlite3.Connection) -> None:
        busy.set()
        free.wait()

    hanging = asyncio.create_task(database.write(hang))
    await asyncio.to_thread(busy.wait)
    child = in_child(lambda: hears(path, "can't be used in this process: it was forked while"))
    assert ended_well(child)
    free.set()
    await hanging
    assert ended_well(in_child(lambda: use_anew(path)))
    check_integrity(path)


async def test_a_file_that_was_removed_during_a_fork_isnt_made_anew(
    queue: SqliteQueue, path: Path
) -> None:
    await submit(queue)

    def remove() -> None:
        for each in path.parent.glob(f"{path.name}*"):
            each.unlink()

    assert ended_well(in_child(remove))
    with pytest.raises(QueueCorruptError, match="was removed or replaced"):
        await submit(queue)
    assert not path.exists()  # noqa: ASYNC240


async def test_a_sync_call_on_the_files_own_thread_is_refused_in_words(
    database: Database,
) -> None:
    """As a finaliser makes it, which runs in any thread."""
    task = Worker("test").task(nothing)
    with pytest.raises(QueueError, match="call none in a finaliser such as __del__"):
        await database.write(lambda _db: task.submit_sync())


def nothing() -> None: ...
