"""The fixture that runs every test here against every backend."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from conduit.queue.base import Queue
from tests.conformance.backends import BACKENDS, Backend, server_for
from tests.conformance.history import check_history


@pytest.fixture(params=BACKENDS)
async def backend(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Backend]:
    """An empty, open store. After the test its event log is held to the rules in `history`."""
    backend = Backend(request.param, tmp_path, server_for(request.param, request))
    await backend.open()
    try:
        yield backend
        if backend.log_is_whole:
            await check_history(await backend.second())
    finally:
        await backend.close()


@pytest.fixture
def queue(backend: Backend) -> Queue:
    """The store's first queue, for tests that need no more."""
    return backend.queue
