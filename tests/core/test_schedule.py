from __future__ import annotations

import pickle
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from conduit.core.errors import InvalidScheduleError
from conduit.core.schedule import (
    CATCHUP_LIMIT,
    MISFIRE_GRACE_MS,
    NOTHING_DUE,
    Catchup,
    CronSchedule,
    Due,
    IntervalSchedule,
    Schedule,
    due_ticks,
    parse_schedule,
)

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


def at(text: str) -> int:
    """Epoch milliseconds of an ISO moment; UTC unless it says otherwise."""
    moment = datetime.fromisoformat(text)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def shown(tick: int, timezone: str) -> str:
    """What a clock of `timezone` shows at `tick`, with its offset."""
    return datetime.fromtimestamp(tick / 1000, ZoneInfo(timezone)).isoformat(timespec="minutes")


def walk(schedule: Schedule, after: int, until: int) -> list[int]:
    """All ticks in (after, until], one question at a time."""
    ticks: list[int] = []
    tick = schedule.next_after(after)
    while tick <= until:
        ticks.append(tick)
        tick = schedule.next_after(tick)
    return ticks


def ticks_shown(expression: str, timezone: str, after: str, until: str) -> list[str]:
    schedule = CronSchedule(expression, timezone)
    return [shown(tick, timezone) for tick in walk(schedule, at(after), at(until))]


# --- what can be written ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "first"),
    [
        ("30 9 * * *", "2026-11-04T09:30"),
        ("*/15 * * * *", "2026-11-04T00:15"),
        ("5,35 1-3/2 * * *", "2026-11-04T01:05"),
        ("0 0 * * mon", "2026-11-09T00:00"),
        ("0 0 * * 7", "2026-11-08T00:00"),
        ("0 0 * feb *", "2027-02-01T00:00"),
        ("0 0 L * *", "2026-11-30T00:00"),
        ("0 0 29 2 *", "2028-02-29T00:00"),
        ("0 0 13 * FRI", "2026-11-06T00:00"),
        ("  0   12 * * * ", "2026-11-04T12:00"),
        ("@hourly", "2026-11-04T01:00"),
        ("@daily", "2026-11-05T00:00"),
        ("@midnight", "2026-11-05T00:00"),
        ("@weekly", "2026-11-08T00:00"),
        ("@monthly", "2026-12-01T00:00"),
        ("@yearly", "2027-01-01T00:00"),
        ("@Annually", "2027-01-01T00:00"),
        ("@every 90s", "2026-11-04T00:01:30"),
        ("@every 5m", "2026-11-04T00:05"),
        ("@every 2h30m", "2026-11-04T01:00"),
        ("@every 1d", "2026-11-05T00:00"),
        ("@every 500ms", "2026-11-04T00:00:00.500"),
        (timedelta(minutes=20), "2026-11-04T00:20"),
    ],
)
def test_the_first_tick_after_a_wednesdays_midnight(spec: str | timedelta, first: str) -> None:
    assert parse_schedule(spec, "UTC").next_after(at("2026-11-04T00:00")) == at(first)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("0 9 * * *", "0 9 * * * Europe/Zurich"),
        ("0  9 * * mon-fri", "0 9 * * MON-FRI Europe/Zurich"),
        ("@daily", "0 0 * * * Europe/Zurich"),
        ("@every 90s", "every 90s"),
        ("@every 300s", "every 5m"),
        ("@every 2h30m", "every 150m"),
        ("@every 24h", "every 1d"),
        ("@every 1500ms", "every 1500ms"),
    ],
)
def test_a_schedule_says_what_it_is(spec: str, words: str) -> None:
    assert parse_schedule(spec, "Europe/Zurich").describe() == words


