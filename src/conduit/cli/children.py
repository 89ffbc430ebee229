"""Child processes of a run: started together, replaced when worn out, brought down together."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import msgspec
from msgspec import structs

from conduit.cli.logs import announce
from conduit.cli.plan import Message, RunPlan, Started, WornOut
from conduit.cli.problems import EXIT_FAILURE, EXIT_INTERRUPTED
from conduit.engine.process.exits import STOP_GRACE_S, Ending
from conduit.engine.process.signals import signals_to
from conduit.engine.supervision.runner import PATIENCE_S

KILL_S = STOP_GRACE_S - 0.2
"""When a child is killed that should have ended by itself before."""

_decoder: msgspec.json.Decoder[Message] = msgspec.json.Decoder(Message)


class Child:
    """A process that carries out a plan, with a line to its supervisor, which is a socket.

    Over it the child says what comes of it, and learns by its end that the supervisor is gone.
    """

    def __init__(
        self, process: Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer
        self.pid = process.pid
        self.patience = PATIENCE_S
        """How long it takes to stop at the most, in seconds."""
        self.worn_out = False
        self._has_started = False

    @classmethod
    async def start(cls, plan: RunPlan) -> Child:
        """Start a process for the plan.

        In a process group of its own: Ctrl-C reaches it once, through `send`, and not a second
        time from the terminal, which would mean "stop now".
        """
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "conduit.cli.child"),
                *(msgspec.json.encode(plan).decode(), str(theirs.fileno())),
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                process_group=0,
            )
        return cls(process, *await asyncio.open_connection(sock=ours))

    async def messages(self) -> AsyncIterator[Message]:
        """What it says, until it has ended. What it has forked may hold the line for longer."""
        end = asyncio.ensure_future(self._process.wait())
        line = asyncio.ensure_future(self._read())
        while True:
            await asyncio.wait({line, end}, return_when=asyncio.FIRST_COMPLETED)
            said = await line if line.done() else b""
            if not said:
                break
            message = _decoder.decode(said)
            if isinstance(message, Started):
                self.patience = message.patience
                self._has_started = True
            else:
                self.worn_out = True
            yield message
            line = asyncio.ensure_future(self._read())
        line.cancel()
        await end
        self._writer.close()

    async def _read(self) -> bytes:
        """The next line; nothing at the end."""
        try:
            return await self._reader.readline()
        except ConnectionResetError:  # it ended and hadn't read what was said to it
            return b""

    async def wait(self) -> None:
        """Until it has ended."""
        async for _ in self.messages():
            pass

    async def until_ended(self) -> None:
        """The same, while somebody else reads its messages."""
        await self._process.wait()

    def send(self, number: int) -> None:
        """Send it a signal, if it still runs; SIGTERM instead of SIGINT before it has started, as
        Python would show a traceback.

        Not by the process's own `send_signal`, which may collect the exit code behind asyncio's
        back: it would be 255 then, or never come.
        """
        if number == signal.SIGINT and not self._has_started:
            number = signal.SIGTERM
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def may_retire(self) -> None:
        """Let it be replaced once it is worn out; until then it goes on."""
        with suppress(OSError):
            self._writer.write(b"\n")

    def dump(self) -> None:
        """Have it show its stacks, once it can: before that the signal would end it."""
        if self._has_started:
            self.send(signal.SIGQUIT)

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


async def run_children(
    plan: RunPlan, on_started: Callable[[float], None], ending: Ending, *, apart: bool
) -> int:
    """Run a plan's workers in `plan.processes` processes; the exit code.

    The first child to end without having been told to brings the others down; one that is worn out
    is replaced. `apart`: what isn't a worker gets a process of its own, which stays.
    """
    children = _Children(plan, on_started, ending)
    with signals_to(children.on_signal, on_dump=children.dump, until_exit=ending.exit_now):
        await children.run(_plans(plan, apart=apart))
        ending.code = children.exit_code
    return ending.code


def _plans(plan: RunPlan, *, apart: bool) -> list[RunPlan]:
    """What each process does. Ports are served by one of them, which also has the server."""
    one = structs.replace(plan, processes=1, banner=False, supervised=True)
    workers = structs.replace(one, apis=False, server=None)
    others = structs.replace(one, workers=False)
    if apart:
        return [others, *[workers] * plan.processes]
    return [one, *[workers] * (plan.processes - 1)]


class _Children:
    def __init__(self, plan: RunPlan, on_started: Callable[[float], None], ending: Ending) -> None:
        self._plan = plan
        self._on_started = on_started
        self._ending = ending
        self._loop = asyncio.get_running_loop()
        self._children: list[Child] = []
        self._lives: set[asyncio.Task[None]] = set()
        self._asked: list[int] = []
        self._to_start = 0
        self._first: Child | None = None
        """The first to end without having been told to."""

    async def run(self, plans: list[RunPlan]) -> None:
        """Start a child for each plan, and wait until all have ended."""
        self._to_start = len(plans)
        announce(
            self._plan, f"starting {len(plans)} {'process' if len(plans) == 1 else 'processes'}"
        )
        for each in plans:
            if self._stopping:
                break
            await self._begin(each)
        while self._lives:
            done, _ = await asyncio.wait(self._lives, return_when=asyncio.FIRST_COMPLETED)
            self._lives -= done  # a replacement may have been added meanwhile
            for life in done:
                life.result()

    async def _begin(self, plan: RunPlan, before: Child | None = None) -> None:
        child = await Child.start(plan)
        self._children.append(child)
        # While it was being started, the others were asked to stop: it hasn't heard of it.
        for number in self._asked or [signal.SIGTERM] * (self._first is not None):
            child.send(number)
        self._lives.add(asyncio.create_task(self._live(child, plan)))
        self._lives.add(asyncio.create_task(self._let_retire(child, before)))

    async def _live(self, child: Child, plan: RunPlan) -> None:
        async for message in child.messages():
            match message:
                case Started():
                    self._note_start()
                case WornOut(why) if not self._stopping:
                    announce(self._plan, f"process {child.pid}: {why}; another one takes its place")
                    await self._begin(plan, before=child)
                case WornOut():
                    pass
        if child.worn_out:
            self._children.remove(child)
        elif not self._stopping:
            self._first = child
            announce(self._plan, f"process {child.pid} {child.end}; stopping the others")
            self._stop(signal.SIGTERM)

    async def _let_retire(self, child: Child, before: Child | None) -> None:
        """Let a process be replaced when the jobs of the one `before` it are over.

        In each place there are two at the most, one that claims and one whose jobs finish: else
        slow jobs would pile up processes.
        """
        if before is not None:
            await before.until_ended()
        child.may_retire()

    def _note_start(self) -> None:
        self._to_start -= 1
        if self._to_start == 0 and not self._stopping:
            self._on_started(self._patience)

    @property
    def _patience(self) -> float:
        return max((child.patience for child in self._children), default=0.0)

    # --- the end ------------------------------------------------------------------------------

    @property
    def _stopping(self) -> bool:
        return bool(self._asked) or self._first is not None

    def on_signal(self, number: int) -> None:
        """Pass it on."""
        again = bool(self._asked)
        self._asked.append(number)
        self._stop(number, again=again)

    def dump(self) -> None:
        """Have every child show its stacks."""
        for child in list(self._children):
            child.dump()

    def _stop(self, number: int, *, again: bool = False) -> None:
        for child in self._children:
            child.send(number)
        patience = 0.0 if again else self._patience
        self._loop.call_later(patience + KILL_S, self._kill)
        self._ending.code = self.exit_code
        self._ending.begin(patience, self._loop, lambda _: None)

    def _kill(self) -> None:
        for child in self._children:
            child.send(signal.SIGKILL)

    @property
    def exit_code(self) -> int:
        """That of a child which failed to do what it was asked, or of the signal."""
        if not self._asked:
            return EXIT_FAILURE if self._first is None else self._first.exit_code or EXIT_FAILURE
        asked = self._asked[0]
        interrupted = EXIT_INTERRUPTED if asked == signal.SIGINT else 0
        # A child that hadn't yet come to handle the signal ends of it.
        by_us = (asked, signal.SIGTERM)
        codes = [each.exit_code for each in self._children if each.killed_by not in by_us]
        return next((code for code in codes if code not in (0, EXIT_INTERRUPTED)), interrupted)
