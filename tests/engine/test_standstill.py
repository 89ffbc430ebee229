"""Workers whose slots are all held by jobs that wait for jobs."""

from __future__ import annotations

from collections.abc import Callable

import pytest

PATIENCE = 30.0
WORDS = "held by"


@pytest.fixture(autouse=True)
def queue_url(redis_or_sqlite: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> str:
    raise NotImplementedError
