"""The way from a process to its queue: one connection per event loop and address.

Opened at the first use, closed when its loop shuts down. Submits that arrive while another is on
its way go together in the next; all who wait for a result share one question to the queue.
"""

from __future__ import annotations

import asyncio
import logging
import os
from asyncio import AbstractEventLoop
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, unquote, urlsplit

from conduit.core.errors import (
    JobNotFoundError,
    QueueUnavailableError,
    SubmitConflictError,
    SubmitUnknownError,
)
from conduit.core.model import Job, NewJob
from conduit.queue import Queue, Source, queue_here
from conduit.queue.base import Submitted
from conduit.queue.forks import keep_for_ever
from conduit.settings import OF_THE_QUEUE, load_settings

logger = logging.getLogger("conduit.client")

BATCH_LIMIT = 1000
"""Jobs that are put together into one submit; bounds how long the store is busy with it."""

LONG_WAIT_S = 3600.0


# --- addresses -------------------------------------------------------------------------------


_resolved: dict[tuple[str | None, ...], str] = {}


def resolve_url(url: str | None) -> str:
    """The queue's URL, from the settings if `url` is None, with an absolute path.

    What a relative path means is settled at its first use: a later change of folder doesn't lead to
    another queue. A change of the environment does. Raises `ConfigurationError`.
    """
    wanted = (url, *(os.environ.get(name) for name in OF_THE_QUEUE))
    if wanted not in _resolved:
        _resolved[wanted] = _absolute(load_settings(queue_url=url).queue_url)
    return _resolved[wanted]


def _absolute(url: str) -> str:
    parts = urlsplit(url)
    path = unquote(parts.path).removeprefix("/")
    if parts.scheme != "sqlite" or parts.netloc or not path:
        return url
    return f"sqlite:///{quote(str(Path(path).absolute()))}"


# --- a connection ----------------------------------------------------------------------------