@pytest.mark.parametrize(
    ("spec", "timezone", "told"),
    [
        ("61 * * * *", "UTC", ["'61' is no minute", "0-59"]),
        ("0 24 * * *", "UTC", ["'24' is no hour", "0-23"]),
        ("0 0 32 * *", "UTC", ["'32' is no day-of-month", "1-31"]),
        ("0 0 * 13 *", "UTC", ["'13' is no month", "JAN-DEC"]),
        ("0 0 * * FRI-MON", "UTC", ["'FRI-MON' is no day-of-week", "FRI,SAT,SUN,MON"]),
        ("*/0 * * * *", "UTC", ["'*/0' is no minute"]),
        ("1,,2 * * * *", "UTC", ["'1,,2' is no minute"]),
        ("9" * 5000 + " * * * *", "UTC", ["is no minute"]),
        ("* * * *", "UTC", ["has 4 fields", "must have 5"]),
        ("* * * * * *", "UTC", ["has 6 fields", "@every 10s"]),
        ("0 0 31 2 *", "UTC", ["never comes due", "write L"]),
        ("0 0 31 4,6,9,11 *", "UTC", ["never comes due"]),
        ("", "UTC", ["is no schedule", "@every 5m"]),
        (None, "UTC", ["None is no schedule"]),
        (90, "UTC", ["90 is no schedule"]),
        ("@reboot", "UTC", ["'@reboot' is not a known schedule", "@daily"]),
        ("@every", "UTC", ["holds no duration", "@every 90s"]),
        ("@every 5 minutes", "UTC", ["holds no duration"]),
        ("@every -5s", "UTC", ["holds no duration"]),
        ("@every 0s", "UTC", ["interval of 0 s", "from 0.1 s"]),
        ("@every 99ms", "UTC", ["interval of 0.099 s", "from 0.1 s"]),
        ("@every 101000d", "UTC", ["100 years"]),
        ("@every 999999999999999w", "UTC", ["longer than 100 years"]),
        (timedelta(0), "UTC", ["interval of 0 s"]),
        (timedelta(seconds=-5), "UTC", ["interval of -5 s"]),
        (timedelta(seconds=1) / 3, "UTC", ["whole number of milliseconds"]),
        ("0 9 * * *", "Europe/Zuerich", ["'Europe/Zuerich'", "did you mean 'Europe/Zurich'"]),
        ("0 9 * * *", "New York", ["did you mean 'America/New_York'"]),
        ("0 9 * * *", "Europe", ["unknown time zone 'Europe'", "IANA"]),
        ("0 9 * * *", "", ["unknown time zone ''", "IANA"]),
        ("0 9 * * *", "../etc/passwd", ["unknown time zone", "IANA"]),
        ("0 9 * * *", None, ["unknown time zone None"]),
        ("@every 5m", "Mars/Olympus", ["unknown time zone 'Mars/Olympus'"]),
    ],
)
def test_a_schedule_that_cannot_work_is_refused_with_the_reason_and_a_way_out(
    spec: str, timezone: str, told: list[str]
) -> None:
    with pytest.raises(InvalidScheduleError) as caught:
        parse_schedule(spec, timezone)

    for words in told:
        assert words in str(caught.value)


def test_a_fingerprint_changes_with_the_schedule_and_with_nothing_else() -> None:
    specs = ["0 9 * * *", "0 10 * * *", "@every 90s", "@every 91s"]
    zones = ["UTC", "Europe/Zurich"]
    prints = {parse_schedule(spec, zone).fingerprint() for spec in specs for zone in zones}

    assert len(prints) == 6  # an interval is the same in all zones
    assert all(len(text) == 8 and int(text, 16) >= 0 for text in prints)
    assert CronSchedule("0 9 * * MON").fingerprint() == CronSchedule("0  9 * * mon").fingerprint()
    assert parse_schedule("@every 2m").fingerprint() == parse_schedule("@every 120s").fingerprint()


