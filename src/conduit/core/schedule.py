"""When a scheduled job is due. Pure: each question names its moment, in epoch milliseconds (UTC).

    parse_schedule("0 9 * * MON-FRI", "Europe/Zurich")
    parse_schedule("@every 90s")
    parse_schedule(timedelta(minutes=5))

Workers agree on the ticks without talking to each other, because a tick depends on nothing but
the schedule: cron ticks on the wall clock, interval ticks on whole multiples since the epoch.
"""

from __future__ import annotations

import difflib
import hashlib
import heapq
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import groupby, islice, takewhile
from typing import Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from cronsim import CronSim, CronSimError

from conduit.core.errors import InvalidScheduleError

MISFIRE_GRACE_MS = 60_000
"""How late a tick may be and still count as on time for `Catchup.SKIP`."""

CATCHUP_LIMIT = 1000
"""The most ticks that `Catchup.ALL` makes up for at once, and the most that are counted one by one
where they are skipped."""

SHORTEST_INTERVAL = timedelta(milliseconds=100)
LONGEST_INTERVAL = timedelta(days=36_525)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)
_MINUTE = timedelta(minutes=1)
_MILLISECOND = timedelta(milliseconds=1)

_UNITS_MS = {"w": 604_800_000, "d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
_DURATION_PART = re.compile(r"([0-9]{1,15})(ms|[wdhms])")

_NICKNAMES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_FIELDS = {  # with what they allow
    "minute": "0-59",
    "hour": "0-23",
    "day-of-month": "1-31 or L for the last",
    "month": "1-12 or JAN-DEC",
    "day-of-week": "0-7 or SUN-SAT, 0 and 7 both Sunday; a range may not wrap around the week's "
    "end, write FRI,SAT,SUN,MON",
}


_STEP = re.compile(r"/([0-9]+)")
_VALUES = {"minute": 60, "hour": 24, "day-of-month": 31, "month": 12, "day-of-week": 7}
_LONGER = {"minute": "m", "hour": "h", "day-of-month": "d"}
"""The units in which `@every` can say a step that is too long for its field."""


class Schedule(Protocol):
    """A set of moments, called ticks, without beginning or end."""

    def next_after(self, at_ms: int) -> int:
        """The first tick later than `at_ms`."""
        ...

    def ticks_between(self, after_ms: int, until_ms: int, *, limit: int) -> list[int]:
        """The ticks in `(after_ms, until_ms]`, ascending; the newest `limit` if there are more.

        Costs no more for a long span than for `limit` ticks.
        """
        ...

    def describe(self) -> str:
        """The schedule in words for people, such as `0 9 * * * Europe/Zurich` or `every 90s`."""
        ...

    def spec(self) -> str:
        """The schedule as `parse_schedule` takes it, beside the time zone."""
        ...

    def fingerprint(self) -> str:
        """8 hex digits that change when the schedule does."""
        ...


class Catchup(StrEnum):
    """What becomes of ticks that passed while nobody was there to fire them."""

    SKIP = "skip"
    ONE = "one"
    ALL = "all"


class Overlap(StrEnum):
    """What becomes of a tick while the job of the one before it is unfinished."""

    SKIP = "skip"
    QUEUE = "queue"
    ALLOW = "allow"


@dataclass(frozen=True, slots=True)
class Due:
    """What is to be done about ticks that have come: the newest of them is at `upto`.

    `fire`: those that are to become jobs, ascending. `passed`: how many others are let pass;
    beyond `CATCHUP_LIMIT` it isn't counted further.
    """

    fire: tuple[int, ...] = ()
    passed: int = 0
    upto: int = 0


NOTHING_DUE = Due()


def due_ticks(schedule: Schedule, *, last_tick: int, now: int, catchup: Catchup) -> Due:
    """What is due at `now`, when `last_tick` was the last tick that was settled.

    `SKIP` fires the newest tick unless it is later than `MISFIRE_GRACE_MS`, `ONE` the newest
    however late, `ALL` every one up to `CATCHUP_LIMIT`. A clock that went back fires nothing until
    it has passed `last_tick` again.
    """
    ticks = schedule.ticks_between(last_tick, now, limit=CATCHUP_LIMIT + 1)
    if not ticks:
        return NOTHING_DUE
    newest = ticks[-1]
    match catchup:
        case Catchup.ALL:
            fire = ticks[-CATCHUP_LIMIT:]
        case Catchup.ONE:
            fire = [newest]
        case Catchup.SKIP:
            fire = [newest] if now - newest <= MISFIRE_GRACE_MS else []
    return Due(tuple(fire), len(ticks) - len(fire), newest)


def parse_schedule(spec: str | timedelta, timezone: str = "UTC") -> Schedule:
    """The schedule that `spec` names.

    `spec` is a cron expression of five fields, one of `@hourly @daily @midnight @weekly @monthly
    @yearly @annually`, `@every` with a duration such as `90s`, `5m`, `2h30m` or `1d`, or a
    `timedelta`. `timezone` is an IANA name; intervals don't depend on it.

    Raises `InvalidScheduleError` when `spec` or `timezone` can't be used.
    """
    _load_zone(timezone)
    match spec:
        case timedelta():
            return IntervalSchedule(spec)
        case str() if spec.strip().lower().startswith("@every"):
            return _parse_interval(spec)
        case _:
            return CronSchedule(spec, timezone)


@dataclass(frozen=True, slots=True)
class IntervalSchedule:
    """Ticks at whole multiples of `every` since the epoch, whenever the workers were started.

    `every` is a whole number of milliseconds, from 100 ms to 100 years; `InvalidScheduleError`
    otherwise.
    """

    every: timedelta

    def __post_init__(self) -> None:
        if not SHORTEST_INTERVAL <= self.every <= LONGEST_INTERVAL:
            raise InvalidScheduleError(
                f"an interval of {self.every.total_seconds():g} s can't be scheduled: choose one "
                "from 0.1 s to 100 years"
            )
        if self.every % _MILLISECOND:
            raise InvalidScheduleError(
                f"an interval of {self.every.total_seconds()} s isn't a whole number of "
                "milliseconds: round it"
            )

    def next_after(self, at_ms: int) -> int:
        """The first tick later than `at_ms`."""
        return (at_ms // self._every_ms + 1) * self._every_ms

    def ticks_between(self, after_ms: int, until_ms: int, *, limit: int) -> list[int]:
        """The ticks in `(after_ms, until_ms]`, ascending; the newest `limit` if there are more."""
        newest = until_ms // self._every_ms
        oldest = max(after_ms // self._every_ms + 1, newest - limit + 1)
        return [number * self._every_ms for number in range(oldest, newest + 1)]

    def describe(self) -> str:
        """Such as `every 90s`: in the largest unit that needs no second one."""
        unit, size = next(
            (unit, size) for unit, size in _UNITS_MS.items() if self._every_ms % size == 0
        )
        return f"every {self._every_ms // size}{unit}"

    def spec(self) -> str:
        """Such as `@every 90s`."""
        return f"@{self.describe()}"

    def fingerprint(self) -> str:
        """8 hex digits that change when the interval does."""
        return _digest(f"every {self._every_ms}ms")

    @property
    def _every_ms(self) -> int:
        return self.every // _MILLISECOND


@dataclass(frozen=True, slots=True)
class CronSchedule:
    """Ticks where the wall clock of `timezone` matches `expression`.

    `expression` has the fields minute, hour, day of month, month and day of week, or is a nickname
    such as `@daily`. When both days are restricted, either is enough, as in Debian's cron.

    Where summer time begins or ends:

    - An expression that names hours fires once for each match. One that the clock leaps over fires
      at the first moment after the leap (several of them fire once); one that the clock shows
      twice fires the first time.
    - An expression for every hour, such as `*/30 * * * *`, follows elapsed time: it fires whenever
      the clock shows a match, in the repeated hour too, and not for times that are leapt over.

    Raises `InvalidScheduleError`, which says what is wrong with expression or zone.
    """

    expression: str
    timezone: str = "UTC"
    _zone: ZoneInfo = field(init=False, repr=False, compare=False)
    _every_hour: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        expression = _normalise(self.expression)
        cron = _checked_cron(expression)
        object.__setattr__(self, "expression", expression)
        object.__setattr__(self, "_zone", _load_zone(self.timezone))
        object.__setattr__(self, "_every_hour", len(cron.hours) == 24)

    def next_after(self, at_ms: int) -> int:
        """The first tick later than `at_ms`."""
        return min(
            next(tick for tick in self._ticks(at_ms, fold, reverse=False) if tick > at_ms)
            for fold in self._folds
        )

    def ticks_between(self, after_ms: int, until_ms: int, *, limit: int) -> list[int]:
        """The ticks in `(after_ms, until_ms]`, ascending; the newest `limit` if there are more."""
        folds = (self._ticks(until_ms, fold, reverse=True) for fold in self._folds)
        newest_first = (tick for tick, _ in groupby(heapq.merge(*folds, reverse=True)))
        due = (tick for tick in newest_first if tick <= until_ms)
        return list(islice(takewhile(lambda tick: tick > after_ms, due), limit))[::-1]

    def describe(self) -> str:
        """Such as `0 9 * * * Europe/Zurich`."""
        return f"{self.expression} {self.timezone}"

    def spec(self) -> str:
        """The expression."""
        return self.expression

    def fingerprint(self) -> str:
        """8 hex digits that change when the expression or the time zone does."""
        return _digest(f"cron {self.describe()}")

    @property
    def _folds(self) -> tuple[int, ...]:
        # PEP 495: fold 0 is the first and fold 1 the second time that the clock shows an hour.
        return (0, 1) if self._every_hour else (0,)

    def _ticks(self, from_ms: int, fold: int, *, reverse: bool) -> Iterator[int]:
        """Ticks from about `from_ms` on, in order of time; the first few may lie before it.

        cronsim only ever sees a clock without summer time. Within one fold, real time rises with
        that clock, which is what keeps the ticks in order.
        """
        moment = _EPOCH + timedelta(seconds=from_ms // 1000)
        local = moment.astimezone(self._zone)
        # In the hour that is shown twice there are two readings of the clock for one moment. The
        # one further back makes sure that nothing is missed on the way.
        offsets = [_offset(local.replace(fold=reading)) for reading in (0, 1)]
        wall = moment.replace(tzinfo=None) + (max(offsets) if reverse else min(offsets))
        # cronsim leaves out the second it starts from; going back, that one counts.
        start = wall + _SECOND if reverse else wall
        for match in CronSim(self.expression, start, reverse=reverse):
            tick = match.replace(tzinfo=self._zone, fold=fold)
            if self._every_hour and _is_leapt_over(tick):
                continue
            while _is_leapt_over(tick):
                tick += _MINUTE
            yield (tick - _EPOCH) // _MILLISECOND


def _offset(local: datetime) -> timedelta:
    offset = local.utcoffset()
    assert offset is not None  # `local` has a zone
    return offset


def _is_leapt_over(local: datetime) -> bool:
    """Whether no clock of this zone ever shows `local`, because summer time begins across it."""
    there_and_back = local.astimezone(UTC).astimezone(local.tzinfo)
    return there_and_back.replace(tzinfo=None) != local.replace(tzinfo=None)


def _normalise(expression: object) -> str:
    """The expression in one spelling: five fields, capital names, single spaces."""
    if not isinstance(expression, str) or not expression.strip():
        raise InvalidScheduleError(
            f"{expression!r} is no schedule: give a cron expression such as '0 9 * * MON-FRI', "
            "'@every 5m', or a timedelta"
        )
    words = expression.split()
    if words[0].startswith("@"):
        known = _NICKNAMES.get(expression.strip().lower())
        if known is None:
            raise InvalidScheduleError(
                f"{expression!r} is not a known schedule: use one of {', '.join(_NICKNAMES)}, "
                "or '@every' with a duration such as 5m"
            )
        return known
    if len(words) != len(_FIELDS):
        hint = "; for seconds use '@every 10s'" if len(words) == len(_FIELDS) + 1 else ""
        raise InvalidScheduleError(
            f"cron expression {expression!r} has {len(words)} fields, it must have "
            f"{len(_FIELDS)}: {', '.join(_FIELDS)}{hint}"
        )
    return " ".join(words).upper()


def _checked_cron(expression: str) -> CronSim:
    # Any start serves to parse. Field by field first: for the whole, cronsim gives one and the
    # same answer to a bad day and to a day that its month lacks.
    start = _EPOCH.replace(tzinfo=None)
    for position, (name, allowed) in enumerate(_FIELDS.items()):
        value = expression.split()[position]
        alone = ["*"] * len(_FIELDS)
        alone[position] = value
        try:
            CronSim(" ".join(alone), start)
        except (CronSimError, ValueError) as error:  # ValueError: thousands of digits
            raise InvalidScheduleError(
                f"cron expression {expression!r}: {value!r} is no {name}; allowed are *, "
                f"numbers, lists (1,2), ranges (1-5) and steps (*/5) of {allowed}"
            ) from error
        _refuse_long_steps(expression, name, value)
    try:
        cron = CronSim(expression, start)
        next(cron)
    except (CronSimError, StopIteration) as error:
        raise InvalidScheduleError(
            f"cron expression {expression!r} never comes due: no such day is in that month. "
            "For the last day of a month write L as the day"
        ) from error
    return cron


def _refuse_long_steps(expression: str, name: str, value: str) -> None:
    """Refuse a step that is longer than its field: it would fire as if there were none."""
    for step in _STEP.findall(value):
        if int(step) > _VALUES[name]:
            unit = _LONGER.get(name)
            instead = f"use @every {int(step)}{unit}" if unit else f"name each {name}, as in 1,4"
            raise InvalidScheduleError(
                f"cron expression {expression!r}: a step of {step} is longer than the "
                f"{_VALUES[name]} values of {name}, so {value!r} would not mean every {step}; "
                f"{instead}"
            )


def _load_zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    # Names that no zone can have fail in the ways of paths: `Europe` is a folder of zones.
    except (ZoneInfoNotFoundError, ValueError, TypeError, AttributeError, OSError) as error:
        raise InvalidScheduleError(
            f"unknown time zone {name!r}: {_suggestion(str(name))}"
        ) from error


def _suggestion(name: str) -> str:
    wanted = name.strip().lower().replace(" ", "_")
    full_names = {zone.lower(): zone for zone in sorted(available_timezones())}
    cities = {lower.rpartition("/")[2]: zone for lower, zone in full_names.items()}
    close = [
        names[match]
        for names in (full_names, cities)
        for match in difflib.get_close_matches(wanted, names, n=2, cutoff=0.8)
    ]
    if not close:
        return "use an IANA name such as 'Europe/Zurich' or 'UTC'"
    return f"did you mean {' or '.join(repr(zone) for zone in dict.fromkeys(close))}?"


def _parse_interval(spec: str) -> IntervalSchedule:
    total_ms = parse_duration("".join(spec.lower().split())[len("@every") :])
    if total_ms is None:
        raise InvalidScheduleError(
            f"{spec!r} holds no duration: write numbers with a unit each of "
            f"{', '.join(_UNITS_MS)}, such as '@every 90s' or '@every 2h30m'"
        )
    try:
        return IntervalSchedule(total_ms * _MILLISECOND)
    except OverflowError as error:
        raise InvalidScheduleError(f"{spec!r} is longer than 100 years: shorten it") from error


def parse_duration(text: str) -> int | None:
    """Milliseconds of a duration such as `90s` or `2h30m`; None if it isn't one."""
    parts = _DURATION_PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return sum(int(number) * _UNITS_MS[unit] for number, unit in parts)


def _digest(spec: str) -> str:
    return hashlib.sha256(spec.encode()).hexdigest()[:8]
