"""What tests have other processes do with a queue file: `python other_process.py ROLE URL ...`.

Each role says on stdout how far it is, a line at a time; what it can't do ends it with a traceback.
"""

from __future__ import annotations

import asyncio
import dataclasses
import fcntl
import itertools
import os
import sqlite3
import sys
import tempfile
import threading
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

from conduit import Worker
from conduit.core.errors import QueueError
from conduit.core.model import NewJob
from conduit.engine.supervision.runner import run_services
from conduit.engine.worker import WorkerService
from conduit.queue import open_queue

NOBODY = 65534
SHORT_LEASE_MS = 1500


def say(line: str) -> None:
    """One line in one write, so that a kill leaves a whole line or none."""
    os.write(sys.stdout.fileno(), f"{line}\n".encode())


async def create(folder: str, rounds: str) -> None:
    """Make a queue file per round and put a job in it, in the moment when the round is opened."""
    for number in range(int(rounds)):
        say(f"at gate {number}")
        pass_gate(Path(folder, f"gate-{number}"))
        await submit_one(f"sqlite:///{folder}/queue-{number}.db")


def pass_gate(path: Path) -> None:
    """Wait until nobody has the file locked, which is the same instant for all who wait."""
    with path.open() as gate:
        fcntl.flock(gate, fcntl.LOCK_SH)


async def submit_one(url: str) -> None:
    async with open_queue(url) as queue:
        await queue.submit([NewJob(id=str(uuid4()), function="work")])


async def submit(url: str) -> None:
    """Submit jobs for ever; says the ids of those that were accepted."""
    async with open_queue(url) as queue:
        for number in itertools.count():
            jobs = [
                NewJob(id=str(uuid4()), function="work", max_deliveries=1000)
                for _ in range(number % 3 + 1)
            ]
            await queue.submit(jobs)
            say(" ".join(job.id for job in jobs))


async def submit_at_exit(url: str) -> None:
    """Submit a job from a thread that goes on when the main thread has ended."""
    worker = Worker("other", queue_url=url)

    @worker.task
    def late() -> None: ...

    def outlive() -> None:
        threading.main_thread().join()
        say(late.submit_sync().job_id)

    threading.Thread(target=outlive).start()


async def work(url: str) -> None:
    """Run jobs until told to stop, under leases that lapse soon after a kill."""
    worker = Worker("other")

    @worker.task(name="work")
    async def take_a_moment() -> None:
        await asyncio.sleep(0.02)

    spec = dataclasses.replace(worker.spec(), lease_ms=SHORT_LEASE_MS)
    code = await run_services([WorkerService(spec, url)], on_started=lambda: say("started"))
    sys.exit(code)


async def change(url: str, waiting: str, running: str) -> None:
    """Submit a job, and cancel a waiting and a running one."""
    async with open_queue(url) as queue:
        await queue.submit([NewJob(id="news", function="work")])
        await queue.cancel([waiting, running], "not needed")


async def lock(url: str, mode: str) -> None:
    """Keep the file locked until stdin closes: `write` against writers, `all` against anyone."""
    connection = sqlite3.connect(urlsplit(url).path.removeprefix("/"), isolation_level=None)
    if mode == "all":
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    connection.execute("BEGIN EXCLUSIVE")
    say("locked")
    sys.stdin.read()
    connection.execute("ROLLBACK")
    connection.close()


async def damage(url: str) -> None:
    """Spoil the file's first page, and change another one, so that the first is read again."""
    path = urlsplit(url).path.removeprefix("/")
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("INSERT INTO meta (name, value) VALUES ('before', 1)")
    while connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
        pass  # someone was reading
    os.pwrite(os.open(path, os.O_WRONLY), b"spoiled " * 512, 0)
    connection.execute("INSERT INTO meta (name, value) VALUES ('after', 1)")
    os._exit(0)  # without the good order in which SQLite would close the file


async def try_as_anyone(url: str) -> None:
    """Submit a job as a user without privileges; says the error instead of raising it."""
    if os.geteuid() == 0:
        with tempfile.TemporaryDirectory() as folder:  # nobody may be kept from Python's own files
            await submit_one(f"sqlite:///{folder}/queue.db")
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    try:
        await submit_one(url)
    except QueueError as error:
        say(f"{type(error).__name__}: {error}")
    else:
        say("submitted")


ROLES = {
    role.__name__: role
    for role in (create, submit, submit_at_exit, work, change, lock, damage, try_as_anyone)
}

if __name__ == "__main__":
    asyncio.run(ROLES[sys.argv[1]](*sys.argv[2:]))
