"""How long until what happens is seen: `python -m benchmarks.server_lag [--rate 1000]`.

Jobs that do nothing are submitted at a steady rate to a Valkey, with a worker and a server as
processes of their own, the history in SQLite and then in PostgreSQL. Measured from just before the
submit, by one clock: until the live stream tells of the job, until it tells that the job has
completed, and, for one job in 500, until a list of the history has it. The first seconds don't
count. Each run ends by itself after half a minute.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import uuid_utils

from benchmarks import measure, redis_server
from conduit.core.model import NewJob
from conduit.queue import Queue, open_queue
from tests.servers.postgres import PostgresServer
from tests.servers.process import free_port

TICK_S = 0.01
WARM_UP_S = 3.0
LATEST_S = 10.0
"""For how long after the last submit the last job is waited for."""
SAMPLED = 500


class Told(msgspec.Struct):
    """What matters of a message of the live stream."""

    subject: str
    data: dict[str, Any]


class Run:
    """When each job was submitted, and how many seconds later what was seen of it."""

    def __init__(self) -> None:
        self.submitted: dict[str, float] = {}
        self.seen: dict[str, float] = {}
        self.completed: dict[str, float] = {}
        self.listed: list[float] = []
        self.resets = 0
        self.listening = asyncio.Event()
        self.all_sent = False
        self.done = asyncio.Event()

    def note(self, told: Told) -> None:
        """Take in a message."""
        began = self.submitted.get(told.subject)
        if began is not None:
            lag = time.time() - began
            self.seen.setdefault(told.subject, lag)
            if told.data.get("status") == "completed":
                self.completed.setdefault(told.subject, lag)
        if self.all_sent and len(self.completed) == len(self.submitted):
            self.done.set()


async def submit(queue: Queue, run: Run, rate: int, seconds: float, url: str) -> None:
    """Submit jobs at a steady rate, those first that are late."""
    began, sent = time.monotonic(), 0
    async with asyncio.TaskGroup() as samples:
        while (passed := time.monotonic() - began) < seconds:
            due = int(passed * rate) - sent
            ids = [str(uuid_utils.uuid7()) for _ in range(due)]
            keyed = {job_id for n, job_id in enumerate(ids, sent) if n % SAMPLED == SAMPLED - 1}
            jobs = [
                NewJob(id=each, function="noop", key=each if each in keyed else None)
                for each in ids
            ]
            now = time.time()
            if passed > WARM_UP_S:
                run.submitted |= dict.fromkeys(ids, now)
            for first in range(0, due, 100):
                await queue.submit(jobs[first : first + 100])
            if passed > WARM_UP_S:
                for each in keyed:
                    samples.create_task(until_listed(run, each, now, url))
            sent += due
            await asyncio.sleep(TICK_S)


async def until_listed(run: Run, key: str, began: float, url: str) -> None:
    """Ask for a job by its key until the history has it."""
    where = f"{url}/api/v1/jobs?key={key}"
    while time.time() < began + LATEST_S:
        page = await asyncio.to_thread(lambda: urllib.request.urlopen(where, timeout=10).read())
        if msgspec.json.decode(page)["total"]:
            run.listed.append(time.time() - began)
            return
        await asyncio.sleep(0.02)


async def listen(run: Run, port: int) -> None:
    """Read the live stream; until cancelled."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /api/v1/stream?topic=job HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")
    decode = msgspec.json.Decoder(Told).decode
    try:
        while line := await reader.readline():
            if line.startswith(b"event: reset"):
                run.resets += 1
            elif line.startswith(b"event: ready"):
                run.listening.set()
            elif line.startswith(b"data: {") and len(line) > len(b"data: {}\n"):
                run.note(decode(line[len(b"data: ") :]))
    finally:
        writer.close()


@contextmanager
def process(folder: Path, *words: str) -> Iterator[None]:
    """Run a `conduit` command meanwhile."""
    command = [sys.executable, "-m", "conduit", *words]
    environment = os.environ | {"CONDUIT_DATA_DIR": str(folder / "data")}
    with (folder / f"{words[0]}.log").open("wb") as log:
        running = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        try:
            yield
        finally:
            running.terminate()
            running.wait(60)


async def measured(folder: Path, database_url: str, rate: int, seconds: float) -> Run:
    """One run with everything of its own but the database's server."""
    run, port = Run(), free_port()
    url = f"http://127.0.0.1:{port}"
    server = ("server", "start", "--port", str(port), "--database-url", database_url, "--migrate")
    service = str(Path(__file__).with_name("noop_service.py"))
    with (
        redis_server.running(folder / "redis") as redis,
        process(folder, *server, "--queue-url", redis),
        process(folder, "run", service, "--queue-url", redis),
    ):
        await until_answers(f"{url}/ready")
        listening = asyncio.create_task(listen(run, port))
        async with open_queue(redis) as queue:
            await run.listening.wait()
            await submit(queue, run, rate, WARM_UP_S + seconds, url)
            run.all_sent = True
            with suppress(TimeoutError):
                async with asyncio.timeout(LATEST_S):
                    await run.done.wait()
        listening.cancel()
    return run


async def until_answers(url: str) -> None:
    """Wait for the server, for as long as that may take."""
    for _ in range(600):
        try:
            await asyncio.to_thread(lambda: urllib.request.urlopen(url, timeout=5).read())
        except OSError:
            await asyncio.sleep(0.1)
        else:
            return
    raise TimeoutError(f"{url} doesn't answer")


def show(name: str, run: Run) -> None:
    """One row per thing that was waited for."""
    parts = {
        "told live": [*run.seen.values()],
        "told live that it completed": [*run.completed.values()],
        "in a list of the history": run.listed,
    }
    for what, lags in parts.items():
        p50, p95, p99 = (
            measure.percentile(lags or [0.0], each) * 1000 for each in (0.5, 0.95, 0.99)
        )
        worst = max(lags, default=0.0) * 1000
        print(
            f"| {name} | {what} | {len(lags)} | {p50:.0f} | {p95:.0f} | {p99:.0f} | {worst:.0f} |"
        )
    missing = len(run.submitted) - len(run.completed)
    print(
        f"\n{name}: {len(run.submitted):,} jobs, {missing} of them not told of, {run.resets} resets"
    )


def main(rate: int, seconds: float) -> None:
    """Run it on both kinds of history."""
    print(f"{rate} jobs/s for {seconds:g} s, {measure.machine()}, load {os.getloadavg()[0]:.1f}\n")
    print("| history | | jobs | p50 ms | p95 ms | p99 ms | max ms |\n|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        sqlite = f"sqlite:///{folder}/sqlite/history.db"
        (folder / "sqlite").mkdir()
        show("SQLite", asyncio.run(measured(folder / "sqlite", sqlite, rate, seconds)))
        server = PostgresServer(folder, synchronous_commit="on", fsync="on")
        server.start()
        try:
            postgresql = folder / "postgresql"
            postgresql.mkdir()
            show("PostgreSQL", asyncio.run(measured(postgresql, server.url, rate, seconds)))
        finally:
            server.remove()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=15.0)
    given = parser.parse_args()
    main(given.rate, given.seconds)
