"""Middleware for all workers and submits of this process: from the settings, or added by a library.

The order is from the outermost: the settings', what was added, the worker's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self, cast

from conduit.core.errors import InvalidTaskError
from conduit.engine.attempts.function import Middleware
from conduit.submission import SubmitMiddleware, middleware_in_settings

_added: list[AddedMiddleware] = []


class AddedMiddleware:
    """What `add_middleware` has added: in force until `remove`, or the end of a `with` block."""

    def __init__(self, submit: SubmitMiddleware | None, run: Middleware | None) -> None:
        """Use `add_middleware`."""
        self.submit = submit
        self.run = run

    def remove(self) -> None:
        """Take it away again. Twice is fine."""
        if self in _added:
            _added.remove(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.remove()


def add_middleware(
    *, submit: SubmitMiddleware | None = None, run: Middleware | None = None
) -> AddedMiddleware:
    """Put middleware around every submit and every job of this process, whatever its worker.

    For libraries, such as tracing; a program gives its workers their own. `submit` holds from now
    on, `run` for workers that start from now on. Of several the first one is outermost.
    """
    for option, given in (("submit", submit), ("run", run)):
        if given is not None and not callable(given):
            raise InvalidTaskError(f"{option}={given!r} must be an async function")
    added = AddedMiddleware(submit, run)
    _added.append(added)
    return added


def around_submits(own: Sequence[SubmitMiddleware]) -> Sequence[SubmitMiddleware]:
    """All that is around a submit, the worker's own innermost. Raises `ConfigurationError`."""
    named = middleware_in_settings()
    if not named and not _added:
        return own
    return (*named, *(each.submit for each in _added if each.submit is not None), *own)


def around_jobs(own: Sequence[Middleware]) -> Sequence[Middleware]:
    """All that is around a job, the worker's own innermost."""
    return (*(each.run for each in _added if each.run is not None), *own)


def checked(option: str, given: Any) -> tuple[Any, ...]:
    """The functions that were given as a worker's option. Raises `InvalidTaskError`."""
    if isinstance(given, Sequence) and not isinstance(given, str):
        functions = cast("Sequence[object]", given)
        if all(callable(each) for each in functions):
            return tuple(functions)
    raise InvalidTaskError(f"{option}={given!r} must be a list of async functions")
