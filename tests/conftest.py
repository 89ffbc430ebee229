"""What every test can ask for."""

from __future__ import annotations

import signal
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.containers.fixtures", "tests.servers.fixtures"]


def pytest_configure() -> None:
    # A busy machine is no fault of what is tested.
    settings.register_profile(
        "unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    settings.load_profile("unhurried")
    # Started in the background by a shell, the tests ignore Ctrl-C, as would all they start.
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
