"""lock and unlock: only the token that holds a lock extends or releases it."""

from __future__ import annotations

import asyncio

from conduit.queue.base import Queue
from tests.conformance.backends import Backend
from tests.conformance.builders import SECOND


async def test_a_held_lock_is_not_given_to_another(backend: Backend) -> None:
    second = await backend.second()
    assert await backend.queue.lock("sweep", "mine", SECOND)
    assert not await second.lock("sweep", "theirs", SECOND)
    assert await second.lock("other", "theirs", SECOND)


async def test_its_holder_extends_a_lock(backend: Backend) -> None:
    queue = backend.queue
    await queue.lock("sweep", "mine", SECOND)
    backend.clock.advance(SECOND - 1)
    assert await queue.lock("sweep", "mine", SECOND)
    backend.clock.advance(SECOND - 1)
    assert not await queue.lock("sweep", "theirs", SECOND)


async def test_an_expired_lock_is_free(backend: Backend) -> None:
    queue = backend.queue
    await queue.lock("sweep", "mine", SECOND)
    backend.clock.advance(SECOND)
    assert await queue.lock("sweep", "theirs", SECOND)
    assert not await queue.lock("sweep", "mine", SECOND)


async def test_a_released_lock_is_free(queue: Queue) -> None:
    await queue.lock("sweep", "mine", SECOND)
    assert await queue.unlock("sweep", "mine")
    assert await queue.lock("sweep", "theirs", SECOND)


async def test_only_its_holder_releases_a_lock(queue: Queue) -> None:
    await queue.lock("sweep", "mine", SECOND)
    assert not await queue.unlock("sweep", "theirs")
    assert not await queue.lock("sweep", "theirs", SECOND)
    assert not await queue.unlock("nothing", "mine")


async def test_a_former_holder_does_not_release_its_successors_lock(backend: Backend) -> None:
    queue = backend.queue
    await queue.lock("sweep", "mine", SECOND)
    backend.clock.advance(SECOND)
    await queue.lock("sweep", "theirs", SECOND)
    assert not await queue.unlock("sweep", "mine")
    assert not await queue.lock("sweep", "third", SECOND)


async def test_one_of_many_gets_a_lock(backend: Backend) -> None:
    second = await backend.second()
    answers = await asyncio.gather(
        *(
            queue.lock("sweep", f"{number}-{queue is second}", SECOND)
            for number in range(10)
            for queue in (backend.queue, second)
        )
    )
    assert answers.count(True) == 1
