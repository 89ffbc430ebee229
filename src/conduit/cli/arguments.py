"""Options as the values that they are: `--args` and `--kwargs` as JSON, `--delay` as a span."""

from __future__ import annotations

import json
from typing import NoReturn, cast

from conduit.cli.problems import UsageError
from conduit.core.checks import check_seconds
from conduit.core.errors import InvalidOptionError
from conduit.core.schedule import parse_duration


def parse_array(option: str, text: str) -> list[object]:
    """The JSON array given for an option. Raises `UsageError`."""
    value = _parse(option, text)
    if not isinstance(value, list):
        raise UsageError(f"{option} must be a JSON array such as '[1, \"two\"]', got {text}")
    return cast("list[object]", value)


def parse_object(option: str, text: str) -> dict[str, object]:
    """The JSON object given for an option. Raises `UsageError`."""
    value = _parse(option, text)
    if not isinstance(value, dict):
        raise UsageError(f"{option} must be a JSON object such as '{{\"name\": 1}}', got {text}")
    return cast("dict[str, object]", value)


def parse_span(option: str, text: str) -> float:
    """The seconds given for an option: a number, or a duration as schedules have it.

    Raises `UsageError`, `InvalidOptionError`.
    """
    duration_ms = parse_duration("".join(text.split()))
    try:
        seconds = float(text) if duration_ms is None else duration_ms / 1000
    except ValueError as error:
        raise UsageError(
            f"{option}={text} isn't a span of time: give seconds, or a duration such as 5m or 2h30m"
        ) from error
    return check_seconds(option, seconds, InvalidOptionError, zero=True)


def _parse(option: str, text: str) -> object:
    def refuse(constant: str) -> NoReturn:
        raise UsageError(f"{option}: {constant} is not a JSON value; use null or a string")

    try:
        return json.loads(text, parse_constant=refuse)
    except json.JSONDecodeError as error:
        excerpt = text[max(0, error.pos - 20) : error.pos + 20]
        place = f"line {error.lineno}, column {error.colno}"
        usage = UsageError(f"{option} is not JSON: {error.msg} at {place}, near {excerpt!r}")
        usage.add_note("put single quotes around it for the shell: --args '[\"text\", 1, true]'")
        raise usage from error
    except ValueError as error:  # Python reads no integers of thousands of digits
        raise UsageError(f"{option} has a number that is too long: pass it as a string") from error
    except RecursionError as error:
        raise UsageError(f"{option} is nested too deep") from error
