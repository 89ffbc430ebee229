"""The inside of a worker process: takes jobs from its worker one by one and runs them.

The main thread runs the jobs; a reader thread takes the worker's messages and notices its death.
"""

from __future__ import annotations

import asyncio
import contextvars
import ctypes
import itertools
import operator
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, NamedTuple, NoReturn

from conduit.core.codec import Signature
from conduit.core.errors import InvalidTaskError, LeaseLostError
from conduit.engine.context import Context, enter_job
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
    Reply,
    Returned,
    Run,
    Stop,
    Tell,
    ToProcess,
    framed,
    pack_error,
    to_process,
    unpack_error,
)
from conduit.engine.logs import capture_logs, others_handle
from conduit.engine.process.dispositions import undo_harm
from conduit.engine.process.forks import NO_LINE, end_if_forked, generation, shielded
from conduit.engine.process.loading import ModuleRef
from conduit.engine.process.stacks import dump_on_sigquit
from conduit.queue.base import Note

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main(fd: int) -> NoReturn:
    """Serve the worker at the other end of the socket `fd` until it hangs up."""
    _die_with_worker()
    take_dumps = dump_on_sigquit(_job_of)
    os.set_inheritable(fd, False)  # programs that a job starts must not hold the line open
    del sys.argv[1:]
    worker = _Worker(socket.socket(fileno=fd))
    threading.Thread(target=worker.listen, name="conduit-listen", daemon=True).start()
    try:
        _serve(worker, take_dumps)
    except BaseException:  # such as of a signal handler that a job has left behind
        traceback.print_exc()
    finally:
        os._exit(1)  # whatever threads jobs have left behind: the worker waits for this end


def _serve(worker: _Worker, take_dumps: Callable[[], None]) -> NoReturn:
    """Run one job after the other."""
    resolver = _Resolver()
    with capture_logs(), shielded():
        while True:
            _handle_signals(take_dumps)  # anew for each job: the last one may have changed it
            run, stopped = worker.jobs.get()
            port = _ChildPort(worker, stopped, run.view.timeout)
            if not resolver.knows(run):
                worker.send(Importing())
            # A context of its own: what a job sets isn't there any more in the next one.
            answer = contextvars.copy_context().run(_execute, resolver, run, port)
            port.over = True
            _flush_output()
            worker.send(answer)
            del run, answer, port


def _die_with_worker() -> None:
    """Ask for SIGKILL when the worker ends, be it by SIGKILL itself; elsewhere `listen` notices."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _handle_signals(take_dumps: Callable[[], None]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the worker decides what Ctrl-C means
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    take_dumps()
    undo_harm()


def _job_of(value: object) -> tuple[str, str] | None:
    return (value.view.lease.job_id, value.view.function) if isinstance(value, Run) else None


def _flush_output() -> None:
    """Show what the job printed now, not when some later job fills the buffer."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):  # closed, or whatever the job has put in its place
            stream.flush()


def _execute(resolver: _Resolver, run: Run, port: _ChildPort) -> Returned | Raised:
    try:
        found = resolver.find(run)
        args, kwargs = found.signature.decode(run.payload)
        enter_job(Context(run.view, port))
        port.begun(time.monotonic())
        value = found.call(*args, **kwargs)
        end_if_forked(port.born)
        return Returned(found.signature.encode_result(value, limit=run.result_limit))
    except BaseException as error:  # SystemExit, too, is the job's end and not the process's
        end_if_forked(port.born, error)
        return Raised(pack_error(error))
    finally:
        if sys.platform != "win32":
            signal.setitimer(signal.ITIMER_REAL, 0)  # its alarm isn't for the next job


class _Found(NamedTuple):
    call: Callable[..., Any]
    signature: Signature


class _Resolver:
    """Finds task functions by name, each one once."""

    def __init__(self) -> None:
        self._found: dict[tuple[ModuleRef, str], _Found] = {}

    def knows(self, run: Run) -> bool:
        """Whether the function was found before."""
        return (run.module, run.qualname) in self._found

    def find(self, run: Run) -> _Found:
        key = (run.module, run.qualname)
        if key not in self._found:
            self._found[key] = self._resolve(run)
        return self._found[key]

    def _resolve(self, run: Run) -> _Found:
        module = run.module.load()
        where = run.module.file or module.__name__
        try:
            value = operator.attrgetter(run.qualname)(module)
        except AttributeError as error:
            raise InvalidTaskError(
                f"{where} has no {run.qualname!r} when a worker process imports it; "
                "define task functions at the top level of their module"
            ) from error
        function = getattr(value, "__conduit_function__", None)
        if function is not None:
            found = _Found(function.call, function.signature)
        else:
            found = _Found(value, Signature.of(value, name=run.view.function))
        if getattr(found.call, "__qualname__", None) != run.qualname:
            raise InvalidTaskError(
                f"{run.qualname!r} in {where} is another function by now; give each task function "
                "a name of its own in its module"
            )
        return found


