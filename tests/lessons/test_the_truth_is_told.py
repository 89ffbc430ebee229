"""Lessons on answers that weren't true: cancels, history, logs, options, errors, exit codes."""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
import logging
import socket
import threading
from pathlib import Path
from typing import Any, cast

import pytest

from conduit import (
    ArgumentError,
    JobStatus,
    QueueUnavailableError,
    Retry,
    TaskCancelledError,
    Worker,
    current_job,
)
from conduit.core.events import EventKind
from conduit.queue import Queue, open_queue
from conduit.queue.base import JobFilter
from tests.cli.conftest import Cli
from tests.conformance.history import events_of
from tests.lessons.conftest import job_of
from tests.sdk.support import run_script

PATIENCE = 30.0
TESTS = Path(__file__).parents[1]


async def echo(word: str) -> str:
    return word


# --- cancel ----------------------------------------------------------------------------------


# Lesson: cancelling a running job said yes, and the job ended `complete`; async bodies were not
# interrupted.
async def test_cancelling_a_running_job_interrupts_it_and_it_ends_cancelled(
    worker: Worker, queue: Queue
) -> None:
    running, interrupted = asyncio.Event(), asyncio.Event()

    @worker.task(retries=3)
    async def endless() -> None:
        running.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            interrupted.set()
            raise

    async with worker:
        future = await endless.submit()
        await running.wait()
        assert await future.cancel()
        with pytest.raises(TaskCancelledError):
            await future.result()
        assert interrupted.is_set()
    job = await job_of(queue, future.job_id)
    assert (job.status, job.attempt) == (JobStatus.CANCELLED, 1)


# Lesson: progress and checkpoint were read-modify-write, and could undo a cancel.
async def test_progress_metadata_and_checkpoint_cannot_undo_a_cancel(
    worker: Worker, queue: Queue
) -> None:
    running, said = threading.Event(), threading.Event()
    looked_at = threading.Event()

    @worker.task(retries=3, retry_delay=0)
    def talkative() -> None:
        ctx = current_job()
        running.set()
        while not ctx.cancelled:
            ctx.set_progress(0.1)
            ctx.save_checkpoint_sync({"page": 1})
        ctx.set_progress(0.9)
        ctx.set_metadata_sync(colour="red")
        ctx.save_checkpoint_sync({"page": 2})
        said.set()
        looked_at.wait(PATIENCE)
        raise Retry(delay=0)

    async with worker:
        future = await talkative.submit()
        await asyncio.to_thread(running.wait, PATIENCE)
        assert await future.cancel()
        await asyncio.to_thread(said.wait, PATIENCE)
        job = await job_of(queue, future.job_id)
        assert (job.status, job.cancel_requested) == (JobStatus.RUNNING, True)
        assert job.checkpoint == b'{"page":2}'
        looked_at.set()
        with pytest.raises(TaskCancelledError):
            await future.result()


# --- history ---------------------------------------------------------------------------------


# Lesson: history began at `job.started`, so queued jobs couldn't be seen.
async def test_history_begins_when_a_job_is_submitted_and_queued_jobs_are_seen(
    worker: Worker, queue: Queue, queue_url: str, cli: Cli
) -> None:
    future = await worker.task(echo).submit("hello")
    (event,) = await events_of(queue, future.job_id)
    assert (event.kind, event.seq, event.status) == (EventKind.SUBMITTED, 1, JobStatus.QUEUED)
    assert event.submission is not None
    assert bytes(event.submission.args) == b'{"word":"hello"}'

    listed = await asyncio.to_thread(cli, "jobs", "list", "--queue-url", queue_url, "--json")
    (job,) = json.loads(listed.stdout)["items"]
    assert (job["id"], job["status"], job["args"]) == (
        future.job_id,
        "queued",
        {"word": "hello"},
    )


# Review 8: `Worker.execute()` reports attempt 1 at `job.started`.
async def test_execute_reports_attempt_1_from_the_start(worker: Worker, queue: Queue) -> None:
    worker.task(echo)
    result = await worker.execute("echo", {"word": "hello"})
    assert (result.value, result.attempts) == ("hello", 1)
    told = [(event.kind, event.attempt) for event in await events_of(queue, result.job_id)]
    assert told == [(EventKind.SUBMITTED, 0), (EventKind.STARTED, 1), (EventKind.COMPLETED, 1)]


# Lesson: `log` lines went nowhere, and the page made them up from timestamps.
async def test_log_lines_are_kept_with_their_job_and_shown(
    worker: Worker, queue: Queue, queue_url: str, cli: Cli
) -> None:
    @worker.task
    async def talk() -> None:
        current_job().log.info("counting sheep")
        logging.getLogger("shop.orders").warning("sheep number %d is missing", 7)

    async with worker:
        job_id = (await talk.wait()).job_id
    lines = await queue.logs(job_id)
    assert [(line.level.value, line.message, line.attempt) for line in lines] == [
        ("info", "counting sheep", 1),
        ("warning", "sheep number 7 is missing", 1),
    ]
    told = [line for event in await events_of(queue, job_id) for line in event.logs]
    assert told == lines
    shown = await asyncio.to_thread(cli, "jobs", "show", job_id, "--queue-url", queue_url)
    assert "counting sheep" in shown.stdout
    assert "sheep number 7 is missing" in shown.stdout


# --- events ----------------------------------------------------------------------------------


