"""What becomes of open files and connections when the process forks.

SQLite keeps the locks that a process has on a file, and the map of its write-ahead log, in tables
of the process. A forked child inherits the tables, but not the locks: whatever it opens then, a
connection of its own too, believes in locks that the kernel gave to the parent alone, and the file
is damaged. So no connection is open at the moment of a fork. Threads that have one close it between
two transactions, wait at the gate until the fork is over, and open it again at their next use.

A socket has no such tables. Here the child only mustn't touch what it inherited.

A lock that another thread has at that moment is held in the child for ever. Conduit's own are made
anew there; an import, which takes those of its modules, doesn't coincide with a fork either.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol
from weakref import WeakSet

from conduit.core.errors import QueueError

PATIENCE_S = 5.0
"""How long a fork waits for threads that are busy, such as with a disk that hangs."""


class Holder:
    """A thread that a fork waits for. `wake` makes it look at `Gate.closing`.

    `path` is the file that it has open, if any.
    """

    def __init__(self, path: Path | None, wake: Callable[[], None]) -> None:
        self.path = path
        self.wake = wake
        self.thread = threading.get_ident()


class Gate:
    """Lets threads in while no fork is under way, and forks happen while none is in.

    Its lock may be taken again by the thread that has it: a signal handler or a finaliser may fork
    in the midst of any of these methods.
    """

    def __init__(self) -> None:
        self._start()
        self._lost: set[Path] = set()

    def _start(self) -> None:
        self._changed = threading.Condition()
        self._forking: list[int] = []  # threads that are about to fork
        self._holders: set[Holder] = set()

    @property
    def closing(self) -> bool:
        """Whether a fork waits until all files are closed."""
        return bool(self._forking)

    def enter(self, holder: Holder) -> None:
        """Wait while a fork is under way; the holder may open its file when this returns.

        Raises `QueueError` for a file that the parent had open when it forked this process.
        """
        if self._lost and holder.path is not None and holder.path.resolve() in self._lost:
            raise QueueError(
                f"{holder.path} can't be used in this process: it was forked while its parent had "
                f"the file open and was busy with it for more than {PATIENCE_S:.0f} s; fork before "
                "the first submit, or start the process anew (multiprocessing: spawn)"
            )
        with self._changed:
            while self._forking and holder.thread not in self._forking:
                self._changed.wait()
            self._holders.add(holder)

    def leave(self, holder: Holder) -> None:
        """The holder's file is closed."""
        with self._changed:
            self._holders.discard(holder)
            self._changed.notify_all()

    @contextmanager
    def undisturbed(self) -> Generator[None]:
        """Do something short that no other thread's fork may coincide with."""
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
        forks = self._forking.count(here)
        for _ in range(forks):
            self.after_in_parent()
        try:
            yield
        finally:
            for _ in range(forks):
                self.before()

    # --- the hooks of a fork ------------------------------------------------------------------

    def before(self) -> None:
        """Wait until all other threads are out, `PATIENCE_S` at most.

        The child may not use the files of those that aren't.
        """
        here = threading.get_ident()
        with self._changed:
            self._forking.append(here)
            for holder in tuple(self._holders):
                holder.wake()
            self._changed.wait_for(
                lambda: all(holder.thread == here for holder in self._holders), PATIENCE_S
            )

    def after_in_parent(self) -> None:
        """Let files be opened again."""
        here = threading.get_ident()
        with self._changed:
            if here in self._forking:  # an interrupt may have come before
                self._forking.remove(here)
            self._changed.notify_all()

    def after_in_child(self) -> None:
        """Start afresh: the threads aren't here, and whoever had the lock may be one of them."""
        self._lost |= {holder.path.resolve() for holder in self._holders if holder.path}
        self._start()


gate = Gate()


def keep_for_ever(inherited: object) -> None:
    """Keep from ever being collected what a child has of its parent, also when the child ends.

    To be collected is to be closed: an event loop would stop listening to the sockets that it
    shares with the parent's, and TLS would say farewell on the parent's connection.
    """
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
