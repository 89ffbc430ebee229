"""`conduit.observe`: what a process tells of itself, and that no listener can harm it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest

import conduit
from conduit import SubmitConflictError, Worker, telemetry
from conduit.core.model import NewJob
from conduit.queue import open_queue
from conduit.queue.base import Claim
from tests.sdk.support import run_script

pytestmark = pytest.mark.usefixtures("store_url")

E = TypeVar("E", bound=telemetry.Event)


class Heard:
    """What a listener was told, of one kind at a time."""

    def __init__(self) -> None:
        self.events: list[telemetry.Event] = []
        self._news = threading.Condition()

    def __call__(self, event: telemetry.Event) -> None:
        with self._news:
            self.events.append(event)
            self._news.notify_all()

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    async def first(self, kind: type[E], where: Callable[[E], bool] = lambda _: True) -> E:
        """The first event that is so, once it was told."""

        def wait() -> E:
            with self._news:
                assert self._news.wait_for(lambda: any(map(where, self.of(kind))), 40)
                return next(filter(where, self.of(kind)))

        return await asyncio.to_thread(wait)


@contextmanager
def listening() -> Iterator[Heard]:
    heard = Heard()
    with conduit.observe(heard):
        yield heard


async def double(number: int) -> int:
    return 2 * number


# --- what is told ----------------------------------------------------------------------------


async def test_a_job_is_told_of_from_its_submit_to_its_end() -> None:
    worker = Worker("w")
    task = worker.task(double)
    with listening() as heard:
        async with worker:
            result = await task.options(delay=0.2).wait(21)
            await worker.stop()
    job = telemetry.JobRef(result.job_id, "double", "default")
    (submit,) = heard.of(telemetry.Submit)
    assert (submit.origin, submit.jobs, submit.duplicates, submit.error) == ("sdk", (job,), 0, None)
    claims = heard.of(telemetry.Claim)
    (claim,) = [each for each in claims if each.jobs]
    assert claim.jobs == (job,)
    assert claim.limit > 0
    (begin,), (end,) = heard.of(telemetry.Begin), heard.of(telemetry.End)
    assert (begin.job, begin.attempt, begin.worker) == (job, 1, claim.worker)
    assert (end.job, end.attempt, end.worker) == (job, 1, claim.worker)
    assert (end.outcome, end.reason, end.error, end.kept) == ("complete", None, None, True)
    assert end.run_s is not None
    names = [event.name for event in heard.events]
    assert [name for name in names if name not in ("claim", "sweep")] == ["submit", "begin", "end"]


async def test_failures_and_retries_are_told_with_their_error() -> None:
    worker = Worker("w")

    @worker.task(retries=1, retry_delay=0.01, retry_jitter=0)
    async def flaky() -> None:
        raise ZeroDivisionError("no")

    with listening() as heard:
        async with worker:
            await flaky.wait()
            await worker.stop()
    ends = [(end.attempt, end.outcome, end.error) for end in heard.of(telemetry.End)]
    assert ends == [(1, "retry_later", "ZeroDivisionError"), (2, "fail", "ZeroDivisionError")]
    (retry,) = heard.of(telemetry.Retry)
    assert (retry.attempt, retry.error, retry.delay_s) == (1, "ZeroDivisionError", 0.01)


async def test_every_mode_begins_and_ends() -> None:
    worker = Worker("w")

    @worker.task
    def in_thread() -> None: ...

    with listening() as heard:
        async with worker:
            await in_thread.wait()
            assert (await worker.execute("in_thread")).ok
            await worker.stop()
    assert len(heard.of(telemetry.Begin)) == len(heard.of(telemetry.End)) == 2


async def test_duplicates_and_refusals_of_the_queue_are_told() -> None:
    worker = Worker("w")
    task, other = worker.task(double), worker.task(double, name="other")
    with listening() as heard:
        await conduit.submit_many(task.options(key="k"), [1, 1, 1])
        with pytest.raises(SubmitConflictError):
            await other.options(key="k").submit(1)
    told = [(len(each.jobs), each.duplicates, each.error) for each in heard.of(telemetry.Submit)]
    assert told == [(3, 2, None), (1, 0, "SubmitConflictError")]


async def test_ticks_and_events_are_told_with_their_origin() -> None:
    worker = Worker("w")
    ran = asyncio.Event()

    @worker.cron(timedelta(seconds=1))
    async def tick() -> None:
        ran.set()

    event = worker.event("numbers.new")
    event.on(double)
    with listening() as heard:
        await event.publish(number=1)
        async with worker:
            await asyncio.wait_for(ran.wait(), 30)
    origins = {each.origin: each.jobs[0].function for each in heard.of(telemetry.Submit)}
    assert origins == {"event": "double", "schedule": "tick"}


async def test_rescues_and_sweeps_are_told_by_the_sweeping_worker(store_url: str) -> None:
    worker = Worker("w")
    task = worker.task(double)
    async with open_queue(store_url) as queue:
        await queue.submit([NewJob(id="abandoned", function="double", args=b'{"number":1}')])
        gone = Claim(
            worker_id="gone", queues=("default",), functions=("double",), limit=1, lease_ms=100
        )
        assert await queue.claim(gone)
    with listening() as heard:
        async with worker:
            rescue = await heard.first(telemetry.Rescue)
            sweep = await heard.first(telemetry.Sweep, lambda each: each.rescued == 1)
            assert await task.future("abandoned").value() == 2
    assert (rescue.rescued, rescue.failed) == (1, 0)
    assert rescue.worker == sweep.worker
    assert rescue.worker.startswith("w-")


# --- what no listener can do -----------------------------------------------------------------


async def test_a_listener_that_raises_is_told_of_once_and_hears_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    told: list[str] = []

    def broken(event: telemetry.Event) -> None:
        told.append(event.name)
        raise SystemExit("out")

    worker = Worker("w")
    task = worker.task(double)
    with listening() as heard, conduit.observe(broken):
        async with worker:
            assert await conduit.map_tasks(task, [1, 2, 3]) == [2, 4, 6]
    assert len(heard.of(telemetry.End)) == 3
    assert told.count("end") == 3
    failed = [each for each in caplog.records if "the listener" in each.getMessage()]
    assert len(failed) == 1


async def test_a_listener_that_hangs_holds_nothing_up(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(telemetry, "MOST_WAITING", 5)
    released = threading.Event()
    worker = Worker("w")
    task = worker.task(double)
    observation = conduit.observe(lambda _: released.wait(40))
    async with worker:
        assert await conduit.map_tasks(task, range(20)) == [2 * each for each in range(20)]
    assert observation.dropped > 0
    left_out = [each for each in caplog.records if "doesn't keep up" in each.getMessage()]
    assert len(left_out) == 1
    released.set()
    observation.close()


async def test_what_is_closed_hears_nothing_more() -> None:
    heard = Heard()
    observation = conduit.observe(heard)
    task = Worker("w").task(double)
    await task.submit(1)
    observation.close()
    await task.submit(2)
    observation.close()
    assert len(heard.of(telemetry.Submit)) == 1
    assert telemetry.listeners == []


@pytest.mark.parametrize("given", [7, double])
def test_what_is_no_plain_function_is_refused(given: Any) -> None:
    with pytest.raises(TypeError, match="plain function"):
        conduit.observe(given)


def test_a_forked_child_tells_its_own(tmp_path: Path) -> None:
    code = """
import os, sys
import conduit
worker = conduit.Worker("w")
@worker.task
def f(): ...
conduit.observe(lambda event: print(os.getpid() == child, event.name, flush=True))
child = None
f.submit_sync()
child = os.fork() or os.getpid()
if child == os.getpid():
    f.submit_sync()
    for each in conduit.telemetry.listeners:
        each.close()
    os._exit(0)
os.waitpid(child, 0)
"""
    done = run_script(tmp_path, code)
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == ["False submit", "True submit"]


def test_what_was_told_before_the_exit_is_heard(tmp_path: Path) -> None:
    code = """
import conduit
worker = conduit.Worker("w")
@worker.task
def f(): ...
conduit.observe(lambda event: print(event.name))
f.submit_sync()
"""
    done = run_script(tmp_path, code)
    assert (done.returncode, done.stdout) == (0, "submit\n"), done.stderr
