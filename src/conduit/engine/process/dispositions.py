"""What a process does at SIGCHLD and SIGPIPE: all its jobs rely on that, and each can change it.

Where SIGCHLD is ignored, the exit codes of programs are lost: `subprocess` says 0, and uvloop waits
for them for ever. Where SIGPIPE isn't, a connection that its other end has closed ends the process.
"""

from __future__ import annotations

import ctypes
import signal
import sys
from typing import Any

_HARMFUL_AND_NOT = {
    "SIGCHLD": (signal.SIG_IGN, signal.SIG_DFL),
    "SIGPIPE": (signal.SIG_DFL, signal.SIG_IGN),
}
"""What harms, and what doesn't."""


def undo_harm() -> dict[int, Any]:
    """Set right what is harmful; by the signals' numbers, what it was. In the main thread."""
    found: dict[int, Any] = {}
    for name, (harmful, harmless) in _HARMFUL_AND_NOT.items():
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is harmful:
            found[number] = signal.signal(number, harmless)
    return found


class LoopsHandler:
    """The handler of SIGCHLD that an event loop written in C has set past Python, as uvloop does.

    It sets it once, while programs run that it started; without it, it hears of none of them.
    """

    _ROOM = 1024  # more than `struct sigaction` has anywhere; it begins with the handler

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None)
        self._action: ctypes.Array[ctypes.c_char] | None = None

    def keep(self) -> bool:
        """Put it back if it was there and is gone; whether somebody's own was in its place."""
        now = ctypes.create_string_buffer(self._ROOM)
        self._libc.sigaction(signal.SIGCHLD, None, now)
        somebodys = callable(signal.getsignal(signal.SIGCHLD))
        if _handler(now) not in (signal.SIG_DFL, signal.SIG_IGN) and not somebodys:
            self._action = now
        elif self._action is not None and _handler(now) != _handler(self._action):
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self._libc.sigaction(signal.SIGCHLD, self._action, None)
            return somebodys
        return False


def _handler(action: ctypes.Array[ctypes.c_char]) -> int:
    return int.from_bytes(action.raw[: ctypes.sizeof(ctypes.c_void_p)], sys.byteorder)
