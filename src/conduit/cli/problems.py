"""What goes wrong, as people are told: what happened, what to do, and the exit code."""

from __future__ import annotations

import difflib
import os
import sys
import traceback
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import TextIO

from cyclopts import CycloptsError
from rich.box import ROUNDED
from rich.panel import Panel
from rich.text import Text

from conduit.cli.output import messages
from conduit.core.errors import ConduitError, ServiceImportError
from conduit.engine.text import printable

EXIT_FAILURE = 1
EXIT_INTERRUPTED = 130
DEBUG_VARIABLE = "CONDUIT_DEBUG"

_TITLES = {1: "failed", 2: "wrong usage", 3: "configuration", 4: "out of reach"}


class UsageError(ConduitError):
    """The command was called in a way that can't work."""

    exit_code = 2


def debugging() -> bool:
    """Whether tracebacks are wanted. The environment carries the flag on to child processes."""
    return os.environ.get(DEBUG_VARIABLE, "") not in ("", "0")


def did_you_mean(name: str, known: Collection[str]) -> str:
    """A hint for a name that isn't known: the likely one, and all of them."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    guess = f"did you mean {close[0]!r}? " if close else ""
    shown = ", ".join(names[:20])
    more = f" and {len(names) - 20} more" if len(names) > 20 else ""
    return f"{guess}known: {shown}{more}"


def guarded(action: Callable[[], int | None]) -> int:
    """Run a command and turn whatever it raises into a message and an exit code."""
    try:
        return _guarded(action)
    finally:
        _let_go_of_stderr()


def _guarded(action: Callable[[], int | None]) -> int:
    code = None
    try:
        code = action()
        sys.stdout.flush()
    except ConduitError as error:
        show_problem(error)
        return error.exit_code
    except CycloptsError as error:
        show_problem(_usage_error(error))
        return UsageError.exit_code
    except BrokenPipeError:
        # Whoever read our output has seen enough. Python flushes stdout once more at exit.
        _write_to_nobody(sys.stdout)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except Exception as error:
        show_problem(error)
        return EXIT_FAILURE
    return code or 0


def _let_go_of_stderr() -> None:
    """Where nobody reads it any more: Python flushes it at exit, and the exit code would be 120."""
    try:
        sys.stderr.flush()
    except OSError:
        _write_to_nobody(sys.stderr)
    except ValueError:  # it is closed
        pass


def _write_to_nobody(stream: TextIO) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def show_problem(error: BaseException) -> None:
    """Tell on stderr what went wrong and what to do."""
    hints = hints_of(error)
    if isinstance(error, ConduitError):
        title, words = _TITLES.get(error.exit_code, "failed"), str(error)
        hidden = isinstance(error, ServiceImportError) and error.__cause__ is not None
    else:
        title, words, hidden = "unexpected error", f"{type(error).__name__}: {error}", True
    if debugging():
        _show_traceback(error)
    elif hidden:
        hints.append("--debug shows the traceback")
    show_message(title, words, hints)


def show_crash(name: str, error: BaseException) -> None:
    """Tell what a component of a run crashed of; with the traceback, where it is the service's."""
    if isinstance(error, ConduitError) and not debugging():
        show_message(
            f"{name}: {_TITLES.get(error.exit_code, 'failed')}", str(error), hints_of(error)
        )
    else:
        _show_traceback(error)
        show_message(f"{name} crashed", f"{type(error).__name__}: {error}", hints_of(error))


def _show_traceback(error: BaseException) -> None:
    with suppress(ValueError):  # a task has closed stderr
        traceback.print_exception(error, file=sys.stderr)


def hints_of(error: BaseException) -> list[str]:
    """What to do about it: the notes (PEP 678) of an exception."""
    return list(getattr(error, "__notes__", ()))


def show_message(title: str, message: str, hints: Collection[str] = ()) -> None:
    """A panel on a terminal, plain lines elsewhere."""
    console = messages()
    message = printable(message)
    if not console.is_terminal:
        console.print(Text("\n".join([f"error ({title}): {message}", *hints])))
        return
    text = Text(message)
    for hint in hints:
        text.append(f"\n{printable(hint)}", style="dim")
    panel = Panel(
        text,
        title=f"[bold red]{title}[/]",
        title_align="left",
        border_style="red",
        box=ROUNDED,
        padding=(0, 1),
        expand=False,
    )
    console.print(panel)


def _usage_error(error: CycloptsError) -> UsageError:
    error.verbose = False
    usage = UsageError(str(error))
    command = " ".join(["conduit", *(error.command_chain or ())])
    usage.add_note(f"see {command} --help")
    return usage
