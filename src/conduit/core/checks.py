"""Checks of values that people give as options: what passes is usable, what doesn't is named."""

from __future__ import annotations

import math
from datetime import timedelta

from conduit.core.errors import quoted
from conduit.core.model import MAX_PRIORITY, MIN_PRIORITY

LONGEST = timedelta(days=36_525)
"""A hundred years. More is a slip of units, such as milliseconds for seconds."""

MOST = 1_000_000
"""The most of anything that is counted, unless told otherwise: every store can keep the number."""


def check_count(
    option: str, value: object, error: type[Exception], *, least: int = 0, most: int = MOST
) -> int:
    """`value` if it is a whole number in range, else `error` is raised."""
    number = value if isinstance(value, int) and not isinstance(value, bool) else None
    if number is not None and least <= number <= most:
        return number
    raise error(f"{option}={quoted(value)} must be a whole number, from {least:,} to {most:,}")


def check_priority(value: object, error: type[Exception], *, option: str = "priority") -> int:
    """`value` if it is a priority, else `error` is raised."""
    return check_count(option, value, error, least=MIN_PRIORITY, most=MAX_PRIORITY)


def check_text(option: str, value: object, error: type[Exception]) -> str:
    """`value` if it can name something, else `error` is raised."""
    if isinstance(value, str) and 0 < len(value) <= 255 and value.isprintable() and value.strip():
        return value
    raise error(f"{option}={quoted(value)} must be text, 1 to 255 printable characters")


def check_seconds(
    option: str, value: object, error: type[Exception], *, zero: bool = False
) -> float:
    """A span of time in seconds if `value` is one, else `error` is raised."""
    seconds: float = math.nan
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        seconds = value
    if 0 <= seconds <= LONGEST.total_seconds() and (zero or seconds > 0):
        return float(seconds)
    bound = "0 or more" if zero else "more than 0"
    raise error(
        f"{option}={quoted(value)} must be {bound}: seconds as a number or a timedelta, "
        "a hundred years at most"
    )
