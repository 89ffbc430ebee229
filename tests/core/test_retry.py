from __future__ import annotations

import math
import traceback
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conduit.core.errors import ConduitError, InvalidTaskError
from conduit.core.retry import DEFAULT_MAX_DELAY, LONGEST_DELAY, RetryPolicy

seconds = st.floats(min_value=0, max_value=LONGEST_DELAY)
chances = st.floats(min_value=0, max_value=1, exclude_max=True)
fractions = st.floats(min_value=0, max_value=1)
growths = st.floats(min_value=1, max_value=1000)
counts = st.integers(min_value=1, max_value=10**400)


def waits(policy: RetryPolicy, failures: int) -> list[float]:
    return [policy.delay_before(n, random=0.0) for n in range(1, failures + 1)]


def test_a_task_is_not_retried_unless_asked() -> None:
    assert RetryPolicy().retries == 0


def test_waits_double_by_default() -> None:
    assert waits(RetryPolicy(retries=4), 4) == [1, 2, 4, 8]


def test_a_list_gives_the_waits_one_by_one_and_its_last_for_all_further_retries() -> None:
    assert waits(RetryPolicy(delay=[1, timedelta(minutes=1), 5]), 5) == [1, 60, 5, 5, 5]


def test_a_list_has_a_longest_wait_as_well() -> None:
    assert waits(RetryPolicy(delay=[1, 7200]), 3) == [1, 7200, 7200]
    with pytest.raises(InvalidTaskError, match="retry_max_delay=60 is shorter"):
        RetryPolicy(delay=[1, 7200], max_delay=60)


def test_spans_are_taken_for_seconds() -> None:
    policy = RetryPolicy(delay=timedelta(seconds=5), max_delay=timedelta(seconds=15))
    assert waits(policy, 4) == [5, 10, 15, 15]


def test_a_backoff_has_no_meaning_beside_a_list() -> None:
    with pytest.raises(InvalidTaskError, match="retry_backoff=3 has no effect on a list"):
        RetryPolicy(delay=[1, 2], backoff=3)


@pytest.mark.parametrize("delay", [[], [1, -1], [1, "2"], "5", timedelta(days=-1)])
def test_waits_that_cannot_work_are_refused_by_their_option(delay: Any) -> None:
    with pytest.raises(InvalidTaskError, match="retry_delay="):
        RetryPolicy(delay=delay)


def test_a_backoff_of_one_keeps_the_wait_fixed() -> None:
    assert waits(RetryPolicy(delay=5, backoff=1), 4) == [5, 5, 5, 5]


def test_waits_stop_growing_at_the_cap() -> None:
    assert waits(RetryPolicy(delay=10, backoff=3, max_delay=60), 4) == [10, 30, 60, 60]


def test_without_a_cap_waits_stop_growing_at_an_hour() -> None:
    assert RetryPolicy().delay_before(1000, random=0.0) == DEFAULT_MAX_DELAY


def test_without_a_cap_a_delay_of_more_than_an_hour_is_kept() -> None:
    assert waits(RetryPolicy(delay=7200), 3) == [7200, 7200, 7200]


def test_jitter_takes_up_to_its_fraction_off_the_wait() -> None:
    policy = RetryPolicy(delay=100, jitter=0.5)

    assert policy.delay_before(1, random=0.0) == 100
    assert policy.delay_before(1, random=0.5) == 75
    assert policy.delay_before(1, random=0.999) == pytest.approx(50.05)


def test_full_jitter_may_leave_next_to_no_wait() -> None:
    assert RetryPolicy(delay=100, jitter=1).delay_before(1, random=0.999) == pytest.approx(0.1)


def test_without_jitter_chance_has_no_say() -> None:
    assert RetryPolicy(delay=100, jitter=0).delay_before(1, random=0.7) == 100


@given(seconds, growths, seconds, fractions, counts, chances)
def test_a_wait_lies_between_nothing_and_the_cap_after_any_number_of_failures(
    delay: float, backoff: float, room: float, jitter: float, failures: int, random: float
) -> None:
    cap = min(delay + room, LONGEST_DELAY)
    policy = RetryPolicy(delay=delay, backoff=backoff, max_delay=cap, jitter=jitter)

    assert 0 <= policy.delay_before(failures, random=random) <= cap


