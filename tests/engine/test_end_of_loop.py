"""The event loop ends under a worker: jobs are handed back, whoever cut it off."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.sdk.support import run_script

SERVICE = """
import asyncio
import json
import os
import signal
import sys
import time
from contextlib import suppress

import conduit
from conduit.queue import open_queue

worker = conduit.Worker("orders", queue_url="sqlite:///queue.db")
both = asyncio.Semaphore(0)
interrupted = asyncio.Event()

@worker.task(retries=5)
async def hang() -> None:
    both.release()
    try:
        await asyncio.sleep(3600)
    finally:
        interrupted.set()
        await asyncio.sleep(1)

@worker.task(retries=5)
def hang_in_a_thread() -> None:
    loop.call_soon_threadsafe(both.release)
    time.sleep(3600)

def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)

async def running() -> None:
    await both.acquire()
    await both.acquire()

async def submit() -> None:
    global loop
    loop = asyncio.get_running_loop()
    await hang.submit()
    await hang_in_a_thread.submit()

async def main() -> None:
{main}

with suppress(KeyboardInterrupt):
    asyncio.run(main())

async def look() -> None:
    async with open_queue("sqlite:///queue.db") as queue:
        page = await queue.find(conduit.queue.base.JobFilter())
        print(json.dumps([[j.status, j.attempt, j.failures, j.rescues] for j in page.items]))

asyncio.run(look())
"""

RETURNS_AT_ONCE = """
    await worker.start()
    await submit()
"""
RETURNS_WHILE_JOBS_RUN = """
    await worker.start()
    await submit()
    await running()
"""
INTERRUPTED_TWICE = """
    async with worker:
        await submit()
        await running()
        asyncio.get_running_loop().call_later(0.3, interrupt)
        interrupt()
        await asyncio.sleep(3600)
"""
ENDS_WHILE_IT_STOPS = """
    await worker.start()
    await submit()
    await running()
    stopping = asyncio.create_task(worker.stop())
    await asyncio.sleep(0)
"""

ENDS_WHILE_JOBS_ARE_HANDED_BACK = """
    await worker.start()
    await submit()
    await running()
    stopping = asyncio.create_task(worker.stop_now())
    await interrupted.wait()
"""


def jobs_after(folder: Path, main: str) -> list[Any]:
    done = run_script(folder, SERVICE.replace("{main}", main))
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    "main",
    [
        RETURNS_AT_ONCE,
        RETURNS_WHILE_JOBS_RUN,
        INTERRUPTED_TWICE,
        ENDS_WHILE_IT_STOPS,
        ENDS_WHILE_JOBS_ARE_HANDED_BACK,
    ],
    ids=["at once", "while jobs run", "interrupted twice", "while it stops", "while it hands back"],
)
def test_jobs_are_back_in_their_queue_at_no_cost(tmp_path: Path, main: str) -> None:
    jobs = jobs_after(tmp_path, main)
    assert len(jobs) == 2
    for status, attempt, failures, rescues in jobs:
        assert status == "queued"
        assert attempt <= 1  # 0: the loop ended before the job was claimed
        assert (failures, rescues) == (0, 0)


OWN_CANCEL = """
import asyncio

import conduit

worker = conduit.Worker("orders", queue_url="sqlite:///queue.db")

@worker.task
async def cancels_itself() -> None:
    asyncio.current_task().cancel()
    await asyncio.sleep(3600)

async def main() -> None:
    async with worker:
        result = await cancels_itself.wait()
        print(result.status, result.error)

asyncio.run(main())
"""


def test_a_job_that_cancels_its_own_task_has_failed(tmp_path: Path) -> None:
    done = run_script(tmp_path, OWN_CANCEL)
    assert done.stdout.startswith("failed"), done.stdout + done.stderr
