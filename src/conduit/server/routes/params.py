"""Parameters of paths and queries: what they may be, so that nothing else gets further."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Path, Query
from fastapi.routing import APIRoute
from pydantic import AfterValidator
from starlette.requests import Request

from conduit.core.names import is_file_name
from conduit.server.http.problems import Fault, faulty
from conduit.server.models.fields import LATEST

_FEWEST_DIGITS = 12
_IMPOSSIBLE = re.compile(r"[\x00\ud800-\udfff]")


def _printable(text: str) -> str:
    """Text that can be a name. Nothing else is stored, and a zero byte can't be asked for."""
    if not text.isprintable():
        raise ValueError("has characters that can't be printed")
    return text


def _storable(text: str) -> str:
    """Text that can be looked for: whatever a store can hold."""
    if _IMPOSSIBLE.search(text):
        raise ValueError("has a zero byte, or half of a character")
    return text


def _file_name(text: str) -> str:
    if not is_file_name(text):
        raise ValueError("can't be the name of an artifact")
    return text


def only_known_parameters(request: Request) -> None:
    """Raise `ProblemError` (422) for parameters of the query that the route doesn't take.

    A filter that is misspelt would otherwise list everything.
    """
    route = request.scope.get("route")
    assert isinstance(route, APIRoute)
    known = {field.alias for field in route.dependant.query_params}
    unknown = sorted(set(request.query_params) - known)
    if unknown:
        takes = f"it takes {', '.join(sorted(known))}" if known else "it takes none"
        raise faulty(
            [Fault(f"query.{name[:100]}", f"is no parameter: {takes}") for name in unknown]
        )


def moment(text: str) -> int:
    """Milliseconds since the epoch, from them or from ISO 8601; without a zone it is UTC."""
    try:
        ms = _from_digits(text) if text.isascii() and text.isdigit() else _from_iso(text)
    except (ValueError, OverflowError):
        ms = -1
    if not 0 <= ms <= LATEST:
        raise ValueError(
            "isn't a time: write 2026-11-02T09:00:00Z, or milliseconds since 1970 in 12 digits or "
            "more"
        )
    return ms


def _from_digits(text: str) -> int:
    """Fewer digits than any time since 1973 has are a date or seconds, meant otherwise."""
    if len(text) < _FEWEST_DIGITS:
        raise ValueError
    return int(text)


def _from_iso(text: str) -> int:
    read = datetime.fromisoformat(text)
    aware = read if read.tzinfo is not None else read.replace(tzinfo=UTC)
    return int(aware.timestamp() * 1000)


def _moment_text(text: str) -> str:
    moment(text)
    return text


Text = Annotated[str, Query(min_length=1, max_length=255), AfterValidator(_printable)]
Texts = Annotated[list[Annotated[str, AfterValidator(_printable)]], Query(max_length=100)]
Moment = Annotated[
    str,
    Query(
        max_length=64,
        description="ISO 8601, in UTC where it names no zone; or milliseconds since 1970, in 12 "
        "digits or more",
        examples=["2026-11-02T09:00:00Z", "1793610000000"],
    ),
    AfterValidator(_moment_text),
]
Words = Annotated[str, Query(min_length=1, max_length=255), AfterValidator(_storable)]
JobId = Annotated[str, Path(min_length=1, max_length=500), AfterValidator(_printable)]
Name = Annotated[str, Path(min_length=1, max_length=255), AfterValidator(_printable)]
FileName = Annotated[str, Path(min_length=1, max_length=255), AfterValidator(_file_name)]
