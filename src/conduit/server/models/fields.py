"""What the models have in common: names of things, times, spans."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

from msgspec import Meta, Struct

LATEST = 253_402_300_799_999
"""The last millisecond that a date has: year 9999."""

LONGEST_S = 36_525 * 86_400
"""A hundred years. More is a slip of units, such as milliseconds for seconds."""

Id = Annotated[str, Meta(examples=["0199f1f0-7c3a-7c1e-8d7e-3a9f1c2b4d5e"])]
Time = Annotated[str, Meta(examples=["2026-11-02T09:00:00.000Z"])]
FunctionName = Annotated[str, Meta(examples=["charge"])]
Name = Annotated[str, Meta(min_length=1, max_length=255)]
Seconds = Annotated[float, Meta(ge=0, le=LONGEST_S)]


def iso(ms: int) -> str:
    """A time in ISO 8601, UTC, to the millisecond; beyond the calendar, its end."""
    ms = min(max(ms, 0), LATEST)
    return (
        datetime.fromtimestamp(ms // 1000, UTC)
        .replace(microsecond=ms % 1000 * 1000)
        .isoformat(timespec="milliseconds")[:-6]
        + "Z"
    )


def iso_or_none(ms: int | None) -> str | None:
    """The same, where there may be no time."""
    return None if ms is None else iso(ms)


def fields_of(item: Struct, names: Sequence[str], **others: Any) -> dict[str, Any]:
    """The fields of these names, `others` in place of some."""
    return {name: getattr(item, name) for name in names} | others
