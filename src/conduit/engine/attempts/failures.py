"""How an exception of a job is told: its name, its words, its traceback, fit for any store."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from types import TracebackType

from conduit.core.model import JobError
from conduit.engine.executors.messages import qualified_name
from conduit.engine.executors.processes import RemoteError, RemoteTraceback
from conduit.engine.text import MAX_MESSAGE, clean

MAX_TRACEBACK = 16 * 1024
MAX_LINE = 500

_OURS = ("conduit.engine.", "conduit.sdk.")


def job_error(error: BaseException) -> JobError:
    """An exception as it is stored: name, words, and the traceback from the user's code on."""
    if isinstance(error, RemoteError):
        name, qualified = error.type_name, error.qualified_name
    else:
        name, qualified = type(error).__name__, qualified_name(type(error))
    return JobError(
        type=clean(name, MAX_MESSAGE),
        qualified_name=clean(qualified, MAX_MESSAGE),
        message=clean(_shown(lambda: str(error)), MAX_MESSAGE),
        traceback=clean(_shown(lambda: _traceback_of(error))[-MAX_TRACEBACK:], MAX_TRACEBACK),
    )


def in_words(error: JobError) -> str:
    """An error in one line of a log."""
    first = error.message.strip().partition("\n")[0]
    return clean(f"{error.type}: {first}" if first else error.type, MAX_LINE)


def _shown(show: Callable[[], str]) -> str:
    try:
        return show()
    except BaseException as broken:  # a user's __str__ can fail, and the end must still be told
        return f"(this error can't be shown: {type(broken).__name__})"


def _traceback_of(error: BaseException) -> str:
    remote = error.__cause__
    if isinstance(remote, RemoteTraceback):
        return str(remote)
    return "".join(traceback.format_exception(type(error), error, _users_part(error)))


def _users_part(error: BaseException) -> TracebackType | None:
    """The traceback without Conduit's own frames in front, unless there are no others."""
    frame = error.__traceback__
    while frame is not None and frame.tb_frame.f_globals.get("__name__", "").startswith(_OURS):
        frame = frame.tb_next
    return frame or error.__traceback__
