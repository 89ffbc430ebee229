"""When a failed attempt is followed by another, and how long after.

    RetryPolicy(retries=3)                              # 1 s, 2 s, 4 s, less up to a tenth each
    RetryPolicy(retries=5, delay=10, backoff=1)         # every 10 s
    RetryPolicy(retries=5, delay=[1, 60, 3600])         # 1 s, a minute, an hour, an hour, an hour
    RetryPolicy(retries=3, retry_on=(OSError,))         # only these errors
    RetryPolicy(retries=3, retry_on=lambda e: e.status >= 500)

The option names in error messages are those of `worker.task(...)`: `retry_delay` for `delay`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, cast

from conduit.core.errors import InvalidTaskError, quoted

RetryOn = (
    type[BaseException]
    | Sequence[type[BaseException]]
    | Callable[[Any], bool]  # Any: a function may ask for a narrower error than BaseException
    | None
)
"""Which errors are retried: exception types, a function that decides, or None: any `Exception`."""

Span = float | timedelta
"""Seconds, or a `timedelta`."""

Delay = Span | Sequence[Span]
"""The wait before the first retry, or that before each one, of which the last is used again."""

MOST_RETRIES = 1_000_000
DEFAULT_BACKOFF = 2.0
MOST_BACKOFF = 1000
DEFAULT_MAX_DELAY = 3600.0
"""Seconds."""
LONGEST_DELAY = 365 * 86_400
"""Seconds. A wait of more than a year is a slip of units, such as milliseconds for seconds."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often, how soon and after which errors a task is tried again.

    `retries`: attempts after the first one. `delay`: the wait before the first retry, in seconds or
    as a `timedelta`; each further wait is `backoff` times as long (2 unless told otherwise, 1 keeps
    it fixed), up to `max_delay` (None: an hour, or `delay` if that is longer). Or a list of waits,
    one for each retry; the last one serves for all further ones, and there is no `backoff`.
    `jitter`: the fraction, 0 to 1, of each wait that is left to chance.
    `retry_on`: exception types, or a function from the error to a bool; None retries any
    `Exception`.

    Raises `InvalidTaskError`, which names the option that can't work.
    """

    retries: int = 0
    delay: Delay = 1.0
    backoff: float | None = None
    max_delay: Span | None = None
    jitter: float = 0.1
    retry_on: RetryOn = None
    _waits: tuple[float, ...] = field(init=False, repr=False, default=())
    _factor: float = field(init=False, repr=False, default=1.0)
    _longest: float = field(init=False, repr=False, default=DEFAULT_MAX_DELAY)

    def __post_init__(self) -> None:
        _check_count("retries", self.retries, most=MOST_RETRIES)
        _check_number("retry_jitter", self.jitter, least=0, most=1)
        waits = _checked_waits(self.delay)
        longest = max(DEFAULT_MAX_DELAY, *waits)
        if self.max_delay is not None:
            longest = _checked_span("retry_max_delay", self.max_delay)
            if longest < max(waits):
                raise InvalidTaskError(
                    f"retry_max_delay={self.max_delay!r} is shorter than retry_delay="
                    f"{self.delay!r}: raise the one or lower the other"
                )
        object.__setattr__(self, "_waits", waits)
        object.__setattr__(self, "_factor", self._checked_factor())
        object.__setattr__(self, "_longest", longest)
        object.__setattr__(self, "retry_on", _checked_rule(self.retry_on))

    def _checked_factor(self) -> float:
        listed = _is_list(self.delay)
        if self.backoff is None:
            return 1.0 if listed else DEFAULT_BACKOFF
        _check_number("retry_backoff", self.backoff, least=1, most=MOST_BACKOFF)
        if listed:
            raise InvalidTaskError(
                f"retry_backoff={self.backoff!r} has no effect on a list of waits, "
                f"retry_delay={quoted(self.delay)}: leave it out, or give one wait"
            )
        return self.backoff

    def delay_before(self, failures: int, *, random: float) -> float:
        """Seconds from the `failures`-th failure (1 is the first) to the next attempt.

        `random` is a number in [0, 1). The answer lies in `[(1 - jitter) * wait, wait]`: jitter
        only ever shortens, so that `max_delay` is never passed. A jitter of 1 is the "full", of
        0.5 the "equal" jitter of Brooker, "Exponential Backoff And Jitter" (AWS, 2015).
        """
        return self._wait(failures) * (1 - self.jitter * random)

    def allows(self, error: BaseException) -> bool:
        """Whether `error` is one that `retry_on` retries; how many are left is not asked here.

        A `retry_on` function that itself raises allows nothing. What it raised is added to `error`
        as a note, so that it is seen with the error's traceback.
        """
        rule = self.retry_on
        if rule is None:
            return isinstance(error, Exception)
        if isinstance(rule, tuple):
            return isinstance(error, rule)
        decide = cast("Callable[[BaseException], bool]", rule)
        try:
            return bool(decide(error))
        except Exception as broken:
            error.add_note(f"not retried, because retry_on raised {broken!r}")
            return False

    def _wait(self, failures: int) -> float:
        wait = self._waits[min(failures, len(self._waits)) - 1]
        if wait == 0:
            return 0.0
        try:
            return min(self._longest, wait * self._factor ** (failures - 1))
        except OverflowError:  # a power beyond the floats is beyond any cap too
            return self._longest


def _check_count(option: str, value: object, *, most: int) -> None:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most:
        return
    raise InvalidTaskError(f"{option}={quoted(value)} must be a whole number from 0 to {most:,}")


def _check_number(option: str, value: object, *, least: int, most: int) -> None:
    # Not-a-number fails every comparison, and so is refused as well.
    if isinstance(value, (int, float)) and not isinstance(value, bool) and least <= value <= most:
        return
    raise InvalidTaskError(f"{option}={quoted(value)} must be a number from {least} to {most:,}")


def _is_list(delay: object) -> bool:
    return isinstance(delay, Sequence) and not isinstance(delay, (str, bytes))


def _checked_waits(delay: Delay) -> tuple[float, ...]:
    given = cast("Sequence[object]", delay) if _is_list(delay) else (delay,)
    if not given:
        raise InvalidTaskError("retry_delay=[] must have a wait in it, such as [1, 60, 3600]")
    return tuple(_checked_span("retry_delay", each) for each in given)


def _checked_span(option: str, span: object) -> float:
    seconds = span.total_seconds() if isinstance(span, timedelta) else span
    _check_number(option, seconds, least=0, most=LONGEST_DELAY)
    return float(cast("float", seconds))


def _checked_rule(rule: object) -> tuple[type[BaseException], ...] | Callable[..., object] | None:
    """Brings `retry_on` to one of three shapes. A single class must become a tuple here: being
    callable, it would pass for a function that says yes to everything."""
    if rule is None:
        return None
    if isinstance(rule, (list, tuple)):
        types = cast("Sequence[object]", rule)
    elif isinstance(rule, type):
        types = (rule,)
    elif inspect.iscoroutinefunction(rule):
        raise InvalidTaskError(
            f"retry_on={rule!r} is a coroutine function: it must be a plain one, since its answer "
            "is needed at once"
        )
    elif callable(rule):
        return rule
    else:
        types = ()
    if types and all(isinstance(item, type) and issubclass(item, BaseException) for item in types):
        return tuple(cast("Sequence[type[BaseException]]", types))
    raise InvalidTaskError(
        f"retry_on={rule!r} must be exception types, such as (OSError, TimeoutError), or a "
        "function from the error to True or False; leave it out to retry after any error"
    )
