"""Becomes the server it is told to start, which then dies with the tests that started it.

Called by path as `leash.py PARENT PROGRAM ARGUMENT...`. On Linux the kernel kills the server when
its parent ends, be it by SIGKILL. Elsewhere there is no such order to give, and a server outlives
tests that were killed.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main() -> None:
    parent, program = int(sys.argv[1]), sys.argv[2]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it ended before the order was given
            sys.exit(1)
    os.execv(program, sys.argv[2:])


if __name__ == "__main__":
    main()
