"""`conduit.run`: a script's way to run its components."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

from conduit.core.errors import ConfigurationError, quoted
from conduit.engine.process.exits import Ending
from conduit.engine.supervision.runner import Service, run_to_end
from conduit.sdk.console import show_logs_unless_configured
from conduit.sdk.worker import Worker

logger = logging.getLogger("conduit.run")

_LIFE = ("start", "wait", "stop", "stop_now")


def run(*components: Service) -> None:
    """Run workers and APIs until a signal, or until one of them ends; then bring all down.

    SIGTERM and SIGINT let jobs finish; a second one doesn't. Unless the program has configured
    logging, records of INFO and above go to stderr. Raises `SystemExit` with the exit code
    if that isn't 0: 1 after a crash, 130 when interrupted.
    """
    if not components:
        raise ConfigurationError("run() has nothing to run: give it a Worker or an Api")
    check_components(components)
    if getattr(sys.modules.get("__main__"), "__name__", None) == "__mp_main__":
        raise ConfigurationError(
            "conduit.run() was reached while a worker process imported this script: "
            'put it under `if __name__ == "__main__":`'
        )
    announced = show_logs_unless_configured()

    def started() -> None:
        if announced:
            names = ", ".join(each.name for each in components)
            logger.info("started %s; Ctrl-C lets running jobs finish", names)

    code = run_to_end(components, Ending(of_script=True), on_started=started)
    if code:
        raise SystemExit(code)


def check_components(components: Sequence[object]) -> None:
    """Raise `ConfigurationError` for what can't be run, and for two workers of one name."""
    workers: set[str] = set()
    for each in components:
        if not all(callable(getattr(each, verb, None)) for verb in _LIFE):
            raise ConfigurationError(f"{quoted(each)} can't be run: give run() Workers and Apis")
        if isinstance(each, Worker):
            if each.name in workers:
                raise ConfigurationError(
                    f"two workers are called {each.name!r}: what one registers with the queue "
                    "would replace the other's; give each a name of its own"
                )
            workers.add(each.name)
