"""What the first process of a container owes it: it collects orphans, and passes signals on."""

from __future__ import annotations

import os
import signal
import sys
from typing import NoReturn

from conduit.cli.problems import EXIT_FAILURE
from conduit.engine.process.dispositions import undo_harm

_PASSED_ON = ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGWINCH")


def leave_first_place() -> None:
    """As process 1, go on in a child, whose parent does what only process 1 can do.

    A process that collects every orphan can't also wait for children of its own, such as programs
    that tasks start: either would take the other's. To be called before threads are started.
    """
    if os.getpid() != 1:
        return
    undo_harm()  # who started this may have SIGCHLD ignored
    numbers = {getattr(signal, name) for name in _PASSED_ON}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)  # Ctrl-C reaches the first process, and through it this one, once
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        return
    _serve(child, numbers, mask)


def _serve(child: int, numbers: set[int], mask: set[int]) -> NoReturn:
    told = False

    def pass_on(number: int, _: object) -> None:
        nonlocal told
        told = told or number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        os.kill(child, number)

    for number in numbers:
        signal.signal(number, pass_on)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    while True:
        pid, status = os.wait()
        if pid == child:
            sys.stdout.flush()
            code = os.waitstatus_to_exitcode(status)
            if code < 0:
                code = 128 - code
            os._exit(code if code or told else EXIT_FAILURE)
