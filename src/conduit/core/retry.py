"""When a failed attempt is followed by another, and how long after.

    RetryPolicy(retries=3)                              # 1 s, 2 s, 4 s, less up to a tenth each
    RetryPolicy(retries=5, delay=10, backoff=1)         # every 10 s
    RetryPolicy(retries=3, retry_on=(OSError,))         # only these errors
    RetryPolicy(retries=3, retry_on=lambda e: e.status >= 500)

The option names in error messages are those of `worker.task(...)`: `retry_delay` for `delay`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from conduit.core.errors import InvalidTaskError, quoted

RetryOn = (
    type[BaseException]
    | Sequence[type[BaseException]]
    | Callable[[Any], bool]  # Any: a function may ask for a narrower error than BaseException
    | None
)
"""Which errors are retried: exception types, a function that decides, or None: any `Exception`."""

MOST_RETRIES = 1_000_000
MOST_BACKOFF = 1000
DEFAULT_MAX_DELAY = 3600.0
"""Seconds."""
LONGEST_DELAY = 365 * 86_400
"""Seconds. A wait of more than a year is a slip of units, such as milliseconds for seconds."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often, how soon and after which errors a task is tried again. Times in seconds.

    `retries`: attempts after the first one. `delay`: the wait before the first retry; each further
    wait is `backoff` times as long (1 keeps it fixed), up to `max_delay` (None: an hour, or
    `delay` if that is longer). `jitter`: the fraction, 0 to 1, of each wait that is left to chance.
    `retry_on`: exception types, or a function from the error to a bool; None retries any
    `Exception`.

    Raises `InvalidTaskError`, which names the option that can't work.
    """

    retries: int = 0
    delay: float = 1.0
    backoff: float = 2.0
    max_delay: float | None = None
    jitter: float = 0.1
    retry_on: RetryOn = None

    def __post_init__(self) -> None:
        _check_count("retries", self.retries, most=MOST_RETRIES)
        _check_number("retry_delay", self.delay, least=0, most=LONGEST_DELAY)
        _check_number("retry_backoff", self.backoff, least=1, most=MOST_BACKOFF)
        _check_number("retry_jitter", self.jitter, least=0, most=1)
        if self.max_delay is not None:
            _check_number("retry_max_delay", self.max_delay, least=0, most=LONGEST_DELAY)
            if self.max_delay < self.delay:
                raise InvalidTaskError(
                    f"retry_max_delay={self.max_delay!r} is shorter than retry_delay="
                    f"{self.delay!r}: raise the one or lower the other"
                )
        object.__setattr__(self, "retry_on", _checked_rule(self.retry_on))

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
        longest = self.max_delay
        if longest is None:
            longest = max(DEFAULT_MAX_DELAY, self.delay)
        if self.delay == 0:
            return 0.0
        try:
            return min(longest, self.delay * self.backoff ** (failures - 1))
        except OverflowError:  # a power beyond the floats is beyond any cap too
            return float(longest)


def _check_count(option: str, value: object, *, most: int) -> None:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most:
        return
    raise InvalidTaskError(f"{option}={quoted(value)} must be a whole number from 0 to {most:,}")


def _check_number(option: str, value: object, *, least: int, most: int) -> None:
    # Not-a-number fails every comparison, and so is refused as well.
    if isinstance(value, (int, float)) and not isinstance(value, bool) and least <= value <= most:
        return
    raise InvalidTaskError(f"{option}={quoted(value)} must be a number from {least} to {most:,}")


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