class Connection:
    """A queue, open for one event loop, with what its users there share."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._queue: Queue | None = None
        self._opening = asyncio.Lock()
        self._submitter: _Submitter
        self._waiter: _Waiter

    async def open(self) -> Queue:
        """The open queue; a first use that failed may be followed by another."""
        if self._queue is None or self._was_taken_away(self._queue):
            async with self._opening:
                if self._queue is None or self._was_taken_away(self._queue):
                    self._queue = await self._opened()
        return self._queue

    def _was_taken_away(self, queue: Queue) -> bool:
        """Whether it is one that was handed over, and whose owner has closed it."""
        return queue is self._source and queue.loop is None

    async def _opened(self) -> Queue:
        queue = queue_here(self._source)
        if queue is not self._source:
            await queue.open()
        self._submitter = _Submitter(queue)
        self._waiter = _Waiter(queue)
        return queue

    async def submit(self, jobs: Sequence[NewJob]) -> list[Submitted]:
        """Keep jobs; the queue's answers, once it is sure that none is another function's job."""
        queue = await self.open()
        answers = await self._submitter.submit(jobs)
        await _check_holders(queue, jobs, answers)
        return answers

    async def finished(self, job_id: str, timeout: float | None) -> Job:
        """The job once it is finished; `TimeoutError` after `timeout` seconds.

        What has finished already is seen with any timeout, 0 included.
        """
        queue = await self.open()
        try:
            async with asyncio.timeout(timeout):
                return await self._waiter.wait(job_id)
        except TimeoutError:
            (job,) = await queue.get([job_id])
            if job is None:
                raise JobNotFoundError(job_id) from None
            if not job.status.finished:
                raise TimeoutError(
                    f"job {job_id} ({job.function}) is still {job.status.value} after "
                    f"{timeout:g} s; it goes on, and can be waited for again"
                ) from None
            return job

    async def close(self) -> None:
        """Let go of the queue. What was answered is kept."""
        if self._queue is None:
            return
        queue, self._queue = self._queue, None
        self._waiter.close()
        if queue is self._source:
            return
        try:
            await queue.close()
        except RuntimeError as error:  # the interpreter is ending and has no threads to spare
            logger.debug("the queue %s was left open: %s", self._source, error)


async def _check_holders(
    queue: Queue, jobs: Sequence[NewJob], answers: Sequence[Submitted]
) -> None:
    """Refuse a key that a job of another function holds: its result would be of the wrong type."""
    held = [
        (job, answer.job_id) for job, answer in zip(jobs, answers, strict=True) if answer.duplicate
    ]
    if not held:
        return
    holders = await queue.get([job_id for _, job_id in held])
    for (job, _), holder in zip(held, holders, strict=True):
        if holder is not None and holder.function != job.function:
            raise SubmitConflictError(
                f"key {job.key!r} of {job.function!r} is held by job {holder.id} of "
                f"{holder.function!r}: put the task's name into the key"
            )


class _Request(NamedTuple):
    jobs: Sequence[NewJob]
    answer: asyncio.Future[list[Submitted]]


class _Submitter:
    """Sends a submit at once when none is on its way, else together with the others that wait."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._busy = False
        self._waiting: list[_Request] = []
        self._sending: asyncio.Task[None] | None = None

    async def submit(self, jobs: Sequence[NewJob]) -> list[Submitted]:
        if self._busy:
            request = _Request(jobs, asyncio.get_running_loop().create_future())
            self._waiting.append(request)
            return await request.answer
        self._busy = True
        try:
            return await self._queue.submit(jobs)
        finally:
            self._drop_abandoned()
            if self._waiting:
                self._sending = asyncio.create_task(self._send_waiting())
            else:
                self._busy = False

    async def _send_waiting(self) -> None:
        try:
            while self._waiting:
                await self._send(self._take())
                self._drop_abandoned()
        finally:
            self._busy = False
            for request in self._waiting:  # the loop is shutting down
                request.answer.cancel()
            self._waiting.clear()

    def _drop_abandoned(self) -> None:
        """Callers who were cancelled while they waited don't want their jobs kept."""
        self._waiting = [each for each in self._waiting if not each.answer.done()]

    def _take(self) -> list[_Request]:
        taken: list[_Request] = []
        jobs = 0
        while self._waiting and (not taken or jobs + len(self._waiting[0].jobs) <= BATCH_LIMIT):
            request = self._waiting.pop(0)
            taken.append(request)
            jobs += len(request.jobs)
        return taken

    async def _send(self, requests: Sequence[_Request]) -> None:
        try:
            jobs = [job for request in requests for job in request.jobs]
            answers = iter(await self._queue.submit(jobs))
        except QueueUnavailableError as error:
            _fail(requests, error)
        except SubmitUnknownError as error:
            for request in requests:  # each is told of its own job, which it may submit again
                _fail([request], SubmitUnknownError(str(error), job_id=request.jobs[0].id))
        except Exception as error:
            if len(requests) == 1:
                _fail(requests, error)
            else:  # who is to blame shows when each goes alone; what was kept is kept once
                for request in requests:
                    await self._send([request])
        except asyncio.CancelledError:
            for request in requests:
                request.answer.cancel()
            raise
        else:
            for request in requests:
                share = [next(answers) for _ in request.jobs]
                if not request.answer.done():
                    request.answer.set_result(share)


def _fail(requests: Sequence[_Request], error: Exception) -> None:
    for request in requests:
        if not request.answer.done():
            request.answer.set_exception(error)


