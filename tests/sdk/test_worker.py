"""Declaring tasks and workers: what is taken, and what is refused with a reason."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any, cast

import pytest

from conduit import (
    ArgumentError,
    ConfigurationError,
    Context,
    Fail,
    InvalidScheduleError,
    InvalidTaskError,
    JobStatus,
    UnknownFunctionError,
    Worker,
    current_job,
)
from conduit.core.events import EventKind
from conduit.core.schedule import Catchup
from conduit.engine.attempts.function import Mode
from conduit.queue import Queue
from tests.sdk.support import running_in_thread


async def work(size: int = 1) -> int:
    return size


def plain() -> None:
    pass


# --- tasks -----------------------------------------------------------------------------------


def test_task_works_with_and_without_parentheses(worker: Worker) -> None:
    @worker.task
    async def first() -> None: ...

    @worker.task(retries=3)
    async def second() -> None: ...

    assert list(worker.functions) == [first.name, second.name] == ["first", "second"]
    assert worker.functions["second"].retry.retries == 3


def test_a_handle_looks_like_its_function(worker: Worker) -> None:
    @worker.task
    async def documented(a: int) -> None:
        """Say something."""

    assert documented.__name__ == "documented"
    assert documented.__doc__ == "Say something."
    assert asyncio.iscoroutinefunction(documented.__wrapped__)


def test_a_tasks_own_name_wins(worker: Worker) -> None:
    assert worker.task(work, name="mail.send").name == "mail.send"


def test_where_a_function_runs_follows_from_its_kind() -> None:
    worker = Worker("w")
    worker.task(work)
    worker.task(plain)
    modes = [function.mode for function in worker.functions.values()]
    assert modes == [Mode.ASYNC, Mode.THREAD]
    heavy = Worker("w", sync_executor="process").task(plain)
    assert heavy.__conduit_function__.mode is Mode.PROCESS


def test_a_function_that_a_process_cannot_find_is_refused_when_it_is_declared() -> None:
    def nested() -> None: ...

    with pytest.raises(InvalidTaskError, match="inside another function"):
        Worker("w", sync_executor="process").task(nested)


def test_the_same_task_name_twice_is_refused_with_both_places(worker: Worker) -> None:
    worker.task(work)
    with pytest.raises(InvalidTaskError, match="two tasks called 'work'") as caught:
        worker.task(plain, name="work")
    assert str(caught.value).count("test_worker.py:") == 2


def test_a_task_cannot_be_declared_again(worker: Worker) -> None:
    handle = worker.task(work)
    with pytest.raises(InvalidTaskError, match="a task already"):
        worker.cron("@daily")(handle)


def test_a_lambda_needs_a_name(worker: Worker) -> None:
    with pytest.raises(InvalidTaskError, match="name="):
        worker.task(lambda: None)


def test_what_is_not_a_function_is_refused(worker: Worker) -> None:
    with pytest.raises(InvalidTaskError, match="function"):
        worker.task(7)  # pyright: ignore[reportArgumentType, reportCallIssue]


@pytest.mark.parametrize(
    "options",
    [
        {"retries": -1},
        {"retries": 1.5},
        {"retry_delay": -1},
        {"retry_backoff": 0},
        {"retry_jitter": 2},
        {"retry_on": "ValueError"},
        {"timeout": -1},
        {"timeout": 0},
        {"priority": 101},
        {"priority": "high"},
        {"max_deliveries": 0},
        {"max_deliveries": 10**30},
        {"retries": 10**30},
        {"priority": 10**30},
        {"unique": "yes"},
        {"name": ""},
        {"queue": "unserved"},
        {"on_success": 7},
    ],
    ids=str,
)
def test_an_option_that_cannot_work_is_refused_by_name(
    worker: Worker, options: dict[str, Any]
) -> None:
    with pytest.raises(InvalidTaskError, match=next(iter(options))):
        worker.task(work, **options)


@pytest.mark.parametrize("option", ["rate_limit", "cache_key", "concurrency_limit"])
def test_an_option_that_does_not_exist_is_never_accepted(worker: Worker, option: str) -> None:
    with pytest.raises(TypeError, match=option):
        worker.task(work, **cast("Any", {option: 1}))
    with pytest.raises(TypeError, match=option):
        worker.task(work).options(**cast("Any", {option: 1}))


def test_a_misspelt_option_is_answered_with_those_that_may_be_meant(worker: Worker) -> None:
    with pytest.raises(TypeError, match=r"task\(\) .* 'retry'; did you mean .*'retries'"):
        worker.task(work, **cast("Any", {"retry": 3}))
    options = cast("Any", worker.task(work).options)
    with pytest.raises(TypeError, match=r"options\(\) .* 'dely'; did you mean 'delay'\?"):
        options(dely=3)
    with pytest.raises(TypeError, match=r"options\(\) .* 'zzz'$"):
        options(zzz=3)


@pytest.mark.parametrize("decorator", ["cron", "on"])
def test_an_option_of_another_decorator_is_refused_in_the_right_ones_name(
    worker: Worker, decorator: str
) -> None:
    declare = cast("Any", worker.cron if decorator == "cron" else worker.event("order.placed").on)
    spec = ("@daily",) if decorator == "cron" else ()
    with pytest.raises(InvalidTaskError, match=rf"^{decorator}\(unique=.*@worker\.task"):
        declare(*spec, unique=True)(work)
    with pytest.raises(TypeError, match=rf"^{decorator}\(\) got .* 'rate_limit'"):
        declare(*spec, rate_limit=1)(work)
    assert not worker.functions


async def test_a_task_declared_once_the_worker_runs_is_refused(worker: Worker) -> None:
    worker.task(work)
    placed = worker.event("order.placed")
    async with worker:
        for declare in (worker.task, worker.cron("@daily"), placed.on):
            with pytest.raises(InvalidTaskError, match="before it starts"):
                cast("Any", declare)(plain)
    assert worker.task(plain).name == "plain"


def test_a_task_waits_in_its_workers_first_queue_unless_it_says_otherwise() -> None:
    worker = Worker("w", queues={"mail": 3, "default": 1})
    assert worker.task(work).__conduit_function__.queue == "mail"
    assert worker.task(plain, queue="default").__conduit_function__.queue == "default"


# --- schedules -------------------------------------------------------------------------------


def test_a_cron_becomes_a_task_and_a_schedule(worker: Worker) -> None:
    @worker.cron("0 9 * * *", timezone="Europe/Zurich", catchup="one", retries=2)
    async def report() -> None: ...

    @worker.cron(timedelta(minutes=5))
    async def sweep() -> None: ...

    first, second = worker.crons
    assert (first.name, first.function, first.timezone) == ("report", "report", "Europe/Zurich")
    assert first.catchup is Catchup.ONE
    assert second.schedule.describe() == "every 5m"
    assert worker.functions["report"].retry.retries == 2


@pytest.mark.parametrize(
    ("spec", "timezone"), [("61 * * * *", "UTC"), ("soon", "UTC"), ("@daily", "Mars/Olympus")]
)
def test_a_bad_schedule_is_refused(worker: Worker, spec: str, timezone: str) -> None:
    with pytest.raises(InvalidScheduleError):
        worker.cron(spec, timezone=timezone)


def test_a_cron_whose_function_needs_arguments_is_refused(worker: Worker) -> None:
    async def report(day: str) -> None: ...

    with pytest.raises(InvalidTaskError, match="defaults"):
        worker.cron("@daily")(report)
    assert not worker.functions
    assert not worker.crons


def test_a_bad_catchup_is_refused(worker: Worker) -> None:
    with pytest.raises(InvalidTaskError, match="catchup"):
        worker.cron("@daily", catchup="some")  # pyright: ignore[reportArgumentType]


# --- workers ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"name": ""},
        {"concurrency": 0},
        {"concurrency": "many"},
        {"prefetch": -1},
        {"queues": []},
        {"queues": "default"},
        {"queues": {"default": 0}},
        {"sync_executor": "fiber"},
        {"processes": 0},
        {"shutdown_timeout": -1},
        {"payload_limit": 0},
        {"payload_limit": 10**30},
        {"concurrency": 10**30},
        {"prefetch": 10**30},
        {"processes": 10**30},
        {"queues": {"default": 10**30}},
        {"queues": ["mail", "mail"]},
        {"queue_url": ""},
        {"queue_url": 7},
        {"lifespan": 7},
        {"middleware": 7},
    ],
    ids=str,
)
def test_a_worker_option_that_cannot_work_is_refused_by_name(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidTaskError, match=next(iter(options))):
        Worker(**{"name": "w", **options})


async def test_a_worker_that_registers_nothing_refuses_to_start(worker: Worker) -> None:
    with pytest.raises(InvalidTaskError, match=r"'test' has nothing to run.*@worker\.task"):
        await worker.start()


async def test_a_worker_cannot_be_started_twice_at_once(worker: Worker) -> None:
    worker.task(work)
    async with worker:
        with pytest.raises(ConfigurationError, match="started already"):
            await worker.start()


async def test_a_stopped_worker_can_be_started_again(worker: Worker) -> None:
    handle = worker.task(work)
    for size in (1, 2):
        async with worker:
            assert (await handle.wait(size)).value == size


async def test_a_start_that_failed_can_be_tried_again(
    worker: Worker, queue: Queue, tmp_path: Any
) -> None:
    handle = worker.task(work)
    good = worker.queue_url
    blocker = tmp_path / "file"
    blocker.write_text("")
    worker.configure(queue_url=f"sqlite:///{blocker}/queue.db")
    with pytest.raises(Exception, match="folder"):
        await worker.start()
    assert good is None
    worker.configure(queue_url=f"sqlite:///{tmp_path}/queue.db")
    async with worker:
        assert (await handle.wait(3)).value == 3


async def test_configure_overrides_what_the_file_says_until_the_start(worker: Worker) -> None:
    worker.task(work)
    worker.configure(concurrency=7)
    assert (worker.concurrency, worker.spec().concurrency) == (7, 7)
    with pytest.raises(ConfigurationError, match="concurrency=0"):
        worker.configure(concurrency=0)
    async with worker:
        with pytest.raises(ConfigurationError, match="has started"):
            worker.configure(concurrency=8)


async def test_a_workers_jobs_go_to_its_own_queue(tmp_path: Any, queue: Queue) -> None:
    worker = Worker("w", queue_url=f"sqlite:///{tmp_path}/own.db")
    future = await worker.task(work).submit()
    assert await queue.get([future.job_id]) == [None]
    assert await future.status() is JobStatus.QUEUED


# --- executing -------------------------------------------------------------------------------


@pytest.mark.parametrize("started", [False, True])
async def test_execute_runs_one_job_inline_as_attempt_1(
    worker: Worker, queue: Queue, started: bool
) -> None:
    attempts: list[int] = []

    @worker.task(retries=3)
    async def double(number: int) -> int:
        attempts.append(current_job().attempt)
        return number * 2

    if started:
        await worker.start()
    result = await worker.execute("double", {"number": 4})
    await worker.stop()
    assert (result.value, result.attempts, attempts) == (8, 1, [1])
    told = [
        (event.kind, event.attempt)
        for each in await queue.read_events("test", "test")
        for event in each.entry.events
        if event.job_id == result.job_id
    ]
    assert told == [
        (EventKind.SUBMITTED, 0),
        (EventKind.STARTED, 1),
        (EventKind.COMPLETED, 1),
    ]


async def test_execute_hands_back_a_failure_as_a_result(worker: Worker) -> None:
    @worker.task(retries=3)
    async def broken() -> None:
        raise Fail("no")

    result = await worker.execute("broken")
    assert (result.ok, result.error, result.attempts) == (False, "Fail: no", 1)


async def test_execute_of_an_unknown_task_names_the_known_ones(worker: Worker) -> None:
    worker.task(work)
    with pytest.raises(UnknownFunctionError, match="did you mean 'work'"):
        await worker.execute("works")
    with pytest.raises(ArgumentError, match="siz"):
        await worker.execute("work", {"siz": 1})
    with pytest.raises(ArgumentError, match="dict"):
        await worker.execute("work", [1])  # pyright: ignore[reportArgumentType]


# --- around jobs -----------------------------------------------------------------------------


async def test_hooks_and_middleware_surround_a_job() -> None:
    seen: list[str] = []

    async def trace(ctx: Context, call_next: Callable[[], Any]) -> Any:
        seen.append(f"before {ctx.function}")
        value = await call_next()
        seen.append(f"after {value}")
        return value

    worker = Worker("w", middleware=[trace])
    handle = worker.task(
        work,
        on_start=lambda ctx: seen.append("start"),
        on_success=lambda ctx, value: seen.append(f"success {value}"),
        on_complete=lambda ctx: seen.append("complete"),
    )
    async with worker:
        await handle.wait(3)
    assert seen == ["start", "before work", "after 3", "success 3", "complete"]


def test_a_worker_runs_plain_functions_for_callers_without_an_event_loop(worker: Worker) -> None:
    @worker.task
    def shout(word: str) -> str:
        return word.upper()

    with running_in_thread(worker):
        assert shout.wait_sync("hi").value == "HI"
