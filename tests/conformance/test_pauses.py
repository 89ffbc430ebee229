"""Pauses of queues, functions and schedules are told on the event stream, each once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from conduit.queue.base import Queue, Registration
from tests.conformance.backends import Backend
from tests.conformance.builders import a_cron, a_worker

Switch = Callable[[Queue], Awaitable[object]]


async def told(queue: Queue) -> list[tuple[str, str]]:
    """The pauses that were told since the last look."""
    entries = await queue.read_events("server", "one", limit=100)
    reports = [report for stored in entries for report in stored.entry.reports]
    return [
        (report.kind, report.subject)
        for report in reports
        if report.kind.endswith((".paused", ".resumed"))
    ]


@pytest.mark.parametrize(
    ("kind", "pause", "resume"),
    [
        ("queue", lambda q: q.pause("nightly"), lambda q: q.resume("nightly")),
        ("function", lambda q: q.pause_function("nightly"), lambda q: q.resume_function("nightly")),
        (
            "cron",
            lambda q: q.pause_cron("nightly", paused=True),
            lambda q: q.pause_cron("nightly", paused=False),
        ),
    ],
    ids=["queue", "function", "cron"],
)
async def test_a_pause_and_its_end_are_told_unless_they_were_so_already(
    queue: Queue, kind: str, pause: Switch, resume: Switch
) -> None:
    await queue.register(Registration(worker=a_worker(), crons=(a_cron("nightly"),)))
    await resume(queue)
    assert await told(queue) == []
    for _ in range(2):
        await pause(queue)
    assert await told(queue) == [(f"{kind}.paused", "nightly")]
    for _ in range(2):
        await resume(queue)
    assert await told(queue) == [(f"{kind}.resumed", "nightly")]


async def test_a_pause_is_told_with_the_time_of_the_store(backend: Backend) -> None:
    queue = backend.queue
    await queue.pause("default")
    (stored,) = await queue.read_events("server", "one")
    (report,) = stored.entry.reports
    assert report.at == backend.clock.now


async def test_a_schedule_that_is_not_there_has_no_pause_to_tell(queue: Queue) -> None:
    assert not await queue.pause_cron("nobody", paused=True)
    assert await told(queue) == []
