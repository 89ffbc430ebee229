"""What a job logs is kept with it."""

from __future__ import annotations

import logging
import threading

import pytest

from conduit.core.model import Level
from conduit.core.retry import RetryPolicy
from conduit.engine.context import current_job
from conduit.engine.logs import MAX_LINES, MAX_MESSAGE, line_from
from tests.engine.bench import Bench, process_task, task
from tests.engine.process_jobs import log_with_a_handler_of_its_own, tell_all

stock = logging.getLogger("shop.stock")


async def test_an_async_jobs_lines_are_kept_in_order(bench: Bench) -> None:
    async def job() -> None:
        current_job().log.debug("looking")
        stock.info("%d left", 3)
        stock.error("none left")

    await bench.start(task(job))
    ended = await bench.run("job")
    kept = [
        (line.number, line.level, line.logger, line.message)
        for line in await bench.queue.logs(ended.id)
    ]
    assert kept == [
        (1, Level.DEBUG, "conduit.job.job", "looking"),
        (2, Level.INFO, "shop.stock", "3 left"),
        (3, Level.ERROR, "shop.stock", "none left"),
    ]


async def test_a_threads_lines_are_kept(bench: Bench) -> None:
    def job() -> None:
        stock.warning("from a thread")

    await bench.start(task(job))
    ended = await bench.run("job")
    assert [line.message for line in await bench.queue.logs(ended.id)] == ["from a thread"]


async def test_each_line_is_kept_once_however_many_workers_the_process_has(bench: Bench) -> None:
    async def job() -> None:
        stock.warning("once")

    await bench.start(task(job), name="one")
    await bench.start(task(job), name="two")
    ended = await bench.run("job")
    assert [line.message for line in await bench.queue.logs(ended.id)] == ["once"]


async def test_a_line_belongs_to_the_job_that_logged_it(bench: Bench) -> None:
    async def job(name: str) -> None:
        stock.warning("I am %s", name)

    jobs = {
        name: await bench.submit("job", args=b'{"name":"%s"}' % name.encode())
        for name in ("one", "two", "three")
    }
    await bench.start(task(job))
    for name, job_id in jobs.items():
        await bench.completed(job_id)
        assert [line.message for line in await bench.queue.logs(job_id)] == [f"I am {name}"]


async def test_a_line_says_which_attempt_logged_it(bench: Bench) -> None:
    async def job() -> None:
        stock.warning("trying")
        if current_job().attempt == 1:
            raise OSError

    await bench.start(task(job, retry=RetryPolicy(retries=1, delay=0)))
    ended = await bench.run("job")
    kept = [(line.attempt, line.message) for line in await bench.queue.logs(ended.id)]
    assert [attempt for attempt, message in kept if message == "trying"] == [1, 2]


async def test_a_logged_exception_brings_its_traceback(bench: Bench) -> None:
    async def job() -> None:
        try:
            raise LookupError("no such order")
        except LookupError:
            stock.exception("skipping it")

    await bench.start(task(job))
    ended = await bench.run("job")
    (line,) = await bench.queue.logs(ended.id)
    assert line.message.startswith("skipping it\nTraceback")
    assert line.message.endswith("LookupError: no such order")


async def test_an_attempts_log_is_bounded_and_says_so(bench: Bench) -> None:
    async def job() -> None:
        for number in range(MAX_LINES + 50):
            stock.info("line %d", number)

    await bench.start(task(job))
    ended = await bench.run("job")
    lines = await bench.queue.logs(ended.id)
    assert len(lines) == MAX_LINES + 1
    assert lines[-2].message == f"line {MAX_LINES - 1}"
    assert "log is full" in lines[-1].message


async def test_a_long_line_is_cut(bench: Bench) -> None:
    async def job() -> None:
        stock.info("x" * (MAX_MESSAGE + 1))

    await bench.start(task(job))
    ended = await bench.run("job")
    (line,) = await bench.queue.logs(ended.id)
    assert line.message == "x" * MAX_MESSAGE + " […]"


async def test_a_line_with_a_nul_in_it_is_kept_in_a_form_that_any_store_takes(
    bench: Bench,
) -> None:
    async def job() -> None:
        stock.info("a\x00b")

    await bench.start(task(job))
    ended = await bench.run("job")
    (line,) = await bench.queue.logs(ended.id)
    assert line.message == "a\\x00b"


def test_half_a_surrogate_pair_is_replaced() -> None:
    record = logging.LogRecord("shop", logging.INFO, "stock.py", 1, "half \ud800", None, None)
    assert line_from(record).message == "half ?"


def test_a_wrong_format_string_is_kept_with_what_is_wrong() -> None:
    record = logging.LogRecord("shop", logging.INFO, "stock.py", 1, "%d left", ("three",), None)
    assert "can't be formatted" in line_from(record).message


async def test_lines_of_a_job_that_fails_are_kept_too(bench: Bench) -> None:
    async def job() -> None:
        stock.info("before the fall")
        raise OSError

    await bench.start(task(job))
    ended = await bench.run("job")
    kept = [line.message for line in await bench.queue.logs(ended.id)]
    assert kept == ["before the fall", "failed after 1 attempt: OSError"]


async def test_a_thread_that_a_job_left_behind_does_not_write_into_the_next_one(
    bench: Bench,
) -> None:
    go, logged = threading.Event(), threading.Event()

    def lingering() -> None:
        go.wait()
        stock.info("too late")
        logged.set()

    async def leave() -> None:
        threading.Thread(target=lingering).start()

    async def last() -> None:
        go.set()
        logged.wait()

    await bench.start(task(leave), task(last))
    await bench.run("leave")
    ended = await bench.run("last")
    assert await bench.queue.logs(ended.id) == []


async def test_log_levels_are_as_before_once_the_last_worker_has_stopped(bench: Bench) -> None:
    async def job() -> None: ...

    root = logging.getLogger()
    before, handlers = root.level, list(root.handlers)
    one = await bench.start(task(job), name="one")
    two = await bench.start(task(job), name="two")
    await one.stop()
    assert root.level <= logging.INFO
    await two.stop()
    assert (root.level, root.handlers) == (before, handlers)


async def test_a_worker_processs_lines_reach_the_workers_handlers_and_the_jobs_log_once(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    await bench.start(process_task(tell_all), processes=1)
    ended = await bench.run("tell_all")
    expected = [
        ("conduit.job.tell_all", "from the job's logger"),
        ("shop.stock", "from a module's logger"),
    ]
    names = [name for name, _ in expected]
    shown = [(each.name, each.getMessage()) for each in caplog.records if each.name in names]
    kept = [(line.logger, line.message) for line in await bench.queue.logs(ended.id)]
    assert (shown, kept) == (expected, expected)


async def test_lines_that_a_worker_process_shows_itself_are_not_shown_again(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    await bench.start(process_task(log_with_a_handler_of_its_own), processes=1)
    ended = await bench.run("log_with_a_handler_of_its_own")
    assert [line.message for line in await bench.queue.logs(ended.id)] == ["shown by the process"]
    assert "shown by the process" not in caplog.text
