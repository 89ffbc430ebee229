"""A pool of worker processes, for plain functions that keep a core busy.

Each process is a fresh interpreter that imports the service's module and stays for many jobs. What
goes there is a function's name, the encoded arguments and the job's facts: nothing is pickled, and
no context variable of the caller goes along. Works on Unix; on Windows, task functions are refused
at registration.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import operator
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, NamedTuple, Self

from msgspec import Struct

from conduit.core.codec import DEFAULT_PAYLOAD_LIMIT
from conduit.core.errors import ConduitError, InvalidTaskError
from conduit.engine.context import JobView, Port
from conduit.engine.executors.messages import (
    HEADER_SIZE,
    Ask,
    Await,
    Awaited,
    Begun,
    FromProcess,
    Importing,
    PackedError,
    Raised,
    RemoteError,
    Reply,
    Returned,
    Run,
    Stop,
    Tell,
    ToProcess,
    framed,
    from_process,
    pack_error,
    unpack_error,
)
from conduit.engine.logs import show_lines
from conduit.engine.process.loading import ModuleRef, absolute_path
from conduit.engine.process.recycling import resident_mb, staggered

logger = logging.getLogger("conduit.engine")

__all__ = [
    "ProcessPool",
    "ProcessTarget",
    "RemoteError",
    "RemoteTraceback",
    "WorkerProcessDied",
]

TERMINATE_GRACE_S = 1.0
"""How long a process may take to end on SIGTERM before it gets SIGKILL."""

CANCEL_CHECK_S = 0.1
"""How often a running job's port is asked whether the job is to stop."""

# The interpreter's own path comes first here, so that a service's folder with a `queue.py` in it
# can't break Python's and Conduit's imports. `ModuleRef.load` sets the worker's order later.
_BOOT = (
    "import json, sys; "
    "sys.path += [entry for entry in json.loads(sys.argv[1]) if entry not in sys.path]; "
    "from conduit.engine.executors.child import main; main(int(sys.argv[2]))"
)


class WorkerProcessDied(ConduitError):
    """A worker process ended in mid-job: it crashed, was killed, or the job called `os._exit`.

    `status` is its exit status, negative if a signal ended it; `signal` is then that signal's name.
    """

    def __init__(self, view: JobView, status: int) -> None:
        self.status = status
        self.signal = _signal_name(-status) if status < 0 else None
        how = f"exit code {status}" if self.signal is None else f"killed by {self.signal}"
        if self.signal == "SIGKILL":
            how += " (often because the machine ran out of memory)"
        super().__init__(
            f"the worker process that ran {view.function} (job {view.lease.job_id}) died: {how}"
        )


class RemoteTraceback(Exception):
    """The `__cause__` of an error that came from a worker process; its words are the traceback."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


# --- naming a function -----------------------------------------------------------------------


class ProcessTarget(Struct, frozen=True):
    """A function, named so that a fresh process finds it again."""

    module: ModuleRef
    qualname: str

    @classmethod
    def of(cls, fn: Callable[..., Any]) -> ProcessTarget:
        """Name a function, or the one behind a task handle.

        Raises `InvalidTaskError` with the reason if a fresh process couldn't find it: a lambda, a
        nested function, a bound method, an object that is merely callable, a function of a
        notebook. Decorators run before their function's name is bound; `check` looks at that later.
        """
        call = _call_behind(fn)
        qualname = getattr(call, "__qualname__", None)
        module = sys.modules.get(getattr(call, "__module__", None) or "")
        if sys.platform == "win32":
            raise _refused(call, "worker processes don't work on Windows yet")
        if inspect.ismethod(call):
            raise _refused(call, "it is a bound method; write it as a function of its module")
        if qualname is None or module is None:
            raise _refused(call, "it isn't a function that a module holds; write it with def")
        if "<lambda>" in qualname:
            raise _refused(call, "a lambda has no name; write it with def")
        if "<locals>" in qualname:
            raise _refused(
                call,
                "it is defined inside another function; move it to the top level of its module, "
                "and let a decorator that wraps it use functools.wraps",
            )
        return cls(ModuleRef.of(module), qualname)

    def check(self, fn: Callable[..., Any]) -> None:
        """Make sure, once the module is imported, that the name leads to `fn`.

        Raises `InvalidTaskError` if the module has something else there by now, or nothing.
        """
        call = _call_behind(fn)
        try:
            found = operator.attrgetter(self.qualname)(sys.modules[call.__module__])
        except AttributeError:
            found = None
        if _call_behind(found) is not call:
            held = "nothing" if found is None else "something else"
            raise _refused(
                call,
                f"its module holds {held} under the name {self.qualname!r}; "
                "give it a name of its own there",
            )


def _call_behind(fn: Any) -> Any:
    """The plain function of a task handle; what isn't a handle is returned as it is."""
    function = getattr(fn, "__conduit_function__", None)
    return fn if function is None else function.call


