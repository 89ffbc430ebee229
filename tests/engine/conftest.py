"""The bench that the engine's tests work at."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.engine.bench import Bench


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """An empty queue; the workers that a test starts on it end with the test."""
    bench = Bench(tmp_path)
    await bench.queue.open()
    try:
        yield bench
    finally:
        await bench.close()
