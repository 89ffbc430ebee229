"""Runs components side by side: starts them in order, supervises them, brings all down together."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import signal
import sys
import traceback
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext, suppress
from typing import Any, Protocol, runtime_checkable

from conduit.core.errors import ConduitError, ServiceCrashedError
from conduit.engine.attempts.attempt import Attempt
from conduit.engine.context import holder_in
from conduit.engine.process import loop
from conduit.engine.process.exits import CANCELLED_BY_TASK, Ending, no_quiet_exit
from conduit.engine.process.signals import signals_to
from conduit.engine.process.stacks import dump_stacks
from conduit.engine.process.streams import empty_stdin, kept_streams

logger = logging.getLogger("conduit.run")

EXIT_OK = 0
EXIT_CRASHED = 1
EXIT_INTERRUPTED = 130

PATIENCE_S = 25.0
"""How long components get to stop that don't say how long they need, such as APIs."""


class Service(Protocol):
    """A component of a run: a worker, an API."""

    @property
    def name(self) -> str:
        """What the component is called in messages."""
        ...

    async def start(self) -> None:
        """Be ready on return; raise what stands in the way."""
        ...

    async def wait(self) -> None:
        """Until stopped; raise what it crashed of."""
        ...

    async def stop(self) -> None:
        """Stop in good order."""
        ...

    async def stop_now(self) -> None:
        """Stop without waiting for anyone."""
        ...


@runtime_checkable
class RunsJobs(Protocol):
    """A component that holds jobs."""

    @property
    def name(self) -> str:
        """What the component is called in messages."""
        ...

    @property
    def shutdown_timeout(self) -> float:
        """How long its jobs may take to finish, in seconds."""
        ...

    async def worn_out(self) -> str:
        """Until the process is to be replaced by a fresh one; why, in words."""
        ...

    async def retire(self) -> None:
        """Claim no more, and wait until the jobs that run are over, however long they take."""
        ...

    def hand_back_from_outside(self, seconds: float) -> None:
        """Give up every job from another thread, as the event loop is blocked."""
        ...

    def keep_loop(self) -> None:
        """The event loop isn't ended before it was stopped, unless by one of its tasks."""
        ...

    def dump_processes(self) -> None:
        """Have its worker processes show their stacks. From any thread."""
        ...


def patience_of(services: Sequence[Service]) -> float:
    """How long components may take to stop in good order, in seconds."""
    return max(
        (each.shutdown_timeout for each in services if isinstance(each, RunsJobs)),
        default=PATIENCE_S,
    )


OnCrash = Callable[[str, BaseException], None]
OnWornOut = Callable[[str], Awaitable[None]]
"""Told why this process wants to be replaced; answers when it may claim no more."""


def show_crash(name: str, error: BaseException) -> None:
    """Print what a component crashed of: a sentence for our own errors, else a traceback."""
    with suppress(OSError, ValueError):  # stderr is closed
        if isinstance(error, ConduitError):
            sys.stderr.write(f"{name} stopped: {error}\n")
        else:
            sys.stderr.write(f"{name} crashed:\n")
            traceback.print_exception(error, file=sys.stderr)


def run_to_end(
    services: Sequence[Service],
    ending: Ending,
    *,
    keeper: Service | None = None,
    on_started: Callable[[], None] | None = None,
    on_crash: OnCrash = show_crash,
    on_worn_out: OnWornOut | None = None,
) -> int:
    """`run_services` on an event loop of its own, whose end tasks can't hold up; the exit code.

    A task that ends the loop, by `loop.stop()` or by `sys.exit()` outside of its job, or cancels
    what isn't its own, is a crash. Tasks find an empty stdin.
    """
    running = run_services(
        services,
        keeper=keeper,
        on_started=on_started,
        on_crash=on_crash,
        on_worn_out=on_worn_out,
        ending=ending,
    )
    try:
        with empty_stdin(), no_quiet_exit(ending):
            return loop.run(running)
    except (SystemExit, RuntimeError, asyncio.CancelledError) as error:
        if not ending.told:
            ending.code = EXIT_CRASHED
            on_crash("the run", _ended_by_task(error))
        return ending.code
    finally:
        ending.over()


