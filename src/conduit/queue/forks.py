"""What becomes of open files and connections when the process forks.

SQLite keeps the locks that a process has on a file, and the map of its write-ahead log, in tables
of the process. A forked child inherits the tables, but not the locks: whatever it opens then, a
connection of its own too, believes in locks that the kernel gave to the parent alone, and the file
is damaged. So no connection is open at the moment of a fork. Threads that have one close it between
two transactions, wait at the gate until the fork is over, and open it again at their next use.

A socket has no such tables. Here the child only mustn't touch what it inherited.

A lock that another thread has at that moment is held in the child for ever. Conduit's own are made
anew there. An import, which takes those of its modules, and a line of the log, which takes that of
stderr, don't coincide with a fork either.
"""

from __future__ import annotations

import concurrent.futures.thread
import os
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Protocol
from weakref import WeakSet

from conduit.core.errors import QueueError

LOADED = concurrent.futures.thread
"""Else loaded by the first look-up of a host's name, perhaps while a fork is under way, and with a
hook of its own that has to know of each fork from its beginning."""

PATIENCE_S = 5.0
"""How long a fork waits for threads that are busy, such as with a disk that hangs."""


LOOK_S = 0.001
"""How often a thread that waits for a fork's end looks whether it is over."""


class Holder:
    """A thread that a fork waits for. `wake` makes it look at `Gate.closing`.

    `path` is the file that it has open, if any.
    """

    def __init__(self, path: Path | None, wake: Callable[[], None]) -> None:
        self.path = path
        self.wake = wake
        self.thread = threading.get_ident()
        self.inside = False


class _Fork:
    """A fork that a thread is about to do."""

    def __init__(self, thread: int) -> None:
        self.thread = thread
        self.left: SimpleQueue[None] = SimpleQueue()  # something for each holder that leaves


class Gate:
    """Lets threads in while no fork is under way, and forks happen while none is in.

    Without a lock: a signal handler or a finaliser may fork, or wait for a thread to be let in, in
    the midst of any of these methods. Each side first says what it is about to do, in one step that
    nothing divides, and then looks at what the others do.
    """

    def __init__(self) -> None:
        self._forks: list[_Fork] = []
        self._holders: set[Holder] = set()
        self._lost: set[Path] = set()

    @property
    def closing(self) -> bool:
        """Whether a fork waits until all files are closed."""
        return bool(self._forks)

    def enter(self, holder: Holder) -> None:
        """Wait while a fork is under way; the holder may open its file when this returns.

        Raises `QueueError` for a file that the parent had open when it forked this process.
        """
        if self._lost and holder.path is not None and holder.path.resolve() in self._lost:
            raise QueueError(
                f"{holder.path} can't be used in this process: it was forked while its parent had "
                f"the file open and was busy with it for more than {PATIENCE_S:g} s; fork before "
                "the first submit, or start the process anew (multiprocessing: spawn)"
            )
        self._holders.add(holder)
        while any(fork.thread != holder.thread for fork in tuple(self._forks)):
            self.leave(holder)
            time.sleep(LOOK_S)  # whoever forks may be interrupted before it could tell
            self._holders.add(holder)
        holder.inside = True

    def leave(self, holder: Holder) -> None:
        """The holder's file is closed."""
        holder.inside = False
        self._holders.discard(holder)
        for fork in tuple(self._forks):
            fork.left.put(None)

    @contextmanager
    def undisturbed(self) -> Generator[None]:
        """Do something short that no other thread's fork may coincide with."""
        here = threading.get_ident()
        if any(holder.thread == here and holder.inside for holder in tuple(self._holders)):
            yield  # a fork waits for this thread already
            return
        holder = Holder(None, lambda: None)
        self.enter(holder)
        try:
            yield
        finally:
            self.leave(holder)

    @contextmanager
    def lifted(self) -> Generator[None]:
        """Let files be opened although this thread is about to fork.

        For a signal handler that interrupts the fork and waits for a call: the fork goes on after
        it, once all is closed again.
        """
        here = threading.get_ident()
        lifted = [fork for fork in self._forks if fork.thread == here]
        for fork in lifted:
            self._end(fork)
        try:
            yield
        finally:
            for fork in lifted:
                self._begin(fork)

    def _begin(self, fork: _Fork) -> None:
        self._forks.append(fork)
        for holder in tuple(self._holders):
            holder.wake()
        deadline = time.monotonic() + PATIENCE_S
        with suppress(Empty):
            while any(holder.thread != fork.thread for holder in tuple(self._holders)):
                fork.left.get(timeout=max(0.0, deadline - time.monotonic()))

    def _end(self, fork: _Fork) -> None:
        if fork in self._forks:
            self._forks.remove(fork)

    # --- the hooks of a fork ------------------------------------------------------------------

    def before(self) -> None:
        """Wait until all other threads are out, `PATIENCE_S` at most.

        The child may not use the files of those that aren't.
        """
        self._begin(_Fork(threading.get_ident()))

    def after_in_parent(self) -> None:
        """Let threads in again."""
        here = threading.get_ident()
        for fork in [fork for fork in self._forks if fork.thread == here][-1:]:
            self._end(fork)

    def after_in_child(self) -> None:
        """Start afresh: the other threads aren't here."""
        inside = [holder.path for holder in self._holders if holder.inside]
        self._lost |= {path.resolve() for path in inside if path is not None}
        self._forks, self._holders = [], set()


gate = Gate()


def keep_for_ever(inherited: object) -> None:
    """Keep from ever being collected what a child has of its parent, also when the child ends.

    To be collected is to be closed: an event loop would stop listening to the sockets that it
    shares with the parent's, and TLS would say farewell on the parent's connection.
    """
    import ctypes  # takes its time, which only forked children need to spend

    ctypes.pythonapi.Py_IncRef(ctypes.py_object(inherited))


class Inheritable(Protocol):
    """What is open in a process."""

    def abandon(self) -> None:
        """In a forked child: be of no use, and leave alone what the parent uses."""
        ...


open_queues: WeakSet[Inheritable] = WeakSet()
"""What is open in this process, and no use to a child of it."""


def inherited(shown: str) -> QueueError:
    """What is raised in a child by a queue that its parent opened."""
    return QueueError(f"{shown} was opened by the process that forked this one: open it anew here")


def _abandon() -> None:
    for queue in list(open_queues):
        queue.abandon()
    open_queues.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=gate.before,
        after_in_parent=gate.after_in_parent,
        after_in_child=gate.after_in_child,
    )
    os.register_at_fork(after_in_child=_abandon)
