"""open, close, now, health."""

from __future__ import annotations

import asyncio

import pytest

from conduit.core.errors import QueueError
from conduit.queue.base import Queue
from tests.conformance.backends import Backend
from tests.conformance.builders import claim_one, complete, get, running, submit


async def test_opening_twice_is_an_error(queue: Queue) -> None:
    with pytest.raises(QueueError):
        await queue.open()


async def test_closing_twice_is_fine(queue: Queue) -> None:
    await queue.close()
    await queue.close()


async def test_the_context_manager_opens_and_closes(backend: Backend) -> None:
    async with backend.connect() as queue:
        job = await submit(queue)
    assert (await get(backend.queue, job.id)).id == job.id


async def test_a_sibling_is_on_the_same_store_and_opened_by_itself(backend: Backend) -> None:
    job = await submit(backend.queue)
    sibling = backend.queue.sibling()
    assert (backend.queue.loop, sibling.loop) == (asyncio.get_running_loop(), None)
    async with sibling:
        assert sibling.loop is asyncio.get_running_loop()
        assert await sibling.now() == backend.clock.now
        assert (await claim_one(sibling)).id == job.id
    assert sibling.loop is None
    assert (await get(backend.queue, job.id)).status == "running"


async def test_what_was_answered_is_kept_over_a_reopen(backend: Backend) -> None:
    waiting = await submit(backend.queue, function="later")
    held = await running(backend.queue)

    queue = await backend.reopen()

    assert (await claim_one(queue, functions=("later",))).id == waiting.id
    await complete(queue, held)
    assert (await get(queue, held.id)).status == "completed"


async def test_two_queues_on_one_store_see_the_same_jobs(backend: Backend) -> None:
    job = await submit(backend.queue)
    second = await backend.second()
    assert (await claim_one(second)).id == job.id
    assert (await get(backend.queue, job.id)).status == "running"


async def test_now_is_the_stores_clock(backend: Backend) -> None:
    assert await backend.queue.now() == backend.clock.now
    backend.clock.advance(5)
    assert await backend.queue.now() == backend.clock.now


async def test_health_says_what_the_store_is(queue: Queue) -> None:
    health = await queue.health()
    assert health.backend
    assert "://" in health.address
    assert health.version
