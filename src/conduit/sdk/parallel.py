"""Many jobs at once: submit them together, map over inputs, gather, race.

Inputs are dicts of keyword arguments, tuples of positional ones, or single values; a dict or tuple
that is itself the one argument goes into a tuple: `({"a": 1},)`.
"""

from __future__ import annotations

import asyncio
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Iterable,
    Iterator,
    Mapping,
)
from contextlib import asynccontextmanager
from itertools import islice
from typing import Any, Literal, TypeVar, cast, overload

from conduit.core.checks import check_count, check_seconds
from conduit.core.errors import ConduitError, InvalidOptionError, quoted
from conduit.core.model import NewJob
from conduit.core.result import TaskResult
from conduit.sdk.blocking import run_blocking
from conduit.sdk.client import running_loop
from conduit.sdk.future import Future
from conduit.sdk.task import TaskHandle

__all__ = [
    "as_completed",
    "first_completed",
    "gather",
    "gather_sync",
    "map_tasks",
    "map_tasks_sync",
    "submit_many",
    "submit_many_sync",
]

R = TypeVar("R")

# --- submitting ------------------------------------------------------------------------------


async def submit_many(handle: TaskHandle[..., R], inputs: Iterable[Any]) -> list[Future[R]]:
    """Submit a job per input; their Futures in the order of the inputs.

    All arguments are checked before anything is sent; an error about them begins with the input's
    number, counted from 0. Up to 5,000 jobs are kept in one step, all of
    them or none; more go in steps of so many, one after the other. Raises as `submit` does, and
    `TypeError` for a handle that isn't one.
    """
    return await _submit(handle, _jobs(handle, inputs))


def submit_many_sync(handle: TaskHandle[..., R], inputs: Iterable[Any]) -> list[Future[R]]:
    """`submit_many` for callers without an event loop."""
    return run_blocking(_submit(handle, _jobs(handle, inputs)))


def _jobs(handle: TaskHandle[..., Any], inputs: Iterable[Any]) -> list[NewJob]:
    _check_handle(handle)
    return [_job(handle, each, number) for number, each in enumerate(inputs)]


def _check_handle(handle: object) -> None:
    if not isinstance(handle, TaskHandle):
        raise TypeError(f"{quoted(handle)} isn't a task: give a function under @worker.task")


def _job(handle: TaskHandle[..., Any], given: Any, number: int) -> NewJob:
    try:
        return _prepared(handle, given)
    except ConduitError as error:
        error.args = (f"input {number}: {error}", *error.args[1:])
        raise


def _prepared(handle: TaskHandle[..., Any], given: Any) -> NewJob:
    if isinstance(given, Mapping):
        return handle.prepare(**cast("Mapping[str, Any]", given))
    if isinstance(given, tuple):
        return handle.prepare(*cast("tuple[Any, ...]", given))
    return handle.prepare(given)


async def _submit(handle: TaskHandle[..., R], jobs: list[NewJob]) -> list[Future[R]]:
    return await handle.submit_prepared(jobs) if jobs else []


# --- mapping ---------------------------------------------------------------------------------


async def map_tasks(
    handle: TaskHandle[..., R],
    inputs: Iterable[Any] | AsyncIterable[Any],
    concurrency: int | None = None,
) -> list[R]:
    """Run a job per input; their values in the order of the inputs.

    `concurrency`: how many are unfinished at once; inputs are then read as there is room. Without
    it all are submitted together. The first error, be it a job's or one of the inputs, cancels the
    jobs that haven't finished, and is raised.
    """
    _check_handle(handle)
    if concurrency is not None:
        check_count("concurrency", concurrency, InvalidOptionError, least=1)
    source = aiter(inputs) if isinstance(inputs, AsyncIterable) else iter(inputs)
    return await _Mapping(handle, source, concurrency).run()


def map_tasks_sync(
    handle: TaskHandle[..., R], inputs: Iterable[Any], concurrency: int | None = None
) -> list[R]:
    """`map_tasks` for callers without an event loop. Reads all inputs before it submits any."""
    return run_blocking(map_tasks(handle, list(inputs), concurrency))


class _Mapping:
    """One call of `map_tasks`: a window of unfinished jobs that moves along the inputs."""

    def __init__(
        self,
        handle: TaskHandle[..., Any],
        source: Iterator[Any] | AsyncIterator[Any],
        concurrency: int | None,
    ) -> None:
        self._handle = handle
        self._source = source
        self._concurrency = concurrency
        self._futures: list[Future[Any]] = []
        self._values: dict[int, Any] = {}
        self._waits: dict[asyncio.Task[Any], int] = {}

    async def run(self) -> list[Any]:
        try:
            while await self._submit_more():
                await self._until_room()
            while self._waits:
                await self._collect(asyncio.FIRST_EXCEPTION)
        except Exception:
            await _cancel_jobs(self._futures[number] for number in self._waits.values())
            raise
        finally:
            await _end(self._waits)
        return [self._values[number] for number in range(len(self._futures))]

    async def _submit_more(self) -> bool:
        """Fill the window; False when the inputs are used up."""
        inputs = await self._read()
        first = len(self._futures)
        jobs = [_job(self._handle, each, number) for number, each in enumerate(inputs, first)]
        for future in await _submit(self._handle, jobs):
            self._waits[asyncio.create_task(future.value())] = len(self._futures)
            self._futures.append(future)
        return bool(inputs)

    async def _read(self) -> list[Any]:
        if isinstance(self._source, AsyncIterator):
            async for item in self._source:
                return [item]  # what comes later may take its time: this one needn't wait for it
            return []
        room = None if self._concurrency is None else self._concurrency - len(self._waits)
        return list(islice(self._source, room))

    async def _until_room(self) -> None:
        while self._concurrency is not None and len(self._waits) >= self._concurrency:
            await self._collect(asyncio.FIRST_COMPLETED)

    async def _collect(self, when: str) -> None:
        done, _ = await asyncio.wait(self._waits, return_when=when)
        # In the order of the inputs, so that of several errors the first one is raised.
        for wait in sorted(done, key=self._waits.__getitem__):
            value = wait.result()
            self._values[self._waits.pop(wait)] = value


