"""A process of a run, started by its supervisor: `python -m conduit.cli.child PLAN`."""

from __future__ import annotations

import os
import signal
import sys
import threading

import msgspec

from conduit.cli.plan import RunPlan
from conduit.cli.problems import guarded
from conduit.cli.run import carry_out


def main() -> int:
    """Carry out the plan, which is JSON, and end with the supervisor; the exit code."""
    plan = msgspec.json.decode(sys.argv[1], type=RunPlan)
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    return guarded(lambda: carry_out(plan, on_started=_tell_parent))


def _tell_parent() -> None:
    os.write(sys.stdin.fileno(), b"+")


def _end_with_parent() -> None:
    """Stop in good order when the supervisor is gone, however it went.

    It holds the other end of our stdin and never writes: an end of input is its end.
    """
    os.read(sys.stdin.fileno(), 1)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
