"""A task, and what the scripts that fork share. They run in a folder of their own."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import conduit

worker = conduit.Worker("orders")


@worker.task
async def charge(cents: int) -> int:
    """A job that may be lost."""
    return cents


def accept(future: conduit.Future[int]) -> None:
    """Note down, in one write, that a submit was answered."""
    with Path("accepted").open("ab", buffering=0) as accepted:
        accepted.write(f"{future.job_id}\n".encode())


def submit(cents: int = 1) -> None:
    """Submit a job and note it down."""
    accept(charge.submit_sync(cents))


def open_files() -> list[str]:
    """The paths of the queue's file and of what lies beside it that are open in this process."""
    links: list[str] = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # that of the listing is gone
            links.append(str(descriptor.readlink()))
    return [link for link in links if "queue.db" in link]


def in_child(act: Callable[[], object], *, abruptly: bool = True) -> int:
    """Fork, and do something in the child, which then ends; its pid. It fails if that raises."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        act()
        code = 0
    except BaseException:
        traceback.print_exc()
    if abruptly:
        os._exit(code)
    sys.exit(code)


def ended_well(pid: int) -> bool:
    """Wait for a child; whether all went well there."""
    return os.waitpid(pid, 0)[1] == 0
