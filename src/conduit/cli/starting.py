"""Signals to a run that is still starting: nothing has begun that would have to be ended."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
from contextlib import suppress

_end = os._exit  # as it is before anybody replaces it


def heed_signals() -> None:
    """Until the run hears them itself, SIGTERM and SIGHUP end it with 0, SIGQUIT shows its stacks.

    To import a service may take long, and Python by itself would be killed by each of them.
    """
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        # `nohup` has it ignored, for good reason.
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _leave)
    if sys.platform != "win32":
        with suppress(OSError, ValueError, RuntimeError):  # stderr is closed
            faulthandler.register(signal.SIGQUIT)


def _leave(*_: object) -> None:
    _end(0)
