"""What `handle.options(...)` takes: checked when it is given, in the units of a stored job."""

from __future__ import annotations

import difflib
import functools
import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any, ParamSpec, TypeVar, cast

from conduit.core.checks import check_count, check_priority, check_seconds, check_text
from conduit.core.codec import DEFAULT_PAYLOAD_LIMIT, encode_value
from conduit.core.errors import InvalidOptionError, quoted
from conduit.core.model import NO_TIMEOUT, NewJob
from conduit.queue.gate import fault_of_headers

P = ParamSpec("P")
R = TypeVar("R")

Seconds = float | timedelta
"""A span of time: seconds as a number, or a `timedelta`."""


class AsDeclared(Enum):
    """Stands for an option that isn't given, where None means something of its own."""

    AS_DECLARED = "as declared"


AS_DECLARED = AsDeclared.AS_DECLARED


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitOptions:
    """How a job differs from what its task declares. None: as declared.

    `delay_ms`, `unique_ms`, `expires_ms` and `timeout_ms` are spans, `run_at` and `expires_at`
    moments, all in milliseconds; `wait_timeout` is in seconds. `metadata` is a JSON object,
    `headers` are text by name. `after` are the ids of jobs, each once.
    """

    delay_ms: int | None = None
    run_at: int | None = None
    priority: int | None = None
    key: str | None = None
    unique_ms: int | None = None
    expires_ms: int | None = None
    expires_at: int | None = None
    timeout_ms: int | None = None
    retries: int | None = None
    queue: str | None = None
    metadata: bytes | None = None
    headers: dict[str, str] | None = None
    wait_timeout: float | None = None
    after: tuple[str, ...] | None = None

    @property
    def said(self) -> dict[str, Any]:
        """What they say of a new job under its own names."""
        return {name: getattr(self, name) for name in _OF_A_JOB}

    def changed(
        self,
        *,
        delay: Seconds | None = None,
        at: datetime | None = None,
        priority: int | None = None,
        key: str | None = None,
        unique_for: Seconds | None = None,
        expires: Seconds | datetime | None = None,
        timeout: Seconds | AsDeclared | None = AS_DECLARED,
        retries: int | None = None,
        queue: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        wait_timeout: Seconds | None = None,
        after: tuple[str, ...] | None = None,
    ) -> SubmitOptions:
        """These options with those that are given in their place.

        Raises `InvalidOptionError` that names the option and its value, `SerializationError` for
        metadata that JSON can't carry.
        """
        changes = _start(delay, at) | _end(expires)
        if priority is not None:
            changes["priority"] = check_priority(priority, InvalidOptionError)
        if key is not None:
            changes["key"] = check_text("key", key, InvalidOptionError)
        if unique_for is not None:
            changes["unique_ms"] = _span("unique_for", unique_for)
        if timeout is None:
            changes["timeout_ms"] = NO_TIMEOUT
        elif timeout is not AS_DECLARED:
            changes["timeout_ms"] = _span("timeout", timeout)
        if retries is not None:
            changes["retries"] = check_count("retries", retries, InvalidOptionError)
        if queue is not None:
            changes["queue"] = check_text("queue", queue, InvalidOptionError)
        if metadata is not None:
            changes["metadata"] = _metadata(metadata)
        if headers is not None:
            changes["headers"] = _headers(headers)
        if wait_timeout is not None:
            changes["wait_timeout"] = _span("wait_timeout", wait_timeout, zero=True) / 1000
        if after is not None:
            changes["after"] = after
        return replace(self, **changes)


_OF_A_JOB = [each.name for each in fields(SubmitOptions) if each.name in NewJob.__struct_fields__]


def unknown_option(function: str, option: str, known: Iterable[str]) -> TypeError:
    """Python's own words for a keyword that isn't there, and the options that may be meant."""
    close = [repr(each) for each in difflib.get_close_matches(option, list(known), n=3)]
    hint = f"; did you mean {' or '.join(close)}?" if close else ""
    return TypeError(f"{function}() got an unexpected keyword argument {option!r}{hint}")


def suggests_options(function: Callable[P, R]) -> Callable[P, R]:
    """Have a function answer a keyword that it doesn't take with those that may be meant."""
    parameters = inspect.signature(function).parameters.values()
    known = [each.name for each in parameters if each.kind is each.KEYWORD_ONLY]

    @functools.wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        for option in kwargs:
            if option not in known:
                raise unknown_option(function.__name__, option, known)
        return function(*args, **kwargs)

    return checked


def _start(delay: Seconds | None, at: datetime | None) -> dict[str, Any]:
    if delay is not None and at is not None:
        raise InvalidOptionError(
            f"delay={delay!r} and at={at!r} both say when to start: give one of them"
        )
    if delay is not None:
        return {"delay_ms": _span("delay", delay, zero=True), "run_at": None}
    if at is not None:
        return {"run_at": _moment("at", at), "delay_ms": None}
    return {}


def _end(expires: Seconds | datetime | None) -> dict[str, Any]:
    if isinstance(expires, datetime):
        return {"expires_at": _moment("expires", expires), "expires_ms": None}
    if expires is not None:
        return {"expires_ms": _span("expires", expires), "expires_at": None}
    return {}


def _span(option: str, value: object, *, zero: bool = False) -> int:
    """Milliseconds, rounded up: what is longer than nothing stays so."""
    return math.ceil(check_seconds(option, value, InvalidOptionError, zero=zero) * 1000)


def _moment(option: str, value: object) -> int:
    if not isinstance(value, datetime):
        raise InvalidOptionError(
            f"{option}={quoted(value)} must be a datetime with a time zone, such as "
            f"datetime.now(UTC) + timedelta(hours=1)"
        )
    if value.utcoffset() is None:
        raise InvalidOptionError(
            f"{option}={value!r} has no time zone: add one, such as "
            f"{value.isoformat()}+00:00 with .replace(tzinfo=UTC), or .astimezone() for local time"
        )
    try:
        since = value.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    except OverflowError as error:
        raise InvalidOptionError(f"{option}={value!r} is out of range in UTC") from error
    if since < timedelta(0):
        raise InvalidOptionError(f"{option}={value!r} is out of range: it is before 1970")
    return since // timedelta(milliseconds=1)


def _metadata(value: object) -> bytes:
    fields = cast("Mapping[object, Any]", value) if isinstance(value, Mapping) else None
    if fields is None or not all(isinstance(name, str) for name in fields):
        raise InvalidOptionError(
            f"metadata={quoted(cast('object', value))} must be a dict with text for keys"
        )
    return encode_value(dict(fields), path="metadata", limit=DEFAULT_PAYLOAD_LIMIT)


def _headers(value: object) -> dict[str, str]:
    given: Any = value
    if isinstance(value, Mapping):
        given = dict(cast("Mapping[str, str]", value))
    if fault := fault_of_headers(given):
        raise InvalidOptionError(f"headers={quoted(given)} {fault}")
    return given
