"""Functions for worker processes, which find them by this module's name."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path

from conduit.engine.context import current_job


def double(number: int) -> int:
    return 2 * number


def spin(started: Path) -> None:
    """Say that it has started, with its process id; then never end."""
    started.with_suffix(".new").write_text(str(os.getpid()))
    started.with_suffix(".new").rename(started)
    while True:
        time.sleep(0.05)


def refuse() -> None:
    raise ValueError("not today")


class CardError(Exception):
    """An error of the user's."""

    class Declined(ValueError):
        """One inside."""


def decline() -> None:
    raise CardError.Declined("no")


def decline_by_an_error_of_its_own() -> None:
    class OnlyHere(CardError.Declined):
        pass

    raise OnlyHere("no")


def die() -> None:
    os._exit(7)


def headers_here() -> dict[str, str]:
    return current_job().headers


def tell_all() -> int:
    """Use everything of the context that tells the queue something."""
    job = current_job()
    job.set_progress(0.5, "half")
    job.set_metadata_sync(colour="green")
    job.save_checkpoint_sync({"page": 3})
    job.log.info("from the job's logger")
    logging.getLogger("shop.stock").warning("from a module's logger")
    return job.attempt


def log_with_a_handler_of_its_own() -> None:
    logging.getLogger().addHandler(logging.NullHandler())
    logging.getLogger("shop.stock").warning("shown by the process")


def wait_for(path: Path | None, seconds: float = 30.0) -> None:
    """Until a file is there, or so many seconds have passed."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and not (path and path.exists()):
        time.sleep(0.01)


def clock() -> tuple[float, float]:
    """When it began and when it ended, by the wall clock."""
    began = time.time()
    time.sleep(0.02)
    return began, time.time()


def seconds_left() -> float | None:
    """How long it may still run."""
    deadline = current_job().deadline
    return None if deadline is None else deadline.timestamp() - time.time()
