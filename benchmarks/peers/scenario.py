"""The scenario that every queue on Redis runs, in the environment of that queue.

`python -m benchmarks.peers.scenario MODULE PARAMETERS` measures the `PEER` of a module and prints
its figures as JSON. It starts its worker as `… MODULE work`, in a process of its own.

The drain counts from the worker's first started job, by the clock that all processes of a machine
share, until all results are there. Commands and socket reads are the server's own counts from the
worker's start on, those in scripts included and the scenario's own left out; reads of a client's
socket stand for round trips, since what is pipelined is mostly read at once.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.peers.peer import URL, Peer
from benchmarks.peers.server import Server

IN_FLIGHT = 100
BATCH = 1000
LOOK_S = 0.005
IDLE_S = 2.0
DRAIN_LIMIT_S = 60.0


def main() -> None:
    """Be the scenario, or its worker."""
    module, what = sys.argv[1:]
    kind: type[Peer] = importlib.import_module(module).PEER
    server = Server(URL)
    if what == "work":
        kind(server).work()
        return
    parameters = json.loads(what)
    print(json.dumps(_facts(kind) | _Scenario(kind, module, server, **parameters).run()))


def _facts(kind: type[Peer]) -> dict[str, Any]:
    return {
        "versions": ", ".join(f"{name} {version(name)}" for name in kind.packages),
        "python": platform.python_version(),
        "concurrency": kind.concurrency,
        "notes": kind.notes,
    }


class _Scenario:
    def __init__(
        self,
        kind: type[Peer],
        module: str,
        server: Server,
        *,
        jobs: int,
        single: int,
        in_flight: int,
        waits: int,
    ) -> None:
        self._kind = kind
        self._module = module
        self._server = server
        self._jobs = jobs
        self._single = single
        self._in_flight = in_flight
        self._waits = waits

    def run(self) -> dict[str, float]:
        """Each phase begins with an empty server and a client of its own."""
        figures = {"single": asyncio.run(self._submit_singly())}
        if not self._kind.blocking:
            figures["in_flight"] = asyncio.run(self._submit_in_flight())
        if self._kind.batches:
            figures["batched"] = asyncio.run(self._submit_batched())
        before = self._empty()
        jobs = asyncio.run(self._preload())
        figures["queued_bytes"] = (self._memory() - before) / self._jobs
        return figures | asyncio.run(self._work_off(jobs))

    def _empty(self) -> int:
        self._server.command("FLUSHALL")
        return self._memory()

    def _memory(self) -> int:
        time.sleep(0.2)  # what clients and the log have buffered goes first
        return int(self._server.info()["used_memory"])

    # --- submits ------------------------------------------------------------------------------

    async def _submit_singly(self) -> float:
        async with _Client(self._kind, self._server) as peer:
            await peer.submit()
            began = time.perf_counter()
            for _ in range(self._single):
                await peer.submit()
            return self._single / (time.perf_counter() - began)

    async def _submit_in_flight(self) -> float:
        self._empty()
        async with _Client(self._kind, self._server) as peer:
            await _submit_together(peer, IN_FLIGHT)  # opens the connections
            began = time.perf_counter()
            await _submit_together(peer, self._in_flight)
            return self._in_flight / (time.perf_counter() - began)

    async def _submit_batched(self) -> float:
        self._empty()
        async with _Client(self._kind, self._server) as peer:
            await peer.submit()
            began = time.perf_counter()
            await _submit_batches(peer, self._jobs)
            return self._jobs / (time.perf_counter() - began)

    async def _preload(self) -> list[Any]:
        async with _Client(self._kind, self._server) as peer:
            if peer.batches:
                return await _submit_batches(peer, self._jobs)
            if not peer.blocking:
                return await _submit_together(peer, self._jobs)
            return [await peer.submit() for _ in range(self._jobs)]

    # --- the worker ---------------------------------------------------------------------------

    async def _work_off(self, jobs: list[Any]) -> dict[str, float]:
        async with _Client(self._kind, self._server) as peer:
            with tempfile.TemporaryDirectory() as folder:
                before = _Reading.of(self._server, None)
                with _Worker(self._module, Path(folder)) as worker:
                    figures = await self._drain(peer, jobs, worker, before)
                    figures |= await self._wait_at_rest(peer)
                    figures["idle_commands"] = await self._idle()
        return figures

    async def _drain(
        self, peer: Peer, jobs: list[Any], worker: _Worker, before: _Reading
    ) -> dict[str, float]:
        limit = time.monotonic() + DRAIN_LIMIT_S
        while not worker.started.exists():
            worker.check(limit)
            await asyncio.sleep(LOOK_S / 5)
        began_cpu = _Reading.of(self._server, worker.pid)
        while not await peer.drained(jobs):
            worker.check(limit)
            await asyncio.sleep(LOOK_S)
        ended = time.monotonic()
        after = _Reading.of(self._server, worker.pid)
        count = len(jobs)
        return {
            "drain": count / (ended - float(worker.started.read_text())),
            "commands": (after.commands - before.commands) / count,
            "reads": (after.reads - before.reads) / count,
            "server_us": (after.server_s - began_cpu.server_s) / count * 1e6,
            "worker_us": (after.worker_s - began_cpu.worker_s) / count * 1e6,
            "memory_mib": _resident_mib(worker.pid),
        }

    async def _wait_at_rest(self, peer: Peer) -> dict[str, float]:
        for _ in range(20):  # opens connections, loads scripts
            await peer.wait()
        samples: list[float] = []
        for _ in range(self._waits):
            began = time.perf_counter()
            await peer.wait()
            samples.append((time.perf_counter() - began) * 1000)
        samples.sort()
        return {
            "p50_ms": samples[len(samples) // 2],
            "p99_ms": samples[int(len(samples) * 0.99)],
        }

    async def _idle(self) -> float:
        await asyncio.sleep(0.5)
        before = _Reading.of(self._server, None)
        await asyncio.sleep(IDLE_S)
        return (_Reading.of(self._server, None).commands - before.commands) / IDLE_S


class _Client:
    """`async with _Client(kind, server) as peer`."""

    def __init__(self, kind: type[Peer], server: Server) -> None:
        self._peer = kind(server)

    async def __aenter__(self) -> Peer:
        await self._peer.open()
        return self._peer

    async def __aexit__(self, *exc: object) -> None:
        await self._peer.close()


async def _submit_together(peer: Peer, count: int) -> list[Any]:
    """A hundred in flight, all the time: each of a hundred submitters has its share."""

    async def share() -> list[Any]:
        return [await peer.submit() for _ in range(count // IN_FLIGHT)]

    shares = await asyncio.gather(*(share() for _ in range(IN_FLIGHT)))
    return [job for each in shares for job in each]


async def _submit_batches(peer: Peer, count: int) -> list[Any]:
    jobs: list[Any] = []
    for _ in range(0, count, BATCH):
        jobs += await peer.submit_many(BATCH)
    return jobs


class _Worker:
    """The worker's process."""

    def __init__(self, module: str, folder: Path) -> None:
        self._module = module
        self._log = folder / "worker.log"
        self.started = folder / "started"

    def __enter__(self) -> _Worker:
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.peers.scenario", self._module, "work"],
                stdout=log,
                stderr=log,
                env=os.environ | {"BENCH_STARTED": str(self.started)},
            )
        self.pid = self._process.pid
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def check(self, limit: float) -> None:
        """Raise if it has ended, or takes too long; with the last line that it logged."""
        said = ""
        if self._process.poll() is not None:
            said = f"the worker ended with {self._process.returncode}"
        elif time.monotonic() > limit:
            said = f"not drained in {DRAIN_LIMIT_S:g} s"
        if said:
            lines = self._log.read_text().split("\n")
            last = next((line for line in reversed(lines) if line.strip()), "(nothing logged)")
            raise RuntimeError(f"{said}: {last}")


class _Reading(NamedTuple):
    """The counters that tell what a job costs."""

    commands: int
    reads: int
    server_s: float
    worker_s: float

    @classmethod
    def of(cls, server: Server, worker: int | None) -> _Reading:
        info = server.info()
        return cls(
            int(info["total_commands_processed"]) - server.commands,
            int(info["total_reads_processed"]) - server.commands,
            float(info["used_cpu_sys"]) + float(info["used_cpu_user"]),
            0.0 if worker is None else _cpu_s(worker),
        )


def _cpu_s(pid: int) -> float:
    """Processor time that a process has used (Linux; elsewhere 0)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _resident_mib(pid: int) -> float:
    """Resident memory of a process (Linux; elsewhere 0)."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    main()