class _Waiter:
    """Waits for all the jobs that anyone here waits for, with one question to the queue."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._pending: dict[str, set[asyncio.Future[Job]]] = {}
        self._joined = asyncio.Event()
        self._asking: asyncio.Task[None] | None = None

    async def wait(self, job_id: str) -> Job:
        """The job once it is finished. Raises `JobNotFoundError`."""
        answer: asyncio.Future[Job] = asyncio.get_running_loop().create_future()
        self._pending.setdefault(job_id, set()).add(answer)
        self._joined.set()
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask_while_pending())
            self._asking.add_done_callback(self._let_go)
        try:
            return await answer
        finally:
            if waiters := self._pending.get(job_id):
                waiters.discard(answer)
                if not waiters:
                    del self._pending[job_id]

    def close(self) -> None:
        if self._asking is not None and not self._asking.get_loop().is_closed():
            self._asking.cancel()

    async def _ask_while_pending(self) -> None:
        try:
            while self._pending:
                try:
                    await self._ask()
                except JobNotFoundError as error:
                    self._settle(error.job_id, error)
        except Exception as error:
            for job_id in list(self._pending):
                self._settle(job_id, error)

    def _let_go(self, asked: asyncio.Task[None]) -> None:
        """Nobody answers those who wait if it was cancelled, by the end of the loop or a user."""
        if self._asking is asked:  # else another one asks for all of them
            for waiters in self._pending.values():
                for answer in waiters:
                    answer.cancel()

    async def _ask(self) -> None:
        # First a look that nothing interrupts, or a stream of newcomers would keep anyone from
        # ever being answered; then a wait that a newcomer ends.
        self._joined.clear()
        wanted = list(self._pending)
        done = await self._queue.wait_finished(wanted, 0)
        if not done and not self._joined.is_set():
            done = await self._until_joined(wanted)
        for job in done:
            self._settle(job.id, job)

    async def _until_joined(self, wanted: list[str]) -> list[Job]:
        waiting = asyncio.ensure_future(self._queue.wait_finished(wanted, LONG_WAIT_S))
        joined = asyncio.ensure_future(self._joined.wait())
        try:
            await asyncio.wait({waiting, joined}, return_when=asyncio.FIRST_COMPLETED)
            return waiting.result() if waiting.done() else []
        finally:
            waiting.cancel()
            joined.cancel()

    def _settle(self, job_id: str, outcome: Job | Exception) -> None:
        for answer in self._pending.pop(job_id, ()):
            if answer.done():
                continue
            if isinstance(outcome, Job):
                answer.set_result(outcome)
            else:
                answer.set_exception(outcome)


# --- the connections of this process ---------------------------------------------------------


class _LoopConnections:
    """The connections of one event loop, closed when it shuts down its generators."""

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._loop = loop
        self._by_source: dict[Source, Connection] = {}
        self._guard = self._close_with_loop()

    async def begin(self) -> None:
        """Let the loop know of the guard: `asyncio.run` closes running generators at its end."""
        await anext(self._guard)

    def get(self, source: Source) -> Connection:
        if source not in self._by_source:
            self._by_source[source] = Connection(source)
        return self._by_source[source]

    async def close(self) -> None:
        for connection in self._by_source.values():
            await connection.close()

    async def _close_with_loop(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            _by_loop.pop(self._loop, None)
            await self.close()


_by_loop: dict[AbstractEventLoop, _LoopConnections] = {}
"""Changed without a lock, which a signal handler might need that has interrupted its holder."""


def running_loop() -> AbstractEventLoop:
    """The event loop that runs here. Raises `RuntimeError` that says what to do without one."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise RuntimeError(
            "no asyncio event loop is running here: under trio, call the _sync method in a thread "
            "(trio.to_thread.run_sync(task.submit_sync, ...)); without a loop, call the _sync "
            "method; in a child that was forked by a running loop, which is its parent's, start "
            "another with asyncio.run in a thread, or call the _sync method"
        ) from None


async def connect(source: Source) -> Connection:
    """The running loop's connection to a resolved URL, or by a queue that was handed over."""
    loop = running_loop()
    connections = _by_loop.get(loop)
    if connections is None:
        connections = _by_loop[loop] = _LoopConnections(loop)
        ended = [_by_loop.pop(other, None) for other in tuple(_by_loop) if other.is_closed()]
        await connections.begin()
        for others in filter(None, ended):  # closed without shutting down their generators
            await others.close()
    return connections.get(source)


def _leave_to_parent() -> None:
    """In a forked child: the parent's connections are its own."""
    keep_for_ever(list(_by_loop.values()))
    _by_loop.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)
