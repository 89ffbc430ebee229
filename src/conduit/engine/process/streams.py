"""The standard streams of a run: tasks find nothing to read, and break nothing that is written."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress

logger = logging.getLogger("conduit.run")

_NAMES = ("stdin", "stdout", "stderr")


@contextmanager
def empty_stdin() -> Generator[None]:
    """While entered, who reads stdin reads to its end at once: tasks, and programs they start."""
    try:
        before = os.dup(0)
    except OSError:  # it is closed, and what is opened next would take its place
        before = os.open(os.devnull, os.O_RDONLY)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    if nothing != 0:
        os.close(nothing)
    try:
        yield
    finally:
        os.dup2(before, 0)
        os.close(before)


@contextmanager
def kept_streams() -> Generator[Callable[[], None]]:
    """What it yields opens the streams again that a task has closed.

    What is opened next takes the number of a closed one: a line of the log would go into somebody's
    connection.
    """
    kept = [_copy(number) for number in range(len(_NAMES))]
    try:
        yield lambda: _open_again(kept)
    finally:
        for copy in kept:
            os.close(copy)


def _copy(number: int) -> int:
    try:
        return os.dup(number)
    except OSError:
        return os.open(os.devnull, os.O_RDWR)


def _open_again(kept: list[int]) -> None:
    closed = [number for number in range(len(_NAMES)) if not _is_open(number)]
    for number in closed:
        os.dup2(kept[number], number)
    for number, name in enumerate(_NAMES):
        stream = getattr(sys, name)
        if getattr(stream, "closed", False):
            mode = "r" if number == 0 else "w"
            setattr(sys, name, os.fdopen(number, mode, closefd=False))
            closed.append(number)
    if closed:
        names = ", ".join(_NAMES[number] for number in sorted(set(closed)))
        logger.warning("a task has closed %s; it is open again", names)


def _is_open(number: int) -> bool:
    with suppress(OSError):
        os.fstat(number)
        return True
    return False