@given(seconds, growths, st.none() | st.just(LONGEST_DELAY), counts)
def test_waits_never_shrink(delay: float, backoff: float, cap: float | None, failures: int) -> None:
    policy = RetryPolicy(delay=delay, backoff=backoff, max_delay=cap)

    shorter = policy.delay_before(failures, random=0.0)
    assert shorter <= policy.delay_before(failures + 1, random=0.0)


@given(seconds, fractions, counts, chances)
def test_jitter_takes_no_more_than_its_fraction(
    delay: float, jitter: float, failures: int, random: float
) -> None:
    policy = RetryPolicy(delay=delay, jitter=jitter)
    wait = policy.delay_before(failures, random=0.0)

    assert (1 - jitter) * wait <= policy.delay_before(failures, random=random) <= wait


@pytest.mark.parametrize("error", [ValueError(), OSError(), ConduitError()])
def test_by_default_any_exception_is_retried(error: BaseException) -> None:
    assert RetryPolicy().allows(error)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(), GeneratorExit()])
def test_by_default_a_request_to_stop_is_not_retried(error: BaseException) -> None:
    assert not RetryPolicy().allows(error)


@pytest.mark.parametrize("retry_on", [OSError, (OSError, KeyError), [KeyError, OSError]])
def test_only_the_named_errors_and_their_children_are_retried(retry_on: Any) -> None:
    policy = RetryPolicy(retry_on=retry_on)

    assert policy.allows(OSError())
    assert policy.allows(ConnectionResetError())
    assert not policy.allows(ValueError())


def test_a_function_decides_which_errors_are_retried() -> None:
    policy = RetryPolicy(retry_on=lambda error: "busy" in str(error))

    assert policy.allows(RuntimeError("server busy"))
    assert not policy.allows(RuntimeError("no such user"))


def test_an_error_in_the_deciding_function_ends_the_retries_and_shows_in_the_traceback() -> None:
    error = RuntimeError("boom")

    assert not RetryPolicy(retry_on=lambda e: e.status > 500).allows(error)

    shown = "".join(traceback.format_exception(error))
    assert "boom" in shown
    assert "retry_on raised AttributeError" in shown


def test_policies_of_equal_options_are_equal() -> None:
    assert RetryPolicy(retry_on=OSError) == RetryPolicy(retry_on=[OSError])
    assert hash(RetryPolicy(retry_on=OSError)) == hash(RetryPolicy(retry_on=(OSError,)))


async def later(error: BaseException) -> bool:
    return True


@pytest.mark.parametrize(
    ("option", "value", "named"),
    [
        ("retries", -1, "retries=-1"),
        ("retries", 1.5, "retries=1.5"),
        ("retries", True, "retries=True"),
        ("retries", None, "retries=None"),
        ("retries", 10**19, "retries="),
        ("delay", -0.1, "retry_delay=-0.1"),
        ("delay", math.nan, "retry_delay=nan"),
        ("delay", math.inf, "retry_delay=inf"),
        ("delay", "1", "retry_delay='1'"),
        ("delay", LONGEST_DELAY + 1, "retry_delay="),
        ("backoff", 0.5, "retry_backoff=0.5"),
        ("backoff", math.nan, "retry_backoff=nan"),
        ("backoff", 10**400, "retry_backoff="),
        ("max_delay", -1, "retry_max_delay=-1"),
        ("max_delay", math.nan, "retry_max_delay=nan"),
        ("max_delay", "1h", "retry_max_delay='1h'"),
        ("max_delay", 0.5, "retry_max_delay=0.5 is shorter than retry_delay"),
        ("jitter", -0.1, "retry_jitter=-0.1"),
        ("jitter", 1.1, "retry_jitter=1.1"),
        ("jitter", False, "retry_jitter=False"),
        ("retry_on", (), "retry_on="),
        ("retry_on", 42, "retry_on=42"),
        ("retry_on", int, "retry_on="),
        ("retry_on", (OSError, "TimeoutError"), "retry_on="),
        ("retry_on", (OSError, OSError()), "retry_on="),
        ("retry_on", later, "coroutine function"),
    ],
)
def test_an_option_that_cannot_work_is_named(option: str, value: object, named: str) -> None:
    with pytest.raises(InvalidTaskError) as caught:
        RetryPolicy(**{option: value})  # pyright: ignore[reportArgumentType]

    assert named in str(caught.value)
