"""A claimed job is held; it has begun when its function has."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from conduit.core.events import EventKind
from conduit.core.model import NewJob
from conduit.engine.attempts.function import Function, Hooks, Mode
from conduit.engine.context import Context, current_job
from tests.engine.bench import Bench, process_task, task
from tests.engine.process_jobs import clock, double, seconds_left
from tests.engine.services.slow_to_import import quick


async def clock_on_the_loop() -> tuple[float, float]:
    began = time.time()
    await asyncio.sleep(0.02)
    return began, time.time()


TASKS = {
    Mode.ASYNC: task(clock_on_the_loop, name="clock"),
    Mode.THREAD: task(clock),
    Mode.PROCESS: process_task(clock),
}
in_each_mode = pytest.mark.parametrize("function", TASKS.values(), ids=TASKS.keys())


@in_each_mode
async def test_a_job_has_started_when_its_function_began_not_when_it_was_claimed(
    bench: Bench, function: Function
) -> None:
    jobs = [await bench.submit("clock") for _ in range(3)]
    await bench.start(function, concurrency=1, processes=1, prefetch=2)
    last_end = 0.0
    for each in jobs:
        job = await bench.completed(each)
        assert job.result is not None
        assert job.claimed_at is not None
        assert job.started_at is not None
        assert job.finished_at is not None
        began, ended = json.loads(job.result)
        assert job.claimed_at <= job.started_at <= job.finished_at
        assert job.started_at >= int(last_end * 1000) - 1
        assert job.finished_at - job.started_at >= int((ended - began) * 1000) - 2
        last_end = ended


@in_each_mode
async def test_a_short_job_tells_its_begin_without_an_event_more(
    bench: Bench, function: Function
) -> None:
    await bench.start(function)
    job = await bench.run("clock")
    assert job.started_at is not None
    assert await bench.kinds(job.id) == [
        EventKind.SUBMITTED,
        EventKind.STARTED,
        EventKind.COMPLETED,
    ]
    assert (await bench.event(job.id, EventKind.COMPLETED)).started_at == job.started_at


async def test_a_heartbeat_tells_that_a_long_job_has_begun(bench: Bench) -> None:
    go = asyncio.Event()

    async def hold() -> None:
        await go.wait()

    job = await bench.submit("hold")
    await bench.start(task(hold), lease_ms=600)
    begun = await bench.event(job, EventKind.BEGUN)
    assert (await bench.job(job)).started_at == begun.started_at
    go.set()
    ended = await bench.completed(job)
    assert ended.started_at == begun.started_at
    assert (await bench.kinds(job)).count(EventKind.BEGUN) == 1


async def test_progress_brings_the_begin_along(bench: Bench) -> None:
    go = asyncio.Event()

    async def hold() -> None:
        current_job().set_progress(0.5)
        await go.wait()

    job = await bench.submit("hold")
    await bench.start(task(hold))
    progress = await bench.event(job, EventKind.PROGRESS)
    assert progress.started_at is not None
    assert (await bench.job(job)).started_at == progress.started_at
    go.set()
    await bench.completed(job)
    assert EventKind.BEGUN not in await bench.kinds(job)


async def test_a_job_has_not_begun_while_its_module_is_being_imported(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready = tmp_path / "ready"
    monkeypatch.setenv("CONDUIT_TEST_IMPORT_WAITS_FOR", str(ready))
    held = await bench.submit("quick")
    worker = await bench.start(process_task(quick, timeout=0.3), processes=1)
    claimed = await bench.event(held, EventKind.STARTED)
    await asyncio.sleep(0.5)  # longer than it may run
    job = await bench.job(held)
    assert (job.worker_id, job.claimed_at, job.started_at) == (worker.id, claimed.at, None)
    ready.touch()
    job = await bench.completed(held)
    assert job.started_at is not None
    assert job.started_at >= claimed.at + 500


async def test_a_job_that_is_cancelled_before_its_function_began_never_began(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONDUIT_TEST_IMPORT_WAITS_FOR", str(tmp_path / "never"))
    job = await bench.submit("quick")
    await bench.start(process_task(quick), processes=1)
    await bench.event(job, EventKind.STARTED)
    await bench.queue.cancel([job], "enough")
    assert (await bench.finished(job)).started_at is None


async def test_a_job_whose_arguments_are_wrong_never_began(bench: Bench) -> None:
    await bench.start(task(double))
    job = await bench.run("double", args=b'{"nubmer":1}')
    assert (job.reason, job.started_at) == ("bad_payload", None)


async def test_the_deadline_counts_from_the_begin(bench: Bench) -> None:
    before: list[Any] = []

    def note(context: Context) -> None:
        before.append(context.deadline)

    hooks = Hooks(on_start=note)
    await bench.start(
        process_task(seconds_left, timeout=60.0, hooks=hooks),
        task(seconds_left, name="in_a_thread", timeout=60.0, hooks=hooks),
    )
    for name in ("seconds_left", "in_a_thread"):
        job = await bench.completed(await bench.submit(name))
        assert 0 < float(job.result or b"nan") <= 60
    assert before == [None, None]


async def test_a_middleware_that_answers_in_the_functions_place_has_begun_the_job(
    bench: Bench,
) -> None:
    async def remembered(_: Context, __: Callable[[], Awaitable[Any]]) -> int:
        return 42

    await bench.start(task(double), middleware=[remembered])
    job = await bench.run("double", args=b'{"number":1}')
    assert job.result == b"42"
    assert job.started_at is not None


async def test_a_job_that_is_executed_at_once_has_started_when_its_function_began(
    bench: Bench,
) -> None:
    worker = await bench.start(task(double))
    job = await worker.execute(NewJob(id="now", function="double", args=b'{"number":1}'))
    assert job.claimed_at is not None
    assert job.started_at is not None
    assert job.claimed_at <= job.started_at