def _ended_by_task(error: BaseException) -> BaseException:
    if isinstance(error, asyncio.CancelledError):
        return ServiceCrashedError(CANCELLED_BY_TASK)
    if isinstance(error, SystemExit):
        return ServiceCrashedError(f"a task called sys.exit({error.code!r}) outside of its job")
    if str(error) == "Event loop stopped before Future completed.":
        return ServiceCrashedError("a task stopped the event loop, which isn't its own")
    return error


async def run_services(
    services: Sequence[Service],
    *,
    keeper: Service | None = None,
    on_started: Callable[[], None] | None = None,
    on_crash: OnCrash = show_crash,
    on_worn_out: OnWornOut | None = None,
    ending: Ending | None = None,
) -> int:
    """Run until a signal or the first component that ends; the exit code.

    SIGTERM and SIGHUP stop in good order with 0, SIGINT with 130; a second signal stops now.
    SIGQUIT shows the stacks of all threads and tasks. A component that crashes, at its start or
    later, or that ends without having been told to, brings the others down: 1, or the code of the
    `ConduitError` it crashed of. `keeper` is a component that serves the others: it is started
    first and stopped last. `ending`: the process ends next, with this code.

    A worker that is worn out ends the run in good order. `on_worn_out` is told why, to have this
    process replaced: the end waits for jobs as long as they take, and the code is 0. Without it
    nobody else claims meanwhile: jobs get `shutdown_timeout`, and the code is 1.
    """
    run = _Run(services, on_crash, on_worn_out, ending)
    here = asyncio.get_running_loop()
    with (
        nullcontext() if ending is None else kept_streams() as open_again,
        signals_to(
            run.on_signal,
            at_once=run.at_once,
            on_dump=lambda: run.dump(here),
            until_exit=None if ending is None or ending.of_script else ending.exit_now,
        ) as take_back,
    ):
        upkeep = asyncio.create_task(_every_second(take_back, open_again))
        try:
            for service in services if keeper is None else (keeper, *services):
                if run.stop_asked.is_set():
                    break
                await run.start(service)
            else:
                if on_started is not None and not run.stop_asked.is_set():
                    on_started()
                await run.until_ended()
        finally:
            upkeep.cancel()
            run.begin_to_end()
            await run.bring_down(last=keeper)
    if run.told and (ending is None or ending.of_script):
        logger.info("stopped")
    return run.code


def _job_of(value: object) -> tuple[str, str] | None:
    if isinstance(value, contextvars.Context):  # a thread's
        value = holder_in(value)
    return (value.job.id, value.job.function) if isinstance(value, Attempt) else None


async def _every_second(*duties: Callable[[], None] | None) -> None:
    while True:
        await asyncio.sleep(1)
        for duty in duties:
            if duty is None:
                continue
            try:
                duty()
            except Exception:  # one that fails mustn't end the others
                logger.exception("looking after the process failed")


