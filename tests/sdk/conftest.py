"""A queue of its own for each test, found as users' programs find theirs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from conduit.queue import Queue, open_queue
from conduit.sdk.worker import Worker


@pytest.fixture(autouse=True)
def queue_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    url = f"sqlite:///{tmp_path / 'queue.db'}"
    monkeypatch.setenv("CONDUIT_QUEUE_URL", url)
    return url


ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
async def queue(queue_url: str) -> AsyncIterator[Queue]:
    """The same queue, looked at from beside."""
    async with open_queue(queue_url) as queue:
        yield queue


@pytest.fixture
def worker() -> Worker:
    return Worker("test", shutdown_timeout=5)


@pytest.fixture(params=["sqlite", "redis"])
def store_url(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> str:
    """A queue in both stores in turn, found as users' programs find theirs."""
    url = f"sqlite:///{tmp_path / 'queue.db'}"
    if request.param == "redis":
        server, namespace = (
            request.getfixturevalue("redis_url"),
            request.getfixturevalue("namespace"),
        )
        url = f"{server}?namespace={namespace}"
    monkeypatch.setenv("CONDUIT_QUEUE_URL", url)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return url
