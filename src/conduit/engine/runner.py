"""Runs components side by side: starts them in order, supervises them, brings all down together."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from conduit.core.errors import ConduitError
from conduit.engine.signals import signals_to

logger = logging.getLogger("conduit.run")

EXIT_OK = 0
EXIT_CRASHED = 1
EXIT_INTERRUPTED = 130


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


OnCrash = Callable[[str, BaseException], None]


def show_crash(name: str, error: BaseException) -> None:
    """Print what a component crashed of: a sentence for our own errors, else a traceback."""
    if isinstance(error, ConduitError):
        sys.stderr.write(f"{name} stopped: {error}\n")
    else:
        sys.stderr.write(f"{name} crashed:\n")
        traceback.print_exception(error, file=sys.stderr)


async def run_services(
    services: Sequence[Service],
    *,
    on_started: Callable[[], None] | None = None,
    on_crash: OnCrash = show_crash,
    until_exit: bool = False,
) -> int:
    """Run until a signal or the first component that ends; the exit code.

    SIGTERM stops in good order with 0, SIGINT with 130; a second signal stops now. A component
    that crashes, at its start or later, brings the others down in reverse order: 1, or the code of
    the `ConduitError` it crashed of. `until_exit`: the process ends next, with this code.
    """
    run = _Run(on_crash)
    with signals_to(run.on_signal, until_exit=(lambda: run.code) if until_exit else None):
        try:
            for service in services:
                if run.stop_asked.is_set():
                    break
                await run.start(service)
            else:
                if on_started is not None and not run.stop_asked.is_set():
                    on_started()
                await run.until_ended()
        finally:
            await run.bring_down()
    if run.signalled:
        logger.info("stopped")
    return run.code


class _Run:
    def __init__(self, on_crash: OnCrash) -> None:
        self.code = EXIT_OK
        self.signalled = False
        self.stop_asked = asyncio.Event()
        self._now = asyncio.Event()
        self._on_crash = on_crash
        self._started: list[Service] = []

    def on_signal(self, number: int) -> None:
        """The first one stops in good order, another one now."""
        if self.stop_asked.is_set():
            self._now.set()
        else:
            self.signalled = True
            logger.info("stopping; once more hands back now what still runs")
            if number == signal.SIGINT:
                self.code = EXIT_INTERRUPTED
        self.stop_asked.set()

    def _crashed(self, name: str, error: BaseException) -> None:
        self._on_crash(name, error)
        if self.code in (EXIT_OK, EXIT_INTERRUPTED):
            self.code = error.exit_code if isinstance(error, ConduitError) else EXIT_CRASHED
        self.stop_asked.set()

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

    async def until_ended(self) -> None:
        """Until a signal, or until any component ends."""
        waits: set[asyncio.Future[Any]] = {
            asyncio.ensure_future(service.wait()) for service in self._started
        }
        waits.add(asyncio.ensure_future(self.stop_asked.wait()))
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        await asyncio.wait(waits)

    async def bring_down(self) -> None:
        """Stop in reverse order of starting, and report each one that had crashed."""
        for service in reversed(self._started):
            try:
                await self._stop(service)
                await service.wait()
            except Exception as error:
                self._crashed(service.name, error)

    async def _stop(self, service: Service) -> None:
        stopping = asyncio.ensure_future(service.stop())
        if not await _before(stopping, self._now):
            await service.stop_now()
        await stopping


async def _before(task: asyncio.Future[None], event: asyncio.Event) -> bool:
    """Wait for either; whether the task has ended."""
    flag = asyncio.ensure_future(event.wait())
    await asyncio.wait({task, flag}, return_when=asyncio.FIRST_COMPLETED)
    flag.cancel()
    return task.done()
