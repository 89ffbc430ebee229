from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conduit.core.errors import InvalidPatternError
from conduit.core.patterns import (
    MAX_NAME_LENGTH,
    compile_pattern,
    matches,
    validate_event_name,
)

segments = st.text(string.ascii_letters + string.digits + "_-", min_size=1, max_size=8)
names = st.lists(segments, min_size=1, max_size=6).map(".".join)


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("order.placed", "order.placed"),
        ("order.*", "order.placed"),
        ("*.placed", "order.placed"),
        ("*", "order"),
        ("order.pla*", "order.placed"),
        ("order.pla*", "order.pla"),
        ("order.*ed", "order.placed"),
        ("order.p*c*d", "order.placed"),
        ("or*.*.added", "order.item.added"),
        ("order.**", "order.placed"),
        ("order.**", "order.item.added.twice"),
        ("**", "order"),
        ("**", "order.item.added"),
        ("**.added", "order.item.added"),
        ("order.**.added", "order.item.line.added"),
        ("**.item.**", "order.item.added"),
        ("a-b_C9.*", "a-b_C9.x"),
    ],
)
def test_a_pattern_takes_the_names_it_stands_for(pattern: str, name: str) -> None:
    assert matches(pattern, name)


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("order.placed", "order.placed.twice"),
        ("order.placed", "Order.placed"),
        ("order.placed", "orderXplaced"),
        ("order.*", "order"),
        ("order.*", "order.item.added"),
        ("*", "order.placed"),
        ("*.placed", "placed"),
        ("order.pla*", "order.pla.ced"),
        ("order*", "order.placed"),
        ("order.**", "order"),
        ("order.**", "orders.placed"),
        ("**.added", "added"),
        ("order.**.added", "order.added"),
        ("**.**", "order"),
    ],
)
def test_a_pattern_leaves_other_names_alone(pattern: str, name: str) -> None:
    assert not matches(pattern, name)


@pytest.mark.parametrize("name", ["", "order.", ".order", "a..b", "order placed", "order.placed\n"])
@pytest.mark.parametrize("pattern", ["**", "*", "*.*", "order.*", "order.placed"])
def test_what_is_no_event_name_matches_nothing(pattern: str, name: str) -> None:
    assert not matches(pattern, name)


@given(names)
def test_every_name_is_valid_and_matches_itself_and_the_pattern_for_all(name: str) -> None:
    validate_event_name(name)

    assert matches(name, name)
    assert matches("**", name)


@given(names, names)
def test_a_name_used_as_a_pattern_matches_nothing_else(pattern: str, name: str) -> None:
    assert matches(pattern, name) == (pattern == name)


@given(names, names)
def test_a_prefix_with_two_stars_takes_exactly_what_lies_below_it(prefix: str, name: str) -> None:
    assert matches(f"{prefix}.**", f"{prefix}.{name}")
    assert matches(f"{prefix}.**", name) == name.startswith(f"{prefix}.")


@given(names, st.data())
def test_a_star_in_place_of_any_segment_still_matches(name: str, data: st.DataObject) -> None:
    parts = name.split(".")
    position = data.draw(st.integers(min_value=0, max_value=len(parts) - 1))
    parts[position] = data.draw(st.sampled_from(["*", "**", parts[position][:1] + "*"]))

    assert matches(".".join(parts), name)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "empty"),
        ("order.", "single dot between"),
        (".order", "single dot between"),
        ("order..placed", "single dot between"),
        ("order placed", "letters, digits"),
        ("order/placed", "letters, digits"),
        ("bestellung.für", "letters, digits"),
        ("order.placed\n", "letters, digits"),
        ("order.*", "wildcard"),
        ("**", "wildcard"),
        ("a" * (MAX_NAME_LENGTH + 1), "256 characters"),
    ],
)
def test_a_name_that_cannot_be_published_is_refused_with_the_reason(name: str, reason: str) -> None:
    with pytest.raises(InvalidPatternError, match=reason):
        validate_event_name(name)


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("", "empty"),
        ("order.", "empty segment"),
        (".*", "empty segment"),
        ("order..*", "empty segment"),
        ("order.a**", "of its own"),
        ("***", "of its own"),
        ("order.[ab]", "letters, digits"),
        ("order.?", "letters, digits"),
        ("order placed", "letters, digits"),
        ("*." * MAX_NAME_LENGTH, "characters"),
    ],
)
def test_a_malformed_pattern_is_refused_with_the_reason(pattern: str, reason: str) -> None:
    with pytest.raises(InvalidPatternError, match=reason):
        compile_pattern(pattern)
    with pytest.raises(InvalidPatternError, match=reason):
        matches(pattern, "order.placed")


def test_the_longest_name_is_published_and_matched() -> None:
    name = "a" * MAX_NAME_LENGTH

    validate_event_name(name)

    assert matches("*", name)
    assert not matches("*", name + "a")