def _refused(call: Any, reason: str) -> InvalidTaskError:
    name = getattr(call, "__qualname__", None) or repr(call)
    return InvalidTaskError(
        f"{name} can't run in a worker process: {reason}. "
        'Or run it in a thread: sync_executor="thread"'
    )


# --- the pool --------------------------------------------------------------------------------


class ProcessPool:
    """Up to `size` worker processes, each started when it is first needed.

    Use as an async context manager, from one event loop. `result_limit` is in bytes. A process is
    replaced between two jobs when it has run `max_jobs`, or takes more than `max_memory` megabytes.
    """

    def __init__(
        self,
        size: int,
        *,
        result_limit: int = DEFAULT_PAYLOAD_LIMIT,
        max_jobs: int | None = None,
        max_memory: int | None = None,
    ) -> None:
        self._result_limit = result_limit
        self._max_jobs = max_jobs
        self._max_memory = max_memory
        self._told_of_memory = False
        self._slots = asyncio.Semaphore(size)
        self._idle: list[_Process] = []
        self._endings: dict[_Process, asyncio.Task[int]] = {}
        self._processes: set[_Process] = set()
        self._closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        frames: TracebackType | None,
    ) -> None:
        await self.close()

    async def run(self, target: ProcessTarget, payload: bytes, view: JobView, port: Port) -> bytes:
        """Run a job in a process, waiting for a free one; the result as JSON.

        Raises what the function raised, its `__cause__` a `RemoteTraceback`; a `RemoteError` where
        that exception can't be pickled or isn't an `Exception`; `WorkerProcessDied`. Cancelling
        ends the job's process, with the programs that it started, before this returns.
        """
        module, qualname = target.module, target.qualname
        run = Run(module, qualname, payload, view, self._result_limit)
        async with self._slots:
            answer = await self._answer(run, port)
        if isinstance(answer, Returned):
            return answer.result
        raise _raisable(answer.error) from RemoteTraceback(answer.error.traceback)

    @property
    def pids(self) -> set[int]:
        """The numbers of its processes."""
        return {process.pid for process in self._processes}

    def dump(self) -> None:
        """Have every process show its stacks on stderr. From any thread."""
        for process in list(self._processes):
            if process.ready:
                with suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGQUIT)

    async def close(self) -> None:
        """End every process, busy or not, within about two seconds. Closing twice is fine."""
        self._closed = True
        self._idle.clear()
        await asyncio.gather(*(self._end(process) for process in self._processes))

    async def _answer(self, run: Run, port: Port) -> Returned | Raised:
        while True:
            self._check_open()
            process = self._idle.pop() if self._idle else await self._start()
            used = process.jobs > 0
            process.jobs += 1
            try:
                answer = await process.run(run, port)
            except BaseException:
                await self._end(process)
                raise
            if not isinstance(answer, _Gone):
                if self._is_worn_out(process):
                    self._end_soon(process)
                elif not self._closed:
                    self._idle.append(process)
                return answer
            status = await self._end(process)
            if answer.taken or not used:
                raise WorkerProcessDied(run.view, status)
            # It died while it was idle, which is no fault of this job's: on to another.

    def _is_worn_out(self, process: _Process) -> bool:
        if process.max_jobs is not None and process.jobs >= process.max_jobs:
            return True
        if self._max_memory is None or (mb := resident_mb(process.pid)) <= self._max_memory:
            return False
        if process.jobs == 1 and not self._told_of_memory:
            self._told_of_memory = True
            logger.warning(
                "a worker process takes %.0f MB after its first job, more than max_memory=%d: one "
                "is started for every job; give it more",
                *(mb, self._max_memory),
            )
        return True

    async def _start(self) -> _Process:
        process = await _Process.start(staggered(self._max_jobs))
        self._processes.add(process)
        if self._closed:  # meanwhile
            await self._end(process)
        self._check_open()
        return process

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("this process pool is closed")

    async def _end(self, process: _Process) -> int:
        """End a process, whoever else may be at it; goes on to its end when the caller is gone."""
        return await asyncio.shield(self._end_soon(process))

    def _end_soon(self, process: _Process) -> asyncio.Task[int]:
        ending = self._endings.get(process)
        if ending is None:
            ending = self._endings[process] = asyncio.create_task(process.end())
            ending.add_done_callback(lambda _: self._forget(process))
        return ending

    def _forget(self, process: _Process) -> None:
        self._endings.pop(process)
        self._processes.remove(process)


