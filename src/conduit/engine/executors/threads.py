"""Daemon threads for plain functions.

`concurrent.futures` joins its threads at exit, so one deaf job would keep a worker from ever
ending; and it gives a slot back only when the thread does. Here a job can be abandoned: its thread
goes on alone, its result goes nowhere, and the next job gets another thread.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any

from conduit.core.model import Job
from conduit.engine.process import forks

logger = logging.getLogger("conduit.engine")

MOST_NAMED = 5

_Work = tuple[contextvars.Context, Callable[[], Any], asyncio.Future[Any]]


class ThreadPool:
    """Grows to as many threads as run at once; the worker's concurrency is what bounds it.

    Abandoned threads aren't bounded by anything. Those that go on for `grace` seconds are told of.
    """

    def __init__(self, name: str, grace: float) -> None:
        self._name = name
        self._grace = grace
        self._inbox: SimpleQueue[_Work | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._born = forks.generation()
        self._idle = 0
        self._threads = 0
        self._abandoned: dict[asyncio.Future[Any], Job] = {}
        self._told: set[asyncio.Future[Any]] = set()
        self._telling: asyncio.TimerHandle | None = None

    async def run(self, call: Callable[[], Any], job: Job) -> Any:
        """Run `call` for a job, in a thread with a copy of the caller's context variables.

        Cancelling abandons the thread. Any exception of `call` is raised here.
        """
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        with self._lock:
            if self._idle:
                self._idle -= 1
            else:
                name = f"{self._name}-{self._threads + 1}"
                threading.Thread(target=self._work_forever, name=name, daemon=True).start()
                self._threads += 1
        # Not before there is a thread for it: without one the job fails, and mustn't run later.
        self._inbox.put((contextvars.copy_context(), call, future))
        try:
            ok, value = await future
        except asyncio.CancelledError:
            if future.cancelled():  # else the thread has returned meanwhile
                self._abandon(future, job)
            raise
        if ok:
            return value
        raise value

    def close(self) -> None:
        """Let idle threads end; busy ones end after their job."""
        for _ in range(self._threads):
            self._inbox.put(None)
        if self._telling is not None:
            self._telling.cancel()

    def _abandon(self, future: asyncio.Future[Any], job: Job) -> None:
        self._abandoned[future] = job
        if self._telling is None:
            self._telling = future.get_loop().call_later(self._grace, self._tell)

    def _tell(self) -> None:
        """Say which threads go on, if there are new ones among them."""
        self._telling = None
        if not self._abandoned.keys() - self._told:
            return
        self._told = set(self._abandoned)
        jobs = [f"{job.function} (job {job.id})" for job in self._abandoned.values()]
        more = f" and {len(jobs) - MOST_NAMED} more" if len(jobs) > MOST_NAMED else ""
        logger.warning(
            "%s in a thread although told to stop: %s%s. A thread can't be ended; it keeps its "
            "memory until it returns. Give what it calls a timeout, or run such functions in "
            'processes: Worker(sync_executor="process")',
            "1 job goes on" if len(jobs) == 1 else f"{len(jobs)} jobs go on",
            ", ".join(jobs[-MOST_NAMED:]),
            more,
        )

    def _work_forever(self) -> None:
        while (work := self._inbox.get()) is not None:
            context, call, future = work
            try:
                # One that was handed back meanwhile mustn't run here any more.
                answer = (True, None if future.cancelled() else context.run(call))
            except BaseException as error:
                # As a value: a Future refuses StopIteration, and SystemExit mustn't end the thread.
                answer = (False, error)
            forks.end_if_forked(self._born, None if answer[0] else answer[1])
            with self._lock:
                self._idle += 1
            with suppress(RuntimeError):  # the loop is gone, and nobody waits any more
                future.get_loop().call_soon_threadsafe(self._settle, future, answer)
            del work, context, call, future, answer

    def _settle(self, future: asyncio.Future[Any], answer: tuple[bool, Any]) -> None:
        self._abandoned.pop(future, None)
        if not future.done():
            future.set_result(answer)
