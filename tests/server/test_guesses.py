"""How many wrong keys are put up with."""

from __future__ import annotations

from itertools import count

import pytest

from conduit.server.http import sign_in_limiter as guesses
from conduit.server.http.problems import ProblemError
from conduit.server.http.sign_in_limiter import (
    MOST_ADDRESSES,
    MOST_OF_ALL,
    MOST_OF_ONE,
    WINDOW_S,
    Guesses,
)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def counted(clock: Clock) -> Guesses:
    return Guesses(clock)


_numbers = count()


def guess(counted: Guesses, address: str | None, times: int = 1) -> None:
    for _ in range(times):
        counted.check(address)
        counted.note(address, b"key %d" % next(_numbers))


def repeat(counted: Guesses, address: str, times: int) -> None:
    for _ in range(times):
        counted.check(address)
        counted.note(address, b"old key")


def test_an_address_that_guesses_too_often_waits_until_the_minute_is_over(
    counted: Guesses, clock: Clock
) -> None:
    guess(counted, "192.0.2.1", MOST_OF_ONE)
    clock.now += 20.5
    with pytest.raises(ProblemError) as refused:
        counted.check("192.0.2.1")
    assert (refused.value.status, refused.value.headers) == (429, {"Retry-After": "40"})
    counted.check("192.0.2.2")
    clock.now += WINDOW_S - 20.5
    guess(counted, "192.0.2.1", MOST_OF_ONE)


def test_the_same_wrong_key_again_is_no_guess(counted: Guesses) -> None:
    repeat(counted, "192.0.2.1", MOST_OF_ALL + 1)
    guess(counted, "192.0.2.1", MOST_OF_ONE - 1)
    with pytest.raises(ProblemError):
        counted.check("192.0.2.1")
    guess(counted, "192.0.2.2", MOST_OF_ONE)


def test_what_one_minute_brought_counts_for_nothing_in_the_next(
    counted: Guesses, clock: Clock
) -> None:
    for number in range(MOST_OF_ALL):
        guess(counted, f"192.0.2.{number}")
    clock.now += WINDOW_S
    guess(counted, "192.0.2.1", MOST_OF_ONE)


def test_when_many_addresses_guess_one_wrong_key_is_enough_and_none_is_none(
    counted: Guesses,
) -> None:
    for number in range(MOST_OF_ALL):
        guess(counted, f"192.0.2.{number}")
    with pytest.raises(ProblemError):
        counted.check("192.0.2.7")
    counted.check("198.51.100.1")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2001:db8::1", "2001:db8::ffff:2"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        (None, ""),
        ("a" * 64 + "b", "a" * 64 + "c"),
    ],
)
def test_addresses_of_one_caller_are_counted_as_one(
    counted: Guesses, one: str | None, other: str
) -> None:
    guess(counted, one, MOST_OF_ONE)
    with pytest.raises(ProblemError):
        counted.check(other)
    counted.check("2001:db8:0:1::1")


def test_memory_is_bounded_and_the_rest_is_counted_as_one(
    counted: Guesses, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guesses, "MOST_OF_ALL", 10**9)
    for number in range(MOST_ADDRESSES):
        guess(counted, f"a{number}")
    guess(counted, "late-1", MOST_OF_ONE // 2)
    guess(counted, "late-2", MOST_OF_ONE - MOST_OF_ONE // 2)
    with pytest.raises(ProblemError):
        counted.check("late-3")
    counted.check("a1")
