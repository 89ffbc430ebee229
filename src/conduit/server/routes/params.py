"""Parameters of paths and queries: what they may be, so that nothing else gets further."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import Path, Query
from pydantic import AfterValidator

from conduit.server.models.fields import LATEST


def _printable(text: str) -> str:
    """Text that can be a name. Nothing else is stored, and a zero byte can't be asked for."""
    if not text.isprintable():
        raise ValueError("has characters that can't be printed")
    return text


def moment(text: str) -> int:
    """Milliseconds since the epoch, from them or from ISO 8601; without a zone it is UTC."""
    try:
        ms = int(text) if text.isascii() and text.isdigit() else _from_iso(text)
    except (ValueError, OverflowError):
        ms = -1
    if not 0 <= ms <= LATEST:
        raise ValueError("isn't a time: write 2026-11-02T09:00:00Z, or milliseconds since 1970")
    return ms


def _from_iso(text: str) -> int:
    read = datetime.fromisoformat(text)
    aware = read if read.tzinfo is not None else read.replace(tzinfo=UTC)
    return int(aware.timestamp() * 1000)


def _moment_text(text: str) -> str:
    moment(text)
    return text


Text = Annotated[str, Query(min_length=1, max_length=255), AfterValidator(_printable)]
Texts = Annotated[list[Annotated[str, AfterValidator(_printable)]], Query(max_length=100)]
Moment = Annotated[str, Query(max_length=64), AfterValidator(_moment_text)]
JobId = Annotated[str, Path(min_length=1, max_length=500), AfterValidator(_printable)]
Name = Annotated[str, Path(min_length=1, max_length=255), AfterValidator(_printable)]