def test_the_fingerprint_of_a_schedule_stays_the_same_from_release_to_release() -> None:
    assert CronSchedule("0 9 * * *", "Europe/Zurich").fingerprint() == "14dad648"
    assert IntervalSchedule(timedelta(seconds=90)).fingerprint() == "84de197c"


@pytest.mark.parametrize("spec", ["*/30 * * * *", "@every 90s"])
def test_a_schedule_can_be_sent_to_another_process(spec: str) -> None:
    schedule = parse_schedule(spec, "Europe/Zurich")

    arrived = pickle.loads(pickle.dumps(schedule))

    assert arrived == schedule
    assert arrived.next_after(0) == schedule.next_after(0)


# --- where summer time begins and ends -------------------------------------------------------

# Europe/Zurich: 2026-03-29 02:00 -> 03:00, 2026-10-25 03:00 -> 02:00
# America/New_York: 2026-03-08 02:00 -> 03:00, 2026-11-01 02:00 -> 01:00
# Australia/Lord_Howe: 2026-04-05 02:00 -> 01:30, 2026-10-04 02:00 -> 02:30
# America/Havana: 2026-03-08 00:00 -> 01:00, 2026-11-01 01:00 -> 00:00

ZURICH, NEW_YORK = "Europe/Zurich", "America/New_York"
LORD_HOWE, HAVANA = "Australia/Lord_Howe", "America/Havana"


@pytest.mark.parametrize(
    ("expression", "timezone", "after", "until", "expected"),
    [
        (
            "30 2 * * *",
            ZURICH,
            "2026-03-28T00:00",
            "2026-03-30T12:00",
            ["2026-03-28T02:30+01:00", "2026-03-29T03:00+02:00", "2026-03-30T02:30+02:00"],
        ),
        (
            "*/20 2 * * *",
            ZURICH,
            "2026-03-28T12:00",
            "2026-03-29T12:00",
            ["2026-03-29T03:00+02:00"],
        ),
        (
            "0,30 1-3 * * *",
            ZURICH,
            "2026-03-28T12:00",
            "2026-03-29T12:00",
            [
                "2026-03-29T01:00+01:00",
                "2026-03-29T01:30+01:00",
                "2026-03-29T03:00+02:00",
                "2026-03-29T03:30+02:00",
            ],
        ),
        (
            "0 2 * * *",
            NEW_YORK,
            "2026-03-07T12:00",
            "2026-03-09T12:00",
            ["2026-03-08T03:00-04:00", "2026-03-09T02:00-04:00"],
        ),
        (
            "15 2 * * *",
            LORD_HOWE,
            "2026-10-03T00:00",
            "2026-10-05T00:00",
            ["2026-10-04T02:30+11:00", "2026-10-05T02:15+11:00"],
        ),
        (
            "0 0 * * *",
            HAVANA,
            "2026-03-07T12:00",
            "2026-03-09T12:00",
            ["2026-03-08T01:00-04:00", "2026-03-09T00:00-04:00"],
        ),
    ],
)
def test_a_time_that_the_clock_leaps_over_fires_once_right_after_the_leap(
    expression: str, timezone: str, after: str, until: str, expected: list[str]
) -> None:
    assert ticks_shown(expression, timezone, after, until) == expected


