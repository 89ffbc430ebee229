"""Words for times, and addresses without their passwords."""

from __future__ import annotations

import io
import sys

import pytest

from conduit.cli.connect import masked
from conduit.cli.output import iso, printable, say, span
from conduit.cli.problems import show_crash


@pytest.mark.parametrize(
    ("ms", "words"),
    [
        (4, "4 ms"),
        (2_500, "2.50 s"),
        (42_000, "42 s"),
        (59_900, "1 min"),
        (200_000, "3 min 20 s"),
        (7_500_000, "2 h 5 min"),
        (86_400_000, "1 d"),
        (270_000_000, "3 d 3 h"),
    ],
)
def test_a_span_is_told_in_its_two_largest_units(ms: int, words: str) -> None:
    assert span(ms) == words


def test_times_are_iso_8601_in_utc() -> None:
    assert iso(1_700_000_000_123) == "2023-11-14T22:13:20.123Z"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite:///.conduit/queue.db", "sqlite:///.conduit/queue.db"),
        ("redis://:secret@host:6379/0", "redis://:***@host:6379/0"),
        ("redis://me:se:cret@host", "redis://me:***@host"),
        ("redis://me@host", "redis://me@host"),
    ],
)
def test_an_address_is_shown_without_its_password(url: str, shown: str) -> None:
    assert masked(url) == shown


def test_stored_words_cannot_drive_the_terminal() -> None:
    assert printable("a\x1b]0;title\x07\tb\n") == "a\\x1b]0;title\\x07\tb\n"


def test_what_is_said_while_a_task_has_stderr_closed_ends_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    say("starting")
    closed, open_again = io.StringIO(), io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)
    say("a banner")
    show_crash("orders", RuntimeError("boom"))
    monkeypatch.setattr(sys, "stderr", open_again)
    say("stopped")
    assert open_again.getvalue().endswith("stopped\n")
