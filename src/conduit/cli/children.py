"""Child processes of a run: started together, brought down together, signals passed on."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from asyncio.subprocess import Process
from collections.abc import Callable
from contextlib import suppress

import msgspec
from msgspec import structs

from conduit.cli.logs import announce
from conduit.cli.plan import RunPlan
from conduit.cli.problems import EXIT_FAILURE, EXIT_INTERRUPTED
from conduit.engine.signals import signals_to


class Child:
    """A process that carries out a plan. Its stdin is a socket: a line to the supervisor.

    Over it the child says that it has started, and learns by its end that the supervisor is gone.
    """

    def __init__(
        self, process: Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer
        self.pid = process.pid

    @classmethod
    async def start(cls, plan: RunPlan) -> Child:
        """Start a process for the plan.

        In a process group of its own: Ctrl-C reaches it once, through `send`, and not a second
        time from the terminal, which would mean "stop now".
        """
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "conduit.cli.child",
                msgspec.json.encode(plan).decode(),
                stdin=theirs.fileno(),
                process_group=0,
            )
        return cls(process, *await asyncio.open_connection(sock=ours))

    async def started(self) -> bool:
        """Until its components have started. False: it ended before."""
        return bool(await self._reader.read(1))

    async def wait(self) -> None:
        """Until it has ended."""
        await self._process.wait()
        self._writer.close()

    def send(self, number: int) -> None:
        """Send it a signal, if it still runs.

        Not by the process's own `send_signal`, which may collect the exit code behind asyncio's
        back: it would be 255 then, or never come.
        """
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    @property
    def ended(self) -> bool:
        """Whether it has."""
        return self._process.returncode is not None

    @property
    def killed_by(self) -> int | None:
        """The signal that killed it, if one did."""
        code = self._process.returncode
        return -code if code is not None and code < 0 else None

    @property
    def exit_code(self) -> int:
        """Its exit code; that of a crash where a signal killed it."""
        code = self._process.returncode
        return EXIT_FAILURE if code is None or code < 0 else code

    @property
    def end(self) -> str:
        """How it ended, in words."""
        if self.killed_by is not None:
            return f"was killed by {signal.Signals(self.killed_by).name}"
        return f"ended with exit code {self.exit_code}"


async def run_children(plan: RunPlan, on_started: Callable[[], None]) -> int:
    """Run a plan's workers in `plan.processes` processes; APIs in the first. The exit code.

    The first child to end brings the others down.
    """
    one = structs.replace(plan, processes=1, banner=False)
    children: list[Child] = []
    asked: list[int] = []
    first: Child | None = None

    def exit_code() -> int:
        if asked:
            return _exit_code(children, asked[0])
        return EXIT_FAILURE if first is None else first.exit_code

    def on_signal(number: int) -> None:
        asked.append(number)
        for child in children:
            child.send(number)

    announce(plan, f"starting {plan.processes} processes")
    with signals_to(on_signal, until_exit=exit_code):
        for index in range(plan.processes):
            child = await Child.start(structs.replace(one, apis=plan.apis and index == 0))
            children.append(child)
            if asked:  # while it was being started: it hasn't heard of it
                for number in asked:
                    child.send(number)
                break
        if not asked and all(await asyncio.gather(*(child.started() for child in children))):
            on_started()
        ends = [asyncio.ensure_future(child.wait()) for child in children]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        first = next(child for child in children if child.ended)
        if not asked:
            announce(plan, f"process {first.pid} {first.end}; stopping the others")
            for child in children:
                child.send(signal.SIGTERM)
        await asyncio.wait(ends)
    return exit_code()


def _exit_code(children: list[Child], asked: int) -> int:
    """The code of children that were asked to stop: of one that failed to, or of the signal."""
    interrupted = EXIT_INTERRUPTED if asked == signal.SIGINT else 0
    # A child that hadn't yet come to handle the signal ends of it.
    codes = [child.exit_code for child in children if child.killed_by != asked]
    return next((code for code in codes if code not in (0, EXIT_INTERRUPTED)), interrupted)
