"""`conduit.run`: a script as a service."""

from __future__ import annotations

from pathlib import Path

import pytest

import conduit
from tests.sdk.support import run_script

SCRIPT = """
import os
import signal

import conduit

worker = conduit.Worker("orders")
api = conduit.Api("shop", port=0)

@worker.task
async def bye() -> None:
    os.kill(os.getpid(), signal.{signal})

bye.submit_sync()
conduit.run(worker, api)
print("ended")
"""


def test_run_serves_until_sigterm_and_returns(tmp_path: Path) -> None:
    done = run_script(tmp_path, SCRIPT.format(signal="SIGTERM"))
    assert (done.stdout, done.returncode) == ("ended\n", 0)
    said = [line.split(maxsplit=1)[1] for line in done.stderr.splitlines()]
    assert "INFO     conduit.run  stopping; once more hands back now what still runs" in said
    assert said[-1] == "INFO     conduit.run  stopped"
    assert "Warning" not in done.stderr


LOGGING = """
import logging
import os
import signal

import conduit

worker = conduit.Worker("orders")

@worker.task
async def bye() -> None:
    logging.getLogger("shop").warning("low on stock")
    os.kill(os.getpid(), signal.SIGTERM)

bye.submit_sync()
"""


def test_run_shows_what_jobs_log(tmp_path: Path) -> None:
    done = run_script(tmp_path, LOGGING + "conduit.run(worker)")
    assert "WARNING  shop  low on stock" in done.stderr


def test_run_leaves_a_program_that_has_configured_logging_alone(tmp_path: Path) -> None:
    code = 'logging.basicConfig(level=logging.WARNING, format="mine: %(message)s")\n'
    done = run_script(tmp_path, LOGGING + code + "conduit.run(worker)")
    assert "mine: low on stock\n" in done.stderr
    assert all(line.startswith("mine: ") for line in done.stderr.splitlines())


STOPPER = """
import os
import signal

import conduit

class Stopper:
    name = "stopper"

    async def start(self) -> None: ...

    async def wait(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    async def stop(self) -> None: ...

    async def stop_now(self) -> None: ...

worker = conduit.Worker("orders")

@worker.task
async def fine() -> None: ...

conduit.run(worker, Stopper())
"""


def test_run_says_what_it_has_started(tmp_path: Path) -> None:
    done = run_script(tmp_path, STOPPER)
    assert "conduit.run  started orders, stopper; Ctrl-C lets running jobs finish" in done.stderr


def test_run_ends_with_130_when_interrupted(tmp_path: Path) -> None:
    done = run_script(tmp_path, SCRIPT.format(signal="SIGINT"))
    assert (done.stdout, done.returncode) == ("", 130)


def test_run_ends_with_the_exit_code_of_a_component_that_does_not_start(tmp_path: Path) -> None:
    done = run_script(tmp_path, 'import conduit\nconduit.run(conduit.Worker("empty"))')
    assert done.returncode == 3
    assert "'empty' has nothing to run" in done.stderr


def test_run_of_nothing_says_what_to_give_it() -> None:
    with pytest.raises(conduit.ConfigurationError, match="Worker or an Api"):
        conduit.run()
    with pytest.raises(conduit.ConfigurationError, match="5 can't be run"):
        conduit.run(5)  # pyright: ignore[reportArgumentType]


def test_two_workers_of_one_name_do_not_run_side_by_side() -> None:
    workers = conduit.Worker("twin"), conduit.Worker("twin")
    with pytest.raises(conduit.ConfigurationError, match="two workers are called 'twin'"):
        conduit.run(*workers)
