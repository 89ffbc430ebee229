"""`conduit.run`: a script's way to run its components."""

from __future__ import annotations

import asyncio
import sys

from conduit.core.errors import ConfigurationError
from conduit.engine.runner import Service, run_services


def run(*components: Service) -> None:
    """Run workers and APIs until a signal, or until one of them ends; then bring all down.

    SIGTERM and SIGINT let jobs finish; a second one doesn't. Raises `SystemExit` with the exit code
    if that isn't 0: 1 after a crash, 130 when interrupted.
    """
    if not components:
        raise ConfigurationError("run() has nothing to run: give it a Worker or an Api")
    if getattr(sys.modules.get("__main__"), "__name__", None) == "__mp_main__":
        raise ConfigurationError(
            "conduit.run() was reached while a worker process imported this script: "
            'put it under `if __name__ == "__main__":`'
        )
    code = asyncio.run(run_services(components))
    if code:
        raise SystemExit(code)