@pytest.mark.parametrize(
    ("expression", "timezone", "after", "until", "expected"),
    [
        (
            "30 2 * * *",
            ZURICH,
            "2026-10-24T12:00",
            "2026-10-26T12:00",
            ["2026-10-25T02:30+02:00", "2026-10-26T02:30+01:00"],
        ),
        (
            "*/30 2 * * *",
            ZURICH,
            "2026-10-24T12:00",
            "2026-10-25T12:00",
            ["2026-10-25T02:00+02:00", "2026-10-25T02:30+02:00"],
        ),
        (
            "0 */2 * * *",
            ZURICH,
            "2026-10-24T22:30",
            "2026-10-25T05:00",
            ["2026-10-25T02:00+02:00", "2026-10-25T04:00+01:00", "2026-10-25T06:00+01:00"],
        ),
        (
            "30 1 * * *",
            NEW_YORK,
            "2026-10-31T12:00",
            "2026-11-02T12:00",
            ["2026-11-01T01:30-04:00", "2026-11-02T01:30-05:00"],
        ),
        (
            "45 1 * * *",
            LORD_HOWE,
            "2026-04-04T00:00",
            "2026-04-06T00:00",
            ["2026-04-05T01:45+11:00", "2026-04-06T01:45+10:30"],
        ),
        (
            "0 0 * * *",
            HAVANA,
            "2026-10-31T12:00",
            "2026-11-02T12:00",
            ["2026-11-01T00:00-04:00", "2026-11-02T00:00-05:00"],
        ),
    ],
)
def test_a_time_that_the_clock_shows_twice_fires_the_first_time_only(
    expression: str, timezone: str, after: str, until: str, expected: list[str]
) -> None:
    assert ticks_shown(expression, timezone, after, until) == expected


@pytest.mark.parametrize(
    ("expression", "timezone", "after", "until", "expected"),
    [
        (
            "*/30 * * * *",
            ZURICH,
            "2026-03-29T00:10",
            "2026-03-29T01:30",
            ["2026-03-29T01:30+01:00", "2026-03-29T03:00+02:00", "2026-03-29T03:30+02:00"],
        ),
        (
            "15 0-23 * * *",
            NEW_YORK,
            "2026-03-08T06:00",
            "2026-03-08T08:00",
            ["2026-03-08T01:15-05:00", "2026-03-08T03:15-04:00"],
        ),
        (
            "15 * * * *",
            LORD_HOWE,
            "2026-10-03T14:30",
            "2026-10-03T17:00",
            ["2026-10-04T01:15+10:30", "2026-10-04T03:15+11:00"],
        ),
    ],
)
def test_an_expression_for_every_hour_does_not_make_up_for_an_hour_that_never_was(
    expression: str, timezone: str, after: str, until: str, expected: list[str]
) -> None:
    assert ticks_shown(expression, timezone, after, until) == expected


@pytest.mark.parametrize(
    ("expression", "timezone", "after", "until", "expected"),
    [
        (
            "*/30 * * * *",
            ZURICH,
            "2026-10-24T23:30",
            "2026-10-25T02:00",
            [
                "2026-10-25T02:00+02:00",
                "2026-10-25T02:30+02:00",
                "2026-10-25T02:00+01:00",
                "2026-10-25T02:30+01:00",
                "2026-10-25T03:00+01:00",
            ],
        ),
        (
            "@hourly",
            NEW_YORK,
            "2026-11-01T04:30",
            "2026-11-01T07:00",
            ["2026-11-01T01:00-04:00", "2026-11-01T01:00-05:00", "2026-11-01T02:00-05:00"],
        ),
        (
            "15,45 * * * *",
            LORD_HOWE,
            "2026-04-04T14:00",
            "2026-04-04T16:00",
            [
                "2026-04-05T01:15+11:00",
                "2026-04-05T01:45+11:00",
                "2026-04-05T01:45+10:30",
                "2026-04-05T02:15+10:30",
            ],
        ),
    ],
)
def test_an_expression_for_every_hour_fires_in_the_repeated_hour_too(
    expression: str, timezone: str, after: str, until: str, expected: list[str]
) -> None:
    assert ticks_shown(expression, timezone, after, until) == expected


# --- what holds for every schedule -----------------------------------------------------------