# Lesson: event patterns with `*` were never matched.
async def test_a_pattern_is_handled_when_an_event_matches_it(worker: Worker) -> None:
    heard: list[str] = []

    @worker.event("order.*").on
    async def any_order(order_id: str) -> None:
        heard.append(order_id)

    @worker.event("mail.*").on
    async def any_mail(order_id: str) -> None:
        raise AssertionError

    async with worker:
        for future in await worker.event("order.placed").publish(order_id="a"):
            await future.result()
    assert heard == ["a"]


# Lesson: enqueue errors for handlers were swallowed.
async def test_whoever_publishes_an_event_hears_that_its_handlers_got_no_job(
    worker: Worker, queue: Queue, unreachable_url: str
) -> None:
    worker.event("order.*").on(echo)
    with pytest.raises(ArgumentError, match="word"):
        await worker.event("order.placed").publish(word=7)
    assert (await queue.find(JobFilter())).total == 0

    cut_off = Worker("cut off", queue_url=unreachable_url)
    cut_off.event("order.*").on(echo)
    with pytest.raises(QueueUnavailableError):
        await cut_off.event("order.placed").publish(word="a")


# --- options ---------------------------------------------------------------------------------

LATER = ["cache_key", "cache_ttl", "rate_limit", "concurrency_limit"]
"""Options that the contract has in store, and this version doesn't know."""


# Lesson: `cache_key` was accepted and ignored; an option that does nothing is a defect.
@pytest.mark.parametrize("option", LATER)
def test_an_option_of_a_later_version_is_refused_by_name(worker: Worker, option: str) -> None:
    given = cast("Any", {option: 1})
    with pytest.raises(TypeError, match=option):
        worker.task(echo, **given)
    with pytest.raises(TypeError, match=option):
        worker.event("order.placed").on(echo, **given)
    with pytest.raises(TypeError, match=option):
        worker.cron("@daily", **given)(no_arguments)
    with pytest.raises(TypeError, match=option):
        worker.task(echo).options(**given)
    with pytest.raises(TypeError, match=option):
        Worker("other", **given)


async def no_arguments() -> None: ...


# Lesson: dispatch by `getattr` hid a missing method; a test double had it and the real class not.
def test_the_queue_has_every_verb_of_the_protocol_with_its_parameters(queue_url: str) -> None:
    real = type(open_queue(queue_url))
    verbs = {name: verb for name, verb in vars(Queue).items() if inspect.iscoroutinefunction(verb)}
    assert len(verbs) > 30
    for name, verb in verbs.items():
        wanted = [(each.name, each.kind, each.default) for each in _parameters(verb)]
        found = [(each.name, each.kind, each.default) for each in _parameters(getattr(real, name))]
        assert found == wanted, name


def _parameters(verb: Any) -> list[inspect.Parameter]:
    return list(inspect.signature(verb).parameters.values())


# Lesson: a test double had the method that the real class lacked.
def test_no_test_puts_a_double_in_the_place_of_a_queue() -> None:
    doubles = {"mock", "unittest.mock", "pytest_mock", "fakeredis"}
    for path in TESTS.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                assert doubles.isdisjoint(each.name for each in node.names), path
            elif isinstance(node, ast.ImportFrom):
                imported = {node.module, *(f"{node.module}.{each.name}" for each in node.names)}
                assert doubles.isdisjoint(imported), path


# --- runs ------------------------------------------------------------------------------------

CRASHES_LATER = """
import asyncio, sys
from contextlib import asynccontextmanager
import conduit

@asynccontextmanager
async def lifespan():
    yield
    print("closed in order", file=sys.stderr)

worker = conduit.Worker("steady", lifespan=lifespan)

@worker.task
async def work() -> None: ...

class Shaky:
    name = "shaky"

    async def start(self) -> None: ...

    async def wait(self) -> None:
        await worker.execute("work")  # a moment after everything has started
        raise RuntimeError("the floor gave way")

    async def stop(self) -> None: ...

    async def stop_now(self) -> None: ...

conduit.run(worker, Shaky())
"""


# Review 15: a service that crashes later brings the whole run down, visibly, with a non-zero code.
def test_a_component_that_crashes_later_ends_the_run_with_its_traceback(
    queue_url: str, tmp_path: Path
) -> None:
    crashed = run_script(tmp_path, CRASHES_LATER)
    assert crashed.returncode == 1
    assert "RuntimeError: the floor gave way" in crashed.stderr
    assert 'raise RuntimeError("the floor gave way")' in crashed.stderr
    assert "closed in order" in crashed.stderr


CANNOT_START = """
    import sys
    from contextlib import asynccontextmanager
    import conduit

    @asynccontextmanager
    async def lifespan():
        yield
        print("closed in order", file=sys.stderr)

    worker = conduit.Worker("steady", lifespan=lifespan)
    api = conduit.Api("shop", port={port})

    @worker.task
    async def work() -> None: ...
"""


# Review 15: nor does a run go on without a service that couldn't start.
def test_a_component_that_cannot_start_ends_the_run_and_says_why(queue_url: str, cli: Cli) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        cli.write("service.py", CANNOT_START.format(port=port))
        refused = cli("run", "service.py", "--queue-url", queue_url)
    assert refused.returncode == 3
    assert f"127.0.0.1:{port}" in refused.stderr
    assert "closed in order" in refused.stderr
