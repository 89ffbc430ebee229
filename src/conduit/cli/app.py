"""The command `conduit`: its subcommands, and what surrounds each call of one."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from cyclopts import App, Parameter

from conduit.cli import crons, functions, jobs, queues, server, workers
from conduit.cli.dev import dev
from conduit.cli.doctor import doctor
from conduit.cli.init import init
from conduit.cli.output import emit, screen
from conduit.cli.problems import DEBUG_VARIABLE, guarded
from conduit.cli.run import run
from conduit.cli.submit import submit

_HELP = """\
Background jobs, schedules, events and HTTP APIs.

A first service in one minute: conduit init, then conduit run service.py.

Data goes to stdout, messages to stderr. Every command takes --debug, which shows tracebacks.
Exit codes: 0 fine, 1 failure, 2 wrong usage, 3 configuration, 4 queue out of reach,
130 interrupted.
"""

_DEBUG_FLAG = "--debug"


def version() -> str:
    """The installed version of Conduit."""
    from conduit import __version__

    return __version__


def _version_command() -> None:
    """Print the version."""
    emit(f"conduit {version()}")


def _build() -> App:
    app = App(
        name="conduit",
        help=_HELP,
        help_format="plaintext",
        help_formatter="default" if screen().is_terminal else "plain",
        version=version,
        default_parameter=Parameter(negative=(), show_default=False),
        result_action="return_value",
        exit_on_error=False,
        print_error=False,
        suppress_keyboard_interrupt=False,
    )
    commands = (
        run,
        dev,
        submit,
        jobs.app,
        queues.app,
        functions.app,
        crons.app,
        workers.app,
        server.app,
        doctor,
        init,
    )
    for position, command in enumerate(commands):
        if isinstance(command, App):
            command.sort_key = position
            app.command(command)
        else:
            app.command(command, sort_key=position)
    app.command(_version_command, name="version", sort_key=len(commands))
    return app


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; `arguments` default to the process's own. Returns the exit code."""
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    if _DEBUG_FLAG in tokens:
        tokens.remove(_DEBUG_FLAG)
        os.environ[DEBUG_VARIABLE] = "1"
    return guarded(lambda: _build()(tokens))
