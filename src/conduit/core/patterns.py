"""Names of events, and the patterns by which handlers subscribe to them.

A name is segments of letters, digits, `_` and `-` with dots between: `order.placed`. In a pattern

- `*` stands for one whole segment (`order.*`), or for any run of characters, even none, within
  one (`order.pla*`); it never crosses a dot,
- `**` stands for one or more whole segments: `order.**` takes `order.item.added`, and `**` every
  event.
"""

from __future__ import annotations

import re
from functools import lru_cache

from conduit.core.errors import InvalidPatternError

MAX_NAME_LENGTH = 255
"""Characters. Bounds the work of matching as well: several `*` in a segment cost its powers."""

_CHARACTER = "[A-Za-z0-9_-]"
_SEGMENT = f"{_CHARACTER}+"
_NAME = re.compile(rf"{_SEGMENT}(?:\.{_SEGMENT})*")
_PATTERN_SEGMENT = re.compile(r"\*\*|(?:[A-Za-z0-9_-]|\*(?!\*))+")


def validate_event_name(name: str) -> None:
    """Returns when `name` can be published, raises `InvalidPatternError` otherwise.

    A pattern can't be published.
    """
    _check_length("event name", name)
    if "*" in name:
        raise InvalidPatternError(
            f"event name {name!r} holds a wildcard: patterns subscribe, only a plain name such as "
            "'order.placed' can be published"
        )
    if _NAME.fullmatch(name) is None:
        raise InvalidPatternError(
            f"event name {name!r} must be letters, digits, '_' and '-' in segments with a single "
            "dot between, such as 'order.placed'"
        )


@lru_cache(maxsize=1024)
def compile_pattern(pattern: str) -> re.Pattern[str]:
    """The expression that matches the whole of each event name `pattern` stands for.

    Raises `InvalidPatternError` when `pattern` is malformed.
    """
    _check_length("event pattern", pattern)
    expression = r"\.".join(map(_expression, _segments(pattern)))
    return re.compile(rf"\A{expression}\Z")


def matches(pattern: str, name: str) -> bool:
    """Whether an event called `name` goes to subscribers of `pattern`.

    False for a `name` that isn't an event name. Raises `InvalidPatternError` for a malformed
    `pattern`.
    """
    return len(name) <= MAX_NAME_LENGTH and compile_pattern(pattern).match(name) is not None


def _check_length(what: str, text: str) -> None:
    if not text:
        raise InvalidPatternError(f"the {what} is empty: give one such as 'order.placed'")
    if len(text) > MAX_NAME_LENGTH:
        raise InvalidPatternError(
            f"{what} {text[:40]!r}… has {len(text)} characters: shorten it to {MAX_NAME_LENGTH}"
        )


def _segments(pattern: str) -> list[str]:
    segments = pattern.split(".")
    for segment in segments:
        if _PATTERN_SEGMENT.fullmatch(segment) is None:
            raise InvalidPatternError(f"event pattern {pattern!r} {_fault(segment)}")
    return segments


def _fault(segment: str) -> str:
    if not segment:
        return "has an empty segment: put a single dot between segments, and none at the ends"
    if "**" in segment:
        return f"has '**' inside {segment!r}: make it a segment of its own, as in 'order.**'"
    return f"has {segment!r}: use letters, digits, '_', '-' and the wildcards '*' and '**'"


def _expression(segment: str) -> str:
    if segment == "**":
        return rf"{_SEGMENT}(?:\.{_SEGMENT})*"
    if segment == "*":
        return _SEGMENT
    return f"{_CHARACTER}*".join(map(re.escape, segment.split("*")))