class _Job(NamedTuple):
    run: Run
    stopped: threading.Event


class _Worker:
    """The worker, as its process sees it."""

    def __init__(self, connection: socket.socket) -> None:
        self.jobs: SimpleQueue[_Job] = SimpleQueue()
        self._connection = connection
        self._sending = threading.Lock()
        self._numbers = itertools.count(1)
        self._replies: dict[int, SimpleQueue[PackedError | None]] = {}

    def send(self, message: FromProcess) -> None:
        """Pass a message on; blocks while the worker is behind."""
        data = framed(message)
        try:
            with self._sending:
                self._connection.sendall(data)
        except OSError:
            os._exit(1)  # the worker is gone, and with it all that this process is for

    def ask(self, question: Callable[[int], Ask | Await]) -> int:
        """Wait until the worker has done what is asked; raises what it raised there.

        `question` is made with a number, which is returned.
        """
        number = next(self._numbers)
        reply: SimpleQueue[PackedError | None] = SimpleQueue()
        self._replies[number] = reply
        self.send(question(number))
        error = reply.get()
        if error is not None:
            raise unpack_error(error)
        return number

    def listen(self) -> None:
        """Take the worker's messages until it hangs up; that ends this process in mid-job."""
        stopped = threading.Event()
        while (message := self._receive()) is not None:
            match message:
                case Run():
                    stopped = threading.Event()
                    self.jobs.put(_Job(message, stopped))
                case Stop():
                    stopped.set()
                case Reply(number, error):
                    self._replies.pop(number).put(error)
        os._exit(1)

    def _receive(self) -> ToProcess | None:
        header = self._read(HEADER_SIZE)
        body = None if header is None else self._read(int.from_bytes(header, "big"))
        return None if body is None else to_process.decode(body)

    def _read(self, size: int) -> bytes | None:
        data = bytearray()
        while len(data) < size:
            try:
                part = self._connection.recv(size - len(data))
            except OSError:
                part = b""
            if not part:
                return None
            data += part
        return bytes(data)


class _ChildPort:
    """The `Port` of a job in this process: its news go to the worker, which has the queue."""

    def __init__(self, worker: _Worker, stopped: threading.Event, timeout: float | None) -> None:
        self.over = False
        self.born = generation()
        """Tells this process from those that the job forks."""
        self._worker = worker
        self._stopped = stopped
        self._timeout = timeout
        self._deadline: float | None = None

    def begun(self, at: float) -> None:
        """See `Port.begun`."""
        if self._timeout is not None:
            self._deadline = time.time() + self._timeout
        self._worker.send(Begun(at))

    def deadline(self) -> float | None:
        """See `Port.deadline`."""
        return self._deadline

    def send(self, note: Note) -> None:
        """See `Port.send`. After the job's end, threads that it left behind aren't heard."""
        if not self.over and generation() == self.born:
            self._worker.send(Tell(note, shown=bool(note.logs) and others_handle()))

    async def record(self, note: Note) -> None:
        """See `Port.record`. For tasks that run an event loop of their own."""
        await asyncio.to_thread(self.record_sync, note)

    def record_sync(self, note: Note) -> None:
        """See `Port.record_sync`."""
        if generation() != self.born:
            raise RuntimeError(NO_LINE)
        if self.over:
            raise LeaseLostError(f"job {note.lease.job_id} has ended; nothing was written")
        self._worker.ask(lambda number: Ask(number, note))

    async def run_in_thread(self, call: Callable[[], Any]) -> Any:
        """See `Port.run_in_thread`."""
        return await asyncio.to_thread(call)

    async def begin_wait(self, awaited: str, *, bounded: bool) -> int:
        """See `Port.begin_wait`."""
        return await asyncio.to_thread(
            self._worker.ask, lambda number: Await(number, awaited, bounded)
        )

    def end_wait(self, number: int) -> None:
        """See `Port.end_wait`."""
        if not self.over:
            self._worker.send(Awaited(number))

    def cancelled(self) -> bool:
        """See `Port.cancelled`."""
        return self._stopped.is_set()

    def wait_cancelled(self, timeout: float) -> bool:
        """See `Port.wait_cancelled`."""
        return self._stopped.wait(timeout)
