"""What every test can ask for."""

from __future__ import annotations

import signal
from collections.abc import Generator

import pytest

pytest_plugins = ["tests.containers.fixtures", "tests.servers.fixtures"]


def pytest_configure() -> None:
    """Started in the background by a shell, the tests ignore Ctrl-C, as would all they start."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Tests log text that UTF-8 can't carry, which must not break the line to xdist's workers."""
    report = yield
    report.sections = [(name, _carried(text)) for name, text in report.sections]
    return report


def _carried(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()
