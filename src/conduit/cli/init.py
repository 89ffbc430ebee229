"""`conduit init`: a service file to start from."""

from __future__ import annotations

from pathlib import Path

from conduit.cli.output import emit, say
from conduit.core.errors import ConduitError

_NAME = "service.py"

_SERVICE = '''\
"""A first service. Run it: conduit run service.py"""

from __future__ import annotations

import asyncio

import conduit

worker = conduit.Worker("hello")


# A task is a function that can run later, elsewhere, and again when it fails.
@worker.task(retries=3)
async def greet(name: str) -> str:
    job = conduit.current_job()
    for step in range(1, 4):
        await asyncio.sleep(0.2)
        job.set_progress(step / 3, f"step {step} of 3")
    return f"Hello, {name}!"


# A schedule: five cron fields, or "@every 30s".
@worker.cron("@every 30s")
async def heartbeat() -> None:
    conduit.current_job().log.info("still here")
'''


def init(folder: Path = Path(), /) -> None:
    """Write a small service to start from.

    Args:
        folder: Where to; made if it isn't there.
    """
    path = folder / _NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(_SERVICE)
    except FileExistsError as error:
        raise ConduitError(
            f"{error.filename} is there already and stays as it is: name another folder"
        ) from error
    except OSError as error:
        raise ConduitError(f"{path} can't be written: {error.strerror}") from error
    emit(str(path))
    say(
        f"next:  conduit run {path}\n"
        "then, in a second terminal in the same folder:\n"
        "       conduit submit greet --args '[\"world\"]' --wait\n"
        "       conduit jobs list"
    )