class _Gone(NamedTuple):
    """Instead of an answer: the process hung up. `taken`: it was at work on the job."""

    taken: bool


class _Process:
    """One worker process, as its pool sees it."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        max_jobs: int | None,
    ) -> None:
        self.jobs = 0
        self.ready = False  # to hear of signals
        self.max_jobs = max_jobs
        self.pid = process.pid
        self._process = process
        self._reader = reader
        self._writer = writer
        self._waits: dict[int, int] = {}  # of the job that runs: by its numbers, by its port's
        self._watch = asyncio.create_task(self._hang_up_after_exit())

    @classmethod
    async def start(cls, max_jobs: int | None) -> _Process:
        """Start an interpreter with its end of a socket pair."""
        ours, theirs = socket.socketpair()
        with theirs:
            reader, writer = await asyncio.open_unix_connection(sock=ours)
            try:
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-P", "-c", _BOOT),
                    *(json.dumps(absolute_path()), str(theirs.fileno())),
                    stdin=subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(),),
                    # Out of reach of the terminal's Ctrl-C, which is the worker's to handle, and a
                    # group of its own, so that the programs of a cancelled job end with it.
                    start_new_session=True,
                )
            except BaseException:
                writer.transport.abort()
                raise
        return cls(process, reader, writer, max_jobs)

    async def run(self, run: Run, port: Port) -> Returned | Raised | _Gone:
        """Hand over a job and serve its calls until it has ended."""
        self._send(run)
        telling = asyncio.create_task(self._tell_when_cancelled(port))
        try:
            return await self._serve(port)
        finally:
            telling.cancel()

    async def end(self) -> int:
        """End the process, with what it started; its status, negative for a signal's number."""
        self._signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(TERMINATE_GRACE_S):
                await self._process.wait()
        except TimeoutError:
            self._signal(signal.SIGKILL)
        status = await self._process.wait()
        self._watch.cancel()
        self._writer.transport.abort()
        with suppress(ConnectionError):
            await self._writer.wait_closed()
        return status

    async def _serve(self, port: Port) -> Returned | Raised | _Gone:
        taken = False
        while True:
            message = await self._receive()
            match message:
                case None:
                    return _Gone(taken)
                case Importing():
                    taken = self.ready = True
                case Begun(at):
                    taken = self.ready = True
                    port.begun(at)
                case Tell(note, shown):
                    port.send(note)
                    if not shown:
                        show_lines(note.logs)
                case Ask(number, note):
                    self._send(Reply(number, await _error_of(port.record(note))))
                case Await(number):
                    self._send(Reply(number, await _error_of(self._begin_wait(port, message))))
                case Awaited(number):
                    port.end_wait(self._waits.pop(number))
                case Returned() | Raised():
                    return message

    async def _begin_wait(self, port: Port, asked: Await) -> None:
        self._waits[asked.number] = await port.begin_wait(asked.job_id, bounded=asked.bounded)

    async def _tell_when_cancelled(self, port: Port) -> None:
        while not port.cancelled():  # noqa: ASYNC110 - a port can only be asked
            await asyncio.sleep(CANCEL_CHECK_S)
        self._send(Stop())

    def _send(self, message: ToProcess) -> None:
        self._writer.write(framed(message))

    async def _receive(self) -> FromProcess | None:
        try:
            header = await self._reader.readexactly(HEADER_SIZE)
            body = await self._reader.readexactly(int.from_bytes(header, "big"))
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        return from_process.decode(body)

    async def _hang_up_after_exit(self) -> None:
        """Notice the end of a process whose forks hold its end of the line open."""
        await self._process.wait()
        await asyncio.sleep(TERMINATE_GRACE_S)  # its last words may still be on their way
        self._writer.transport.abort()

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):  # nobody of the group is left
            os.killpg(self._process.pid, number)


async def _error_of(call: Awaitable[object]) -> PackedError | None:
    try:
        await call
    except Exception as error:  # whatever it is, the job gets it
        return pack_error(error)
    return None


def _raisable(packed: PackedError) -> BaseException:
    """The exception to raise in the worker, which `SystemExit` and its like would end."""
    error = unpack_error(packed)
    if isinstance(error, asyncio.CancelledError):
        return error
    if not isinstance(error, Exception) or isinstance(error, StopIteration):
        return RemoteError(packed.type_name, packed.qualified_name, packed.message)
    return error


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"