# --- waiting for several ---------------------------------------------------------------------


@overload
async def gather(*futures: Future[R], return_exceptions: Literal[False] = False) -> list[R]: ...


@overload
async def gather(*futures: Future[R], return_exceptions: bool) -> list[R | BaseException]: ...


async def gather(*futures: Future[Any], return_exceptions: bool = False) -> list[Any]:
    """The values of several jobs, in the order given.

    The first job to fail raises its error here, and the others go on. With `return_exceptions`,
    errors stand in the list where the values would.
    """
    async with _waiting_for(futures) as waits:
        if waits and return_exceptions:
            await asyncio.wait(waits)
        elif waits:
            done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_EXCEPTION)
            for wait in waits:
                if wait in done:
                    wait.result()
        results = [_result_or_error(wait) for wait in waits]
        return [each.value if isinstance(each, TaskResult) else each for each in results]


@overload
def gather_sync(*futures: Future[R], return_exceptions: Literal[False] = False) -> list[R]: ...


@overload
def gather_sync(*futures: Future[R], return_exceptions: bool) -> list[R | BaseException]: ...


def gather_sync(*futures: Future[Any], return_exceptions: bool = False) -> list[Any]:
    """`gather` for callers without an event loop."""
    return run_blocking(gather(*futures, return_exceptions=return_exceptions))


async def first_completed(*futures: Future[R], timeout: float | None = None) -> R:
    """The value of the first job to finish; the other jobs are cancelled.

    If that one failed, its error is raised, and the others are cancelled all the same.
    `TimeoutError` after `timeout` seconds; then all of them go on.
    """
    if not futures:
        raise InvalidOptionError("first_completed() needs at least one Future")
    timeout = _limit(timeout)
    async with _waiting_for(futures) as waits:
        done, _ = await asyncio.wait(waits, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        if not done:
            raise TimeoutError(f"none of {len(futures)} jobs has finished after {timeout} s")
        first = next(wait for wait in waits if wait in done)
        await _cancel_jobs(
            future for future, wait in zip(futures, waits, strict=True) if wait is not first
        )
        return cast("R", first.result().value)


async def as_completed(
    futures: Iterable[Future[R]], timeout: float | None = None
) -> AsyncIterator[Future[R]]:
    """The futures one by one as their jobs finish, well or not: `async for future in ...`.

    `TimeoutError` when `timeout` seconds after the start some haven't; their jobs go on.
    """
    given, timeout = list(futures), _limit(timeout)
    deadline = None if timeout is None else running_loop().time() + timeout
    async with _waiting_for(given) as waits:
        by_wait = dict(zip(waits, given, strict=True))
        finished: asyncio.Queue[asyncio.Task[TaskResult[R]]] = asyncio.Queue()
        for wait in waits:
            wait.add_done_callback(finished.put_nowait)
        while by_wait:
            try:
                async with asyncio.timeout_at(deadline):
                    wait = await finished.get()
            except TimeoutError:
                raise TimeoutError(
                    f"{len(by_wait)} of {len(waits)} jobs have not finished after {timeout} s"
                ) from None
            yield by_wait.pop(wait)


# --- the pieces ------------------------------------------------------------------------------


@asynccontextmanager
async def _waiting_for(
    futures: Iterable[Future[R]],
) -> AsyncGenerator[list[asyncio.Task[TaskResult[R]]]]:
    given = list(futures)
    for each in given:
        if not isinstance(cast("object", each), Future):
            raise TypeError(f"{quoted(each)} isn't a Future: give what submit() returned")
    loop = running_loop()
    waits = [loop.create_task(future.result()) for future in given]
    try:
        yield waits
    finally:
        await _end(waits)


def _limit(timeout: float | None) -> float | None:
    if timeout is None:
        return None
    return check_seconds("timeout", timeout, InvalidOptionError, zero=True)


async def _end(waits: Iterable[asyncio.Task[Any]]) -> None:
    waits = list(waits)
    for wait in waits:
        wait.cancel()
    await asyncio.gather(*waits, return_exceptions=True)


async def _cancel_jobs(futures: Iterable[Future[Any]]) -> None:
    await asyncio.gather(*(future.cancel() for future in futures))


def _result_or_error(wait: asyncio.Task[TaskResult[R]]) -> TaskResult[R] | BaseException:
    error = wait.exception()
    return wait.result() if error is None else error
