"""Log records as lines for people, on stderr."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import suppress
from typing import TextIO

from conduit.engine.text import printable
from conduit.queue.forks import gate as fork_gate

_RESET = "\x1b[0m"
_DIM = "\x1b[2m"
_COLOURS = {
    logging.DEBUG: "\x1b[2m",
    logging.INFO: "\x1b[36m",
    logging.WARNING: "\x1b[33m",
    logging.ERROR: "\x1b[31m",
    logging.CRITICAL: "\x1b[1;31m",
}


def show_logs_unless_configured() -> bool:
    """Send records of INFO and above to stderr, unless the program has log handlers already."""
    if logging.getLogger().handlers:
        return False
    handler = StderrHandler()
    handler.setLevel(logging.INFO)
    handler.setFormatter(
        TextFormatter(coloured=sys.stderr.isatty() and not os.environ.get("NO_COLOR"))
    )
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    return True


class StderrHandler(logging.StreamHandler[TextIO]):
    """Writes to what stderr is at the moment. One that is closed costs lines, and nothing else."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line."""
        self.stream = sys.stderr
        with fork_gate.undisturbed():  # a child would find stderr locked
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's word
        """Say what was wrong with a record, where that can be read."""
        with suppress(Exception):  # a task may close the stream at any moment
            super().handleError(record)


class TextFormatter(logging.Formatter):
    """`09:41:07 INFO     conduit.engine  message`, in local time."""

    def __init__(self, *, coloured: bool) -> None:
        super().__init__()
        self._coloured = coloured

    def format(self, record: logging.LogRecord) -> str:
        """One line, and the traceback's lines where there is one."""
        time = self.formatTime(record, "%H:%M:%S")
        level, message = f"{record.levelname:<8}", printable(super().format(record))
        if not self._coloured:
            return f"{time} {level} {record.name}  {message}"
        colour = _COLOURS.get(record.levelno, "")
        return (
            f"{_DIM}{time}{_RESET} {colour}{level}{_RESET} {_DIM}{record.name}{_RESET}  {message}"
        )
