"""Jobs that think of themselves alone: they fork, hang, block others, close what isn't theirs.

Those that hang run on a worker with one slot in each process. Were it never freed, what waits
behind them would never run.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import sys
import threading
import time
from contextlib import suppress

from tests.faults.lab.service import (
    MANY_DELIVERIES,
    SHUTDOWN_S,
    QuickWorker,
    began,
    hangs,
    is_ending,
)

_CHILD_LASTS_S = 1.0
"""A child whose worker is killed isn't there for much longer."""
_HANGS_FOR_S = 0.4

rude = QuickWorker("rude", concurrency=3, queues=["rude"], shutdown_timeout=SHUTDOWN_S)
narrow = QuickWorker("narrow", concurrency=1, queues=["narrow"], shutdown_timeout=SHUTDOWN_S)
WORKERS = (rude, narrow)

_forking = multiprocessing.get_context("fork")


# --- children of a job ---------------------------------------------------------------------------


def _start_and_terminate() -> None:
    child = _forking.Process(target=time.sleep, args=(_CHILD_LASTS_S,))
    child.start()
    child.terminate()
    child.join()


@rude.task(max_deliveries=MANY_DELIVERIES)
def end_a_child(label: str) -> int:
    """Start a process and terminate it, in a thread."""
    began(label)
    _start_and_terminate()
    return is_ending()


@rude.task(max_deliveries=MANY_DELIVERIES)
async def end_a_child_on_the_loop(label: str) -> int:
    """Start a process and terminate it, on the worker's event loop."""
    began(label)
    _start_and_terminate()
    return is_ending()


@rude.task(max_deliveries=MANY_DELIVERIES)
def use_a_pool(label: str) -> int:
    """Have a pool of processes do something, and close it."""
    began(label)
    with _forking.Pool(2) as pool:
        pool.map(abs, range(4))
    return is_ending()


@rude.task(max_deliveries=MANY_DELIVERIES)
async def fork_and_exit(label: str) -> int:
    """Fork, and let the child end at once."""
    began(label)
    if not (pid := os.fork()):
        os._exit(0)
    os.waitpid(pid, 0)  # noqa: ASYNC222
    return is_ending()


@rude.task(max_deliveries=MANY_DELIVERIES)
def fork_and_return(label: str) -> int:
    """Fork, and let the child return from here as its parent does: a worker that nobody started."""
    began(label)
    if not (pid := os.fork()):
        return 0
    os.waitpid(pid, 0)
    return is_ending()


# --- hanging -------------------------------------------------------------------------------------


@narrow.task(timeout=_HANGS_FOR_S, max_deliveries=MANY_DELIVERIES)
def hang_in_a_thread(label: str) -> int:
    """Never return, whoever asks for it."""
    fence = hangs(label)
    threading.Event().wait()
    return fence


@narrow.task(timeout=_HANGS_FOR_S, max_deliveries=MANY_DELIVERIES)
async def swallow_the_cancel(label: str) -> int:
    """Never return, and take no notice of being cancelled."""
    fence = hangs(label)
    while True:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)
    return fence


@narrow.task(max_deliveries=MANY_DELIVERIES)
async def come_after(label: str) -> int:
    """Need a slot that somebody else may have hung in."""
    began(label)
    return is_ending()


# --- blocking the loop ---------------------------------------------------------------------------


@rude.task(max_deliveries=MANY_DELIVERIES)
async def block_the_loop(label: str, seconds: float) -> int:
    """Let nobody else run on the worker's event loop."""
    began(label)
    time.sleep(seconds)  # noqa: ASYNC251
    return is_ending()


@rude.task(timeout=_HANGS_FOR_S, max_deliveries=MANY_DELIVERIES)
async def block_beyond_the_timeout(label: str) -> int:
    """Block the worker's event loop for longer than this may take."""
    began(label)
    time.sleep(4 * _HANGS_FOR_S)  # noqa: ASYNC251
    return is_ending()


# --- what belongs to the process -----------------------------------------------------------------


@rude.task(max_deliveries=MANY_DELIVERIES)
def close_stderr(label: str) -> int:
    """Close what the worker logs to."""
    began(label)
    sys.stderr.close()
    return is_ending()


FUNCTIONS = tuple(name for each in WORKERS for name in each.functions)
"""All of them, by name."""
