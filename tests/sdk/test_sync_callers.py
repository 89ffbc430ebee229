"""Callers without an event loop: scripts, threads, notebooks, forked children."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import conduit
from conduit import JobStatus, Worker
from tests.sdk.support import run_script, running_in_thread

SERVICE = """
import conduit

worker = conduit.Worker("orders")

@worker.task
async def charge(cents: int) -> int:
    return cents
"""


async def echo(value: int) -> int:
    return value


def test_the_second_submit_sync_in_a_process_works(worker: Worker) -> None:
    handle = worker.task(echo)
    first, second = handle.submit_sync(1), handle.submit_sync(2)
    assert first.job_id != second.job_id
    assert {first.status_sync(), second.status_sync()} == {JobStatus.QUEUED}


def test_every_sync_twin_works(worker: Worker) -> None:
    handle = worker.task(echo)
    cancelled = handle.submit_sync(0)
    assert cancelled.cancel_sync()
    assert cancelled.status_sync() is JobStatus.CANCELLED
    with running_in_thread(worker):
        cancelled.retry_sync()
        assert cancelled.value_sync() == 0
        assert handle.submit_sync(1).result_sync(timeout=20).value == 1
        done = handle.submit_sync(2)
        assert done.result_sync().value == 2
        assert done.artifacts_sync() == []
        with pytest.raises(conduit.ArtifactNotFoundError):
            done.artifact_sync("none")
        assert handle.wait_sync(2).value == 2


def test_submit_sync_works_from_many_threads_at_once(worker: Worker) -> None:
    handle = worker.task(echo)
    with running_in_thread(worker), ThreadPoolExecutor(16) as pool:
        assert list(pool.map(lambda n: handle.wait_sync(n).value, range(100))) == list(range(100))


async def test_submit_sync_works_where_an_event_loop_is_running(worker: Worker) -> None:
    future = worker.task(echo).submit_sync(1)  # as a cell of a notebook does
    assert await future.status() is JobStatus.QUEUED


async def test_a_sync_twin_in_an_async_task_is_refused_before_it_blocks_the_worker(
    worker: Worker,
) -> None:
    inner = worker.task(echo)

    @worker.task
    async def outer() -> None:
        inner.wait_sync(1)

    async with worker:
        result = await outer.wait()
    assert result.error is not None
    assert "await the method without _sync" in result.error


def test_all_threads_share_one_background_loop(worker: Worker) -> None:
    handle = worker.task(echo)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(handle.submit_sync, range(8)))
    names = [thread.name for thread in threading.enumerate()]
    assert names.count("conduit-sync") == 1


def test_a_bare_script_submits_and_ends_without_a_word(tmp_path: Path) -> None:
    code = f"""{SERVICE}
print(charge.submit_sync(1).status_sync(), charge.submit_sync(2).status_sync())
"""
    done = run_script(tmp_path, code)
    assert (done.stdout, done.stderr, done.returncode) == ("queued queued\n", "", 0)


def test_a_script_with_an_event_loop_submits_and_ends_without_a_word(tmp_path: Path) -> None:
    code = f"""{SERVICE}
import asyncio

async def main() -> None:
    futures = await asyncio.gather(*(charge.submit(n) for n in range(50)))
    print(len({{future.job_id for future in futures}}))

asyncio.run(main())
asyncio.run(main())
"""
    done = run_script(tmp_path, code)
    assert (done.stdout, done.stderr, done.returncode) == ("50\n50\n", "", 0)


def test_an_event_loop_that_is_closed_the_old_way_leaves_no_connection_behind(
    tmp_path: Path,
) -> None:
    code = f"""{SERVICE}
import asyncio
import threading

for n in range(5):
    loop = asyncio.new_event_loop()
    loop.run_until_complete(charge.submit(n))
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
asyncio.run(charge.submit(9))
print(threading.active_count())
"""
    done = run_script(tmp_path, code)
    assert (done.stdout, done.returncode) == ("1\n", 0), done.stderr


def test_an_interrupted_wait_ends_the_script_at_once(tmp_path: Path) -> None:
    code = f"""{SERVICE}
import os
import signal
import threading

future = charge.submit_sync(1)
threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    future.value_sync()
except KeyboardInterrupt:
    print("interrupted", future.status_sync())
"""
    done = run_script(tmp_path, code)
    assert (done.stdout, done.stderr) == ("interrupted queued\n", "")


def test_a_forked_child_submits_over_a_connection_of_its_own(tmp_path: Path) -> None:
    code = f"""{SERVICE}
import os

print(charge.submit_sync(1).status_sync(), flush=True)
child = os.fork()
print(charge.submit_sync(2).status_sync(), flush=True)
if child:
    os.waitpid(child, 0)
    print(charge.submit_sync(3).status_sync())
"""
    done = run_script(tmp_path, code)
    assert done.stdout == "queued\n" * 4, done.stderr


def test_the_address_is_settled_at_the_first_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = f"""{SERVICE}
import os

print(charge.submit_sync(1).status_sync())
os.mkdir("elsewhere")
os.chdir("elsewhere")
print(charge.submit_sync(2).status_sync())
print(os.listdir("."))
"""
    done = run_script(tmp_path, code, CONDUIT_QUEUE_URL="sqlite:///data/relative.db")
    assert done.stdout == "queued\nqueued\n[]\n"
    assert (tmp_path / "data" / "relative.db").exists()


async def test_each_event_loop_has_a_connection_of_its_own(worker: Worker) -> None:
    handle = worker.task(echo)
    await handle.submit(1)
    job_id = await asyncio.to_thread(lambda: asyncio.run(_submit(handle)))
    assert await handle.future(job_id).status() is JobStatus.QUEUED


async def _submit(handle: conduit.TaskHandle[[int], int]) -> str:
    return (await handle.submit(2)).job_id