CHANGES = [
    at(moment)
    for moment in [
        "2026-03-29T01:00",
        "2026-10-25T01:00",
        "2026-03-08T07:00",
        "2026-11-01T06:00",
        "2026-04-04T15:00",
        "2026-10-03T15:30",
        "2026-03-08T05:00",
        "2026-11-01T05:00",
    ]
]
minutes = st.sampled_from(["0", "30", "45", "*/20", "7,52", "10-12", "*"])
hours = st.sampled_from(["*", "0", "1", "2", "*/2", "1-3", "23", "0-23", "2,3"])
days = st.sampled_from(["*", "1", "25", "L", "*/5"])
weekdays = st.sampled_from(["*", "SUN", "MON-FRI", "6#1"])
zones = st.sampled_from([ZURICH, NEW_YORK, LORD_HOWE, HAVANA, "UTC", "Asia/Kolkata"])
crons = st.builds(
    lambda minute, hour, day, weekday, zone: CronSchedule(
        f"{minute} {hour} {day} * {weekday}", zone
    ),
    minutes,
    hours,
    days,
    weekdays,
    zones,
)
intervals = st.builds(
    lambda ms: IntervalSchedule(timedelta(milliseconds=ms)),
    st.integers(min_value=60_000, max_value=3 * DAY_MS),
)
schedules = crons | intervals
near_changes = st.builds(
    lambda change, shift: change + shift,
    st.sampled_from(CHANGES),
    st.integers(min_value=-4 * 3_600_000, max_value=4 * 3_600_000),
)
moments = near_changes | st.integers(min_value=at("2020-01-01"), max_value=at("2035-01-01"))
spans = st.integers(min_value=0, max_value=8 * 3_600_000)


@given(schedules, moments)
def test_the_next_tick_is_later_than_the_moment_asked_for(schedule: Schedule, now: int) -> None:
    assert schedule.next_after(now) > now


