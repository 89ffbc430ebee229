"""A process of a run, started by its supervisor: `python -m conduit.cli.child PLAN LINE`."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from concurrent.futures import Future
from contextlib import suppress

import msgspec

from conduit.cli.plan import Message, RunPlan, WornOut
from conduit.cli.problems import guarded
from conduit.cli.run import carry_out
from conduit.cli.starting import heed_signals


def main() -> int:
    """Carry out the plan, which is JSON, and end with the supervisor; the exit code.

    LINE is the number of a socket to the supervisor.
    """
    heed_signals()
    plan = msgspec.json.decode(sys.argv[1], type=RunPlan)
    line = int(sys.argv[2])
    os.set_inheritable(line, False)  # programs that a job starts must not hold it open
    may_retire = Future[None]()
    threading.Thread(target=_listen, args=(line, may_retire), name="parent", daemon=True).start()

    def tell(message: Message) -> None:
        with suppress(OSError):  # the supervisor is gone, which the thread learns as well
            os.write(line, msgspec.json.encode(message) + b"\n")

    async def be_replaced(why: str) -> None:
        await asyncio.shield(asyncio.wrap_future(may_retire))
        tell(WornOut(why))

    return guarded(lambda: carry_out(plan, tell=tell, on_worn_out=be_replaced))


def _listen(line: int, may_retire: Future[None]) -> None:
    """Stop in good order when the supervisor is gone, however it went.

    It holds the other end of the line. All it ever writes is that this process `may_retire` once
    it is worn out; an end of input is its end.
    """
    with suppress(OSError):
        if os.read(line, 1):
            may_retire.set_result(None)
            os.read(line, 1)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
