"""Capture of what a job logs through the standard library."""

from __future__ import annotations

import logging
import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager

from conduit.core.model import Level, LogLine
from conduit.engine.context import find_current_job
from conduit.engine.text import clean
from conduit.queue.forks import gate as fork_gate

MAX_LINES = 1000
MAX_MESSAGE = 8 * 1024
MAX_NAME = 255
JOB_LOGGER = "conduit.job"

_formatter = logging.Formatter()


def line_from(record: logging.LogRecord) -> LogLine:
    """A log record as it is kept with the job: its message, and its traceback if it has one."""
    try:
        message = _formatter.format(record)
    except Exception as error:  # a wrong format string mustn't fail the job that logs
        message = f"{record.msg!r} (this log call can't be formatted: {error})"
    return LogLine(
        at=time.time_ns() // 1_000_000,
        level=_level(record.levelno),
        logger=clean(record.name, MAX_NAME),
        message=clean(message, MAX_MESSAGE),
    )


def _level(number: int) -> Level:
    if number >= logging.CRITICAL:
        return Level.CRITICAL
    if number >= logging.ERROR:
        return Level.ERROR
    if number >= logging.WARNING:
        return Level.WARNING
    return Level.INFO if number >= logging.INFO else Level.DEBUG


class JobLogHandler(logging.Handler):
    """Hands each record to the job it was logged in; outside of jobs it does nothing.

    Shared by all workers of the process: with one each, every line would be kept as often.
    """

    def __init__(self, root_level: int, jobs_level: int) -> None:
        super().__init__()
        self.levels = root_level, jobs_level
        self.users = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the record with the current job."""
        context = find_current_job()
        if context is not None:
            if not isinstance(record, _KeptRecord):
                context.keep_log(line_from(record))
        elif not others_handle() and logging.lastResort is not None:
            # Without this handler Python would have shown the record as a last resort.
            with fork_gate.undisturbed():  # a child would find stderr locked
                _pass_on(record, logging.lastResort)


class _KeptRecord(logging.LogRecord):
    """A record that is kept with its job already, and only to be shown."""


def show_lines(lines: Iterable[LogLine]) -> None:
    """Give this process's log handlers what a job has logged in another one."""
    for line in lines:
        logger = logging.getLogger(line.logger)
        level = logging.getLevelNamesMapping()[line.level.name]
        if logger.isEnabledFor(level):
            record = _KeptRecord(line.logger, level, "", 0, line.message, (), None)
            record.created, record.msecs = line.at / 1000, line.at % 1000
            logger.handle(record)


def others_handle() -> bool:
    """Whether records go to anyone but their jobs."""
    handlers = logging.getLogger().handlers
    return not all(isinstance(handler, JobLogHandler) for handler in handlers)


def _pass_on(record: logging.LogRecord, handler: logging.Handler) -> None:
    if record.levelno >= handler.level:
        handler.handle(record)


@contextmanager
def capture_logs() -> Generator[None]:
    """Capture while this is entered. Loggers that pass `INFO` on are heard from that level up."""
    root, jobs = logging.getLogger(), logging.getLogger(JOB_LOGGER)
    handler = next((each for each in root.handlers if isinstance(each, JobLogHandler)), None)
    if handler is None:
        handler = JobLogHandler(root.level, jobs.level)
        root.addHandler(handler)
        if root.level > logging.INFO or root.level == logging.NOTSET:
            root.setLevel(logging.INFO)
        jobs.setLevel(logging.DEBUG)
    handler.users += 1
    try:
        yield
    finally:
        handler.users -= 1
        if not handler.users:
            root.removeHandler(handler)
            for logger, level in zip((root, jobs), handler.levels, strict=True):
                logger.setLevel(level)


class BoundedLog:
    """Lets an attempt's first lines through, then one that says that there were more."""

    def __init__(self) -> None:
        self._count = 0

    def admit(self, line: LogLine) -> LogLine | None:
        """The line to keep, if any."""
        self._count += 1
        if self._count <= MAX_LINES:
            return line
        if self._count == MAX_LINES + 1:
            words = f"this attempt's log is full: only its first {MAX_LINES:,} lines are kept"
            return LogLine(line.at, Level.WARNING, JOB_LOGGER, words)
        return None
