"""Names of files: what every store and every address can carry."""

from __future__ import annotations

import pytest

from conduit.core.names import is_file_name


@pytest.mark.parametrize(
    "name",
    [
        "report.csv",
        "a b",
        "9.41\u202fAM.png",
        "a\u200bb",
        "\u2028",
        "\ufeffx",
        "\ue000",
        "...",
        "a/b",
    ],
)
def test_a_name_may_have_any_characters_that_are_not_of_control(name: str) -> None:
    assert is_file_name(name)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a\n", "\x00", "\x7f", "\x85", "\ud800", "x" * 256]
)
def test_a_name_that_some_store_or_address_cannot_carry_is_none(name: str) -> None:
    assert not is_file_name(name)
