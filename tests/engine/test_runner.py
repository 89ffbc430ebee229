"""Components side by side: signals, hanging ends, crashes. Signals in processes of their own."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from conduit.engine.supervision.runner import run_services
from tests.sdk.support import run_script

SERVICE = """
import asyncio
import contextlib
import os
import signal

import conduit

def signal_self() -> None:
    os.kill(os.getpid(), signal.SIGTERM)

@contextlib.asynccontextmanager
async def lifespan():
    {lifespan}

worker = conduit.Worker("orders", lifespan=lifespan, shutdown_timeout=3600)

@worker.task
async def job() -> None:
    {job}

job.submit_sync()
conduit.run(worker)
print("ended")
"""

STAYS = "await asyncio.sleep(3600)"
DEAF = """while True:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0.1)"""


def test_sigterm_while_a_lifespan_begins_ends_the_run(tmp_path: Path) -> None:
    script = SERVICE.format(lifespan=f"signal_self()\n    {STAYS}\n    yield", job="...")
    done = run_script(tmp_path, script)
    assert (done.stdout, done.returncode) == ("ended\n", 0), done.stderr


def test_sigterm_ends_the_run_although_a_lifespan_that_begins_is_deaf(tmp_path: Path) -> None:
    script = SERVICE.format(lifespan=f"signal_self()\n    {DEAF}\n    yield", job="...")
    done = run_script(tmp_path, script)
    assert (done.stdout, done.returncode) == ("ended\n", 0), done.stderr


def test_a_second_sigterm_ends_a_start_that_was_broken_off_and_hangs(tmp_path: Path) -> None:
    life = f"signal_self()\n    yield\n    signal_self()\n    {STAYS}"
    done = run_script(tmp_path, SERVICE.format(lifespan=life, job="..."))
    assert (done.stdout, done.returncode) == ("ended\n", 0), done.stderr


@pytest.mark.parametrize("ending", [STAYS, DEAF], ids=["hangs", "is deaf"])
def test_a_second_sigterm_ends_the_run_although_a_lifespan_hangs(
    tmp_path: Path, ending: str
) -> None:
    script = SERVICE.format(lifespan=f"yield\n    signal_self()\n    {ending}", job="signal_self()")
    done = run_script(tmp_path, script)
    assert (done.stdout, done.returncode) == ("ended\n", 0), done.stderr


def test_a_second_sigterm_does_not_wait_for_jobs(tmp_path: Path) -> None:
    job = f"signal_self()\n    asyncio.get_running_loop().call_later(0.2, signal_self)\n    {STAYS}"
    done = run_script(tmp_path, SERVICE.format(lifespan="yield", job=job))
    assert (done.stdout, done.returncode) == ("ended\n", 0), done.stderr


class Component:
    """A service that runs until it is stopped, or crashes."""

    def __init__(self, name: str, log: list[str], *, crash: Exception | None = None) -> None:
        self.name = name
        self._log = log
        self._crash = crash
        self._stopped = asyncio.Event()

    async def start(self) -> None:
        self._log.append(f"{self.name} starts")

    async def wait(self) -> None:
        if self._crash is not None:
            raise self._crash
        await self._stopped.wait()

    async def stop(self) -> None:
        self._log.append(f"{self.name} stops")
        self._stopped.set()

    async def stop_now(self) -> None:
        await self.stop()


async def test_the_first_crash_brings_all_down_in_reverse_order() -> None:
    log: list[str] = []
    crashes: list[str] = []
    services = [
        Component("first", log),
        Component("second", log, crash=OSError("gone")),
        Component("third", log),
    ]
    code = await run_services(services, on_crash=lambda name, error: crashes.append(name))
    assert code == 1
    assert crashes == ["second"]
    assert log == [
        "first starts",
        "second starts",
        "third starts",
        "third stops",
        "second stops",
        "first stops",
    ]


STUBS = """
import asyncio, os, signal, sys, types

from conduit.engine.process import loop
from conduit.engine.supervision.runner import run_services

class Crashes:
    name = "crashes"
    async def start(self): ...
    async def wait(self): raise RuntimeError("boom")
    async def stop(self): ...
    async def stop_now(self): ...

class Drains:
    name = "drains"
    def __init__(self): self.over = asyncio.Event()
    async def start(self): ...
    async def wait(self): await self.over.wait()
    async def stop(self):
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(0.5)
        print("drained", flush=True)
        self.over.set()
    async def stop_now(self): self.over.set()

async def main():
    return await run_services([Drains(), Crashes()])

sys.exit(loop.run(main()))
"""


def test_a_signal_after_a_crash_neither_hurries_the_others_nor_changes_the_code(
    tmp_path: Path,
) -> None:
    done = run_script(tmp_path, STUBS)
    assert (done.stdout, done.returncode) == ("drained\n", 1), done.stderr