@given(schedules, moments)
def test_no_tick_lies_between_a_moment_and_the_next_tick(schedule: Schedule, now: int) -> None:
    tick = schedule.next_after(now)

    assert schedule.next_after(tick - 1) == tick
    assert schedule.next_after((now + tick) // 2) in {tick, schedule.next_after(tick)}
    assert schedule.ticks_between(now, tick, limit=10) == [tick]


@given(schedules, moments, st.integers(min_value=0, max_value=DAY_MS))
def test_asking_later_never_answers_earlier(schedule: Schedule, now: int, later: int) -> None:
    assert schedule.next_after(now) <= schedule.next_after(now + later)


@given(schedules, moments, spans, st.integers(min_value=1, max_value=600))
@example(CronSchedule("* * * * *", ZURICH), at("2026-10-24T23:00"), 4 * 3_600_000, 500)
@example(CronSchedule("* * * * *", LORD_HOWE), at("2026-04-04T13:00"), 4 * 3_600_000, 100)
@example(CronSchedule("* 2 * * *", ZURICH), at("2026-10-24T23:00"), 4 * 3_600_000, 30)
@example(CronSchedule("* 2 * * *", ZURICH), at("2026-10-24T23:00"), 135 * 60_000, 30)
def test_ticks_of_a_span_are_those_met_one_by_one_and_the_newest_if_too_many(
    schedule: Schedule, after: int, span: int, limit: int
) -> None:
    ticks = schedule.ticks_between(after, after + span, limit=limit)

    assert ticks == walk(schedule, after, after + span)[-limit:]
    assert all(one < other for one, other in pairwise(ticks))


@given(schedules, moments, spans, spans)
def test_a_span_cut_in_two_fires_each_tick_once(
    schedule: Schedule, after: int, first: int, second: int
) -> None:
    middle, until = after + first, after + first + second

    halves = [
        *schedule.ticks_between(after, middle, limit=2000),
        *schedule.ticks_between(middle, until, limit=2000),
    ]

    assert halves == schedule.ticks_between(after, until, limit=4000)


def minute_by_minute(
    minutes: set[int], hours: set[int], timezone: str, after: int, until: int
) -> list[int]:
    """The ticks in (after, until] by looking at the clock at every whole minute."""
    zone, ticks = ZoneInfo(timezone), []
    first = after // 60_000 * 60_000
    before = datetime.fromtimestamp(first / 1000, zone)
    for moment in range(first + 60_000, until + 1, 60_000):
        local = datetime.fromtimestamp(moment / 1000, zone)
        wall = local.replace(tzinfo=None)
        passed = [wall]
        if hours != set(range(24)):
            wall = max(wall - timedelta(hours=1), before.replace(tzinfo=None))
            passed = []
            while wall < local.replace(tzinfo=None) and local.fold == 0:
                wall += timedelta(minutes=1)
                passed.append(wall)
        if any(time.minute in minutes and time.hour in hours for time in passed):
            ticks.append(moment)
        before = local
    return ticks


@given(
    st.sets(st.integers(min_value=0, max_value=59), min_size=1),
    st.sets(st.integers(min_value=0, max_value=4), min_size=1) | st.just(set(range(24))),
    st.sampled_from([ZURICH, NEW_YORK, LORD_HOWE, HAVANA]),
    near_changes,
    spans,
)
def test_cron_ticks_are_those_found_by_looking_at_the_clock_every_minute(
    minutes: set[int], hours: set[int], timezone: str, after: int, span: int
) -> None:
    expression = f"{','.join(map(str, minutes))} {','.join(map(str, hours))} * * *"
    schedule = CronSchedule(expression, timezone)

    ticks = schedule.ticks_between(after, after + span, limit=10_000)

    assert ticks == minute_by_minute(minutes, hours, timezone, after, after + span)


def test_years_of_an_interval_of_a_tenth_of_a_second_cost_only_the_ticks_asked_for() -> None:
    schedule = IntervalSchedule(timedelta(milliseconds=100))
    now = at("2026-11-04T00:00")

    assert schedule.ticks_between(0, now, limit=3) == [now - 200, now - 100, now]


def test_years_of_a_cron_for_every_minute_cost_only_the_ticks_asked_for() -> None:
    now = at("2026-11-04T00:00")

    ticks = CronSchedule("* * * * *", ZURICH).ticks_between(0, now, limit=2)

    assert ticks == [now - 60_000, now]


@pytest.mark.parametrize("spec", ["* * * * *", "0 9 * * *", "@every 1m"])
def test_an_empty_span_holds_no_ticks(spec: str) -> None:
    now = at("2026-11-04T09:00")

    assert parse_schedule(spec).ticks_between(now, now, limit=10) == []
    assert parse_schedule(spec).ticks_between(now + DAY_MS, now, limit=10) == []


@given(st.integers(min_value=100, max_value=10 * DAY_MS), moments, moments)
def test_interval_ticks_do_not_depend_on_when_a_worker_started(
    every_ms: int, one_start: int, other_start: int
) -> None:
    schedule = IntervalSchedule(timedelta(milliseconds=every_ms))

    apart = schedule.next_after(one_start) - schedule.next_after(other_start)

    assert apart % every_ms == 0


# --- what is fired after a pause -------------------------------------------------------------

NOON = at("2026-11-04T12:00")
HOURLY = CronSchedule("0 * * * *")


@pytest.mark.parametrize("catchup", Catchup)
def test_a_tick_on_time_is_fired_under_every_policy(catchup: Catchup) -> None:
    due = due_ticks(HOURLY, last_tick=NOON - HOUR_MS, now=NOON + 5, catchup=catchup)

    assert due == Due((NOON,), passed=0, upto=NOON)


@pytest.mark.parametrize("catchup", Catchup)
def test_between_ticks_nothing_is_due(catchup: Catchup) -> None:
    due = due_ticks(HOURLY, last_tick=NOON, now=NOON + HOUR_MS - 1, catchup=catchup)

    assert due == NOTHING_DUE


@pytest.mark.parametrize("catchup", Catchup)
@pytest.mark.parametrize("back", [0, 1, 10 * DAY_MS])
def test_a_clock_that_went_back_fires_nothing_twice(catchup: Catchup, back: int) -> None:
    assert due_ticks(HOURLY, last_tick=NOON, now=NOON - back, catchup=catchup) == NOTHING_DUE


def test_skip_drops_ticks_that_are_late_and_says_how_many() -> None:
    def due(now: int) -> Due:
        return due_ticks(HOURLY, last_tick=NOON - 5 * HOUR_MS, now=now, catchup=Catchup.SKIP)

    assert due(NOON + MISFIRE_GRACE_MS) == Due((NOON,), passed=4, upto=NOON)
    assert due(NOON + MISFIRE_GRACE_MS + 1) == Due((), passed=5, upto=NOON)


def test_skip_fires_only_the_newest_of_several_within_the_grace() -> None:
    every_second = IntervalSchedule(timedelta(seconds=1))

    due = due_ticks(every_second, last_tick=NOON - 30_000, now=NOON + 1, catchup=Catchup.SKIP)

    assert due == Due((NOON,), passed=29, upto=NOON)


def test_one_fires_the_newest_tick_however_late_and_says_how_many_it_stands_for() -> None:
    monthly = CronSchedule("@monthly")

    due = due_ticks(monthly, last_tick=at("2026-01-01"), now=NOON, catchup=Catchup.ONE)

    assert due == Due((at("2026-11-01"),), passed=9, upto=at("2026-11-01"))


def test_all_fires_every_tick_that_was_missed_in_order() -> None:
    due = due_ticks(HOURLY, last_tick=NOON - 3 * HOUR_MS, now=NOON + 1, catchup=Catchup.ALL)

    assert due.fire == (NOON - 2 * HOUR_MS, NOON - HOUR_MS, NOON)
    assert due.passed == 0


def test_all_makes_up_for_the_newest_thousand_ticks_at_most() -> None:
    every_second = IntervalSchedule(timedelta(seconds=1))

    due = due_ticks(every_second, last_tick=0, now=NOON, catchup=Catchup.ALL)

    assert len(due.fire) == CATCHUP_LIMIT
    assert due.fire[-1] == NOON
    assert due.fire[0] == NOON - (CATCHUP_LIMIT - 1) * 1000
    assert due.passed


@pytest.mark.parametrize(
    ("expression", "instead"),
    [
        ("*/70 * * * *", "use @every 70m"),
        ("*/61 * * * *", "use @every 61m"),
        ("0 */25 * * *", "use @every 25h"),
        ("0 0 */32 * *", "use @every 32d"),
        ("0 0 1 */13 *", "name each month"),
        ("0 0 * * */8", "name each day-of-week"),
        ("0-30/70 * * * *", "use @every 70m"),
        ("1,5/99 * * * *", "use @every 99m"),
    ],
)
def test_a_step_that_is_longer_than_its_field_is_refused(expression: str, instead: str) -> None:
    with pytest.raises(InvalidScheduleError, match=instead):
        parse_schedule(expression)


@pytest.mark.parametrize(
    "expression", ["*/60 * * * *", "0 */24 * * *", "0 0 */31 * *", "0 0 1 */12 *"]
)
def test_a_step_as_long_as_its_field_is_taken(expression: str) -> None:
    assert parse_schedule(expression).spec() == expression


@pytest.mark.parametrize("spec", ["@EVERY 5M", "@Every 5m", " @every 5M "])
def test_an_interval_may_be_written_in_capitals(spec: str) -> None:
    assert parse_schedule(spec) == IntervalSchedule(timedelta(minutes=5))


@pytest.mark.parametrize("spec", ["0 9 * * MON", "@daily", timedelta(seconds=90), "@every 2h30m"])
def test_a_schedules_spec_parses_back_to_the_same_schedule(spec: str | timedelta) -> None:
    schedule = parse_schedule(spec, "Europe/Zurich")
    assert parse_schedule(schedule.spec(), "Europe/Zurich") == schedule