class _Run:
    def __init__(
        self,
        services: Sequence[Service],
        on_crash: OnCrash,
        on_worn_out: OnWornOut | None,
        ending: Ending | None,
    ) -> None:
        self.code = EXIT_OK
        self.told = False
        self._signals = 0
        self.stop_asked = asyncio.Event()
        self._jobs = [each for each in services if isinstance(each, RunsJobs)]
        self._patience = patience_of(services)
        self._now = asyncio.Event()
        self._ending = ending
        self._loop = asyncio.get_running_loop()
        self._on_crash = on_crash
        self._on_worn_out = on_worn_out
        self._started: list[Service] = []
        self._over: list[Service] = []  # those that have ended by themselves

    # --- being told to end --------------------------------------------------------------------

    def at_once(self, number: int) -> None:
        """A signal has come; told in a thread, whatever the event loop does."""
        if self.told:
            if self._ending is not None:
                self._ending.hurry()
            return
        self.told = True
        logger.info("stopping; once more hands back now what still runs")
        if self.code == EXIT_OK:  # else it ends for another reason already
            self._exit_with(EXIT_INTERRUPTED if number == signal.SIGINT else EXIT_OK)
        self.begin_to_end()

    def on_signal(self, _: int) -> None:
        """The first one stops in good order, another one now."""
        self._signals += 1
        if self._signals > 1:
            self._now.set()
        self.stop_asked.set()

    def dump(self, loop: asyncio.AbstractEventLoop) -> None:
        """Show all stacks, those of worker processes too."""
        dump_stacks(_job_of, loop)
        for each in self._jobs:
            each.dump_processes()

    def begin_to_end(self) -> None:
        """From now on the end of the process has its time."""
        if self._ending is not None:
            self._ending.told = self.told
            self._ending.begin(self._patience, self._loop, self._hand_back_from_outside)

    def _hand_back_from_outside(self, seconds: float) -> None:
        for each in self._jobs:
            each.hand_back_from_outside(seconds / len(self._jobs))

    def _crashed(self, name: str, error: BaseException) -> None:
        self._on_crash(name, error)
        if self.code in (EXIT_OK, EXIT_INTERRUPTED):
            self._exit_with(error.exit_code if isinstance(error, ConduitError) else EXIT_CRASHED)
        self.stop_asked.set()

    async def _until_worn_out(self, worker: RunsJobs) -> None:
        """Until the run is to end because a worker is worn out."""
        why = f"worker {worker.name} is worn out: {await worker.worn_out()}"
        if self._on_worn_out is not None:
            await self._on_worn_out(why)
            await asyncio.gather(*(each.retire() for each in self._jobs))
        else:
            logger.warning("%s; the run ends, for whoever started it to start it anew", why)
            self._exit_with(EXIT_CRASHED)

    def _exit_with(self, code: int) -> None:
        self.code = code
        if self._ending is not None:
            self._ending.code = code

    # --- life ---------------------------------------------------------------------------------

    async def start(self, service: Service) -> None:
        """Start a component; a signal while it does ends that, and a second one at once."""
        starting = asyncio.ensure_future(service.start())
        if not await _before(starting, self.stop_asked):
            starting.cancel()
            if not await _before(starting, self._now):
                await service.stop_now()
        try:
            await starting
        except asyncio.CancelledError:
            return
        except Exception as error:
            self._crashed(service.name, error)
        else:
            self._started.append(service)
            if self._ending is not None and isinstance(service, RunsJobs):
                service.keep_loop()

    async def until_ended(self) -> None:
        """Until a signal, until any component ends, or until a worker is worn out."""
        ends = {asyncio.ensure_future(each.wait()): each for each in self._started}
        worn = {asyncio.ensure_future(self._until_worn_out(each)) for each in self._jobs}
        asked = asyncio.ensure_future(self.stop_asked.wait())
        waits: set[asyncio.Future[Any]] = {*ends, *worn, asked}
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        if not self.stop_asked.is_set():
            for wear in worn:
                if wear.done():
                    wear.result()
            for end, service in ends.items():
                if end.done() and not end.cancelled():
                    words = "it ended without having been told to"
                    self._crashed(service.name, end.exception() or ServiceCrashedError(words))
                    self._over.append(service)
            self.stop_asked.set()
        for wait in waits:
            wait.cancel()
        await asyncio.wait(waits)

    async def bring_down(self, *, last: Service | None) -> None:
        """Stop all, those started last first, `last` when they have; report each one's crash."""
        asyncio.get_running_loop().call_later(self._patience, self._now.set)
        others = [each for each in reversed(self._started) if each is not last]
        await asyncio.gather(*(self._end(each) for each in others))
        for each in self._started[:1]:
            if each is last:
                await self._end(each)

    async def _end(self, service: Service) -> None:
        try:
            await self._stop(service)
            if service not in self._over:  # else its end is known, and it isn't run again
                await service.wait()
        except asyncio.CancelledError:
            self._over.append(service)  # by whom all of the run was cancelled
        except Exception as error:
            self._crashed(service.name, error)

    async def _stop(self, service: Service) -> None:
        stopping = asyncio.ensure_future(service.stop())
        if not await _before(stopping, self._now):
            await service.stop_now()
        await stopping


async def _before(task: asyncio.Future[Any], event: asyncio.Event) -> bool:
    """Wait for either; whether the task has ended."""
    flag = asyncio.ensure_future(event.wait())
    await asyncio.wait({task, flag}, return_when=asyncio.FIRST_COMPLETED)
    flag.cancel()
    return task.done()
