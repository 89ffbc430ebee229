"""Submitting: what reaches the queue, and what is refused before it does."""

from __future__ import annotations

import asyncio
import traceback
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from conduit import Future, Worker, current_job
from conduit.core.errors import (
    ArgumentError,
    InvalidOptionError,
    PayloadTooLargeError,
    QueueUnavailableError,
    SerializationError,
    SubmitConflictError,
)
from conduit.core.model import NO_TIMEOUT, Job, JobStatus, NewJob
from conduit.queue import Queue
from conduit.queue.base import JobFilter, Submitted
from conduit.sdk.client import Connection


@dataclass
class Order:
    id: str
    cents: int


async def charge(order: Order, note: str = "") -> int:
    return order.cents


def double(number: int) -> int:
    return number * 2


async def anything(value: object = None) -> object:
    return value


async def stored(queue: Queue, future: Future[object]) -> Job:
    (job,) = await queue.get([future.job_id])
    assert job is not None
    return job


async def test_submit_returns_a_future(worker: Worker, queue: Queue) -> None:
    future = await worker.task(charge).submit(Order("a", 5), note="now")
    assert isinstance(future, Future)
    job = await stored(queue, future)
    assert (job.function, job.status) == ("charge", JobStatus.QUEUED)
    assert job.args == b'{"order":{"id":"a","cents":5},"note":"now"}'


async def test_a_task_can_still_be_called_as_a_function(worker: Worker) -> None:
    assert await worker.task(charge)(Order("a", 5)) == 5
    assert worker.task(double)(2) == 4


async def test_a_wrong_argument_is_refused_at_submit_by_its_name(worker: Worker) -> None:
    handle = worker.task(charge)
    with pytest.raises(ArgumentError, match="note"):
        await handle.submit(Order("a", 5), note=7)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ArgumentError, match="order"):
        await handle.submit()  # pyright: ignore[reportCallIssue]
    with pytest.raises(ArgumentError, match=r"notes.*did you mean 'note'"):
        await handle.submit(Order("a", 5), notes="")  # pyright: ignore[reportCallIssue]


async def test_a_wrong_argument_is_told_without_the_traceback_of_a_library(worker: Worker) -> None:
    with pytest.raises(ArgumentError) as caught:
        await worker.task(charge).submit(Order("a", 5), note=7)  # pyright: ignore[reportArgumentType]
    shown = "".join(traceback.format_exception(caught.value))
    assert shown.count("Traceback") == 1
    assert "ValidationError" not in shown


async def test_a_value_that_json_cannot_carry_is_named_by_its_path(worker: Worker) -> None:
    with pytest.raises(SerializationError) as caught:
        await worker.task(anything).submit({"when": object()})
    assert caught.value.path == "args[0].when"


async def test_arguments_over_the_payload_limit_are_refused() -> None:
    handle = Worker("small", payload_limit=100).task(anything)
    with pytest.raises(PayloadTooLargeError):
        await handle.submit("x" * 100)


async def test_a_refused_submit_does_not_even_connect(worker: Worker, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError):
        await worker.task(charge).submit()  # pyright: ignore[reportCallIssue]
    assert not (tmp_path / "queue.db").exists()


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("delay", -1),
        ("delay", float("nan")),
        ("delay", "soon"),
        ("delay", timedelta(seconds=-1)),
        ("at", "tomorrow"),
        ("priority", 101),
        ("priority", 1.5),
        ("key", ""),
        ("unique_for", 0),
        ("expires", -5),
        ("timeout", 0),
        ("retries", -1),
        ("retries", True),
        ("retries", 10**40),
        ("priority", 10**40),
        ("delay", 10**40),
        ("queue", ""),
        ("metadata", [1]),
        ("headers", {"a": 1}),
        ("headers", "a"),
        ("wait_timeout", -1),
        ("after", 7),
        ("after", ""),
        ("after", [None]),
    ],
)
def test_an_option_out_of_range_is_refused_by_name_and_value(
    worker: Worker, option: str, value: object
) -> None:
    handle = worker.task(anything)
    with pytest.raises(InvalidOptionError, match=option) as caught:
        handle.options(**{option: value})  # pyright: ignore[reportArgumentType]
    assert repr(value) in str(caught.value)


def test_a_naive_datetime_is_refused_with_a_hint(worker: Worker) -> None:
    handle = worker.task(anything)
    with pytest.raises(InvalidOptionError, match=r"time zone.*UTC"):
        handle.options(at=datetime(2030, 1, 1))  # noqa: DTZ001
    with pytest.raises(InvalidOptionError, match="time zone"):
        handle.options(expires=datetime(2030, 1, 1))  # noqa: DTZ001


def test_a_number_too_long_to_print_is_refused_all_the_same(worker: Worker) -> None:
    with pytest.raises(InvalidOptionError, match=r"retries=<int> must be"):
        worker.task(anything).options(retries=10**5000)


def test_a_moment_that_utc_has_no_year_for_is_refused(worker: Worker) -> None:
    dawn = datetime.min.replace(tzinfo=timezone(timedelta(hours=5)))
    with pytest.raises(InvalidOptionError, match=r"at=.*out of range"):
        worker.task(anything).options(at=dawn)


def test_a_moment_before_1970_is_refused_with_the_options_name(worker: Worker) -> None:
    with pytest.raises(InvalidOptionError, match=r"at=.*before 1970"):
        worker.task(anything).options(at=datetime(1969, 12, 31, tzinfo=UTC))


def test_delay_and_at_exclude_each_other(worker: Worker) -> None:
    with pytest.raises(InvalidOptionError, match="one of them"):
        worker.task(anything).options(delay=1, at=datetime.now(UTC))


async def test_a_moment_of_expiry_that_has_passed_is_refused(worker: Worker) -> None:
    handle = worker.task(anything).options(expires=datetime.now(UTC) - timedelta(seconds=1))
    with pytest.raises(InvalidOptionError, match="expires"):
        await handle.submit()


async def test_options_reach_the_stored_job(queue: Queue) -> None:
    worker = Worker("test", queues=["default", "mail"])
    handle = worker.task(anything, priority=3).options(
        delay=timedelta(minutes=1),
        priority=7,
        key="k",
        expires=120,
        timeout=1.5,
        retries=4,
        queue="mail",
        metadata={"user": 7},
        headers={"traceparent": "00-ab-cd-01"},
    )
    job = await stored(queue, await handle.submit())
    assert (job.status, job.run_at - job.submitted_at) == (JobStatus.SCHEDULED, 60_000)
    assert job.expires_at == job.submitted_at + 120_000
    assert (job.priority, job.key, job.timeout_ms, job.retries) == (7, "k", 1500, 4)
    assert (job.queue, job.metadata) == ("mail", b'{"user":7}')
    assert job.headers == {"traceparent": "00-ab-cd-01"}


async def test_headers_that_are_too_large_are_refused_when_they_are_given() -> None:
    handle = Worker("test").task(anything)
    with pytest.raises(InvalidOptionError, match="take 4,097 bytes as JSON; they may take 4,096"):
        handle.options(headers={"a": "x" * 4089})


async def test_at_is_the_moment_a_job_is_due(worker: Worker, queue: Queue) -> None:
    at = datetime(2100, 1, 1, tzinfo=UTC)
    job = await stored(queue, await worker.task(anything).options(at=at).submit())
    assert job.run_at == at.timestamp() * 1000


async def test_options_leave_the_handle_they_came_from_alone(worker: Worker, queue: Queue) -> None:
    handle = worker.task(anything)
    handle.options(priority=9)
    assert (await stored(queue, await handle.submit())).priority == 0


async def test_later_options_add_to_earlier_ones_and_replace_them(
    worker: Worker, queue: Queue
) -> None:
    handle = worker.task(anything).options(priority=9, delay=60).options(delay=0, key="k")
    job = await stored(queue, await handle.submit())
    assert (job.priority, job.key, job.status) == (9, "k", JobStatus.QUEUED)


async def test_a_duplicate_keyed_submit_hands_back_the_first_jobs_future(worker: Worker) -> None:
    handle = worker.task(anything).options(key="only")
    first = await handle.submit(1)
    second = await handle.submit(2)
    assert second.job_id == first.job_id


async def test_a_key_held_by_another_task_is_refused_instead_of_dropping_the_job(
    worker: Worker,
) -> None:
    await worker.task(anything).options(key="order-1").submit()
    with pytest.raises(SubmitConflictError, match=r"'order-1'.*'anything'"):
        await worker.task(charge).options(key="order-1").submit(Order("a", 1))


async def test_a_unique_task_has_one_unfinished_job_per_set_of_arguments(worker: Worker) -> None:
    handle = worker.task(anything, unique=True)
    first = await handle.submit({"a": 1, "b": 2})
    same = await handle.submit(value={"b": 2, "a": 1})
    other = await handle.submit({"a": 1})
    assert same.job_id == first.job_id != other.job_id


async def test_unique_for_without_a_key_compares_the_arguments(worker: Worker) -> None:
    handle = worker.task(anything).options(unique_for=60)
    first, second, other = [await handle.submit(value) for value in (1, 1, 2)]
    assert second.job_id == first.job_id != other.job_id


async def test_a_job_submitted_inside_a_job_records_parent_and_root(
    worker: Worker, queue: Queue
) -> None:
    submitted: list[Future[object]] = []
    leaf = worker.task(anything, name="leaf")

    @worker.task
    async def middle() -> None:
        submitted.append(await leaf.submit())

    @worker.task
    def top() -> str:  # in a thread, where the current job is known as well
        submitted.append(middle.submit_sync())
        current = current_job()
        return current.job_id

    async with worker:
        root = await top.submit()
        await root.result()
        await submitted[0].result()
    child, grandchild = [await stored(queue, each) for each in submitted]
    assert (child.parent_id, child.root_id) == (root.job_id, root.job_id)
    assert (grandchild.parent_id, grandchild.root_id) == (child.id, root.job_id)


# --- several submits at once -----------------------------------------------------------------


async def test_many_submits_at_once_are_all_kept(worker: Worker, queue: Queue) -> None:
    handle = worker.task(anything)
    futures = await asyncio.gather(*(handle.submit(number) for number in range(2500)))
    jobs = await queue.get([future.job_id for future in futures])
    assert [job.args for job in jobs if job] == [b'{"value":%d}' % n for n in range(2500)]


async def test_a_conflict_of_one_submit_does_not_fail_its_neighbours(queue_url: str) -> None:
    connection = Connection(queue_url)
    try:
        await connection.submit([NewJob(id="taken", function="f")])
        answers = await asyncio.gather(
            connection.submit([NewJob(id="first", function="f")]),
            connection.submit([NewJob(id="good", function="f")]),
            connection.submit([NewJob(id="taken", function="other")]),
            connection.submit([NewJob(id="fine", function="f")]),
            return_exceptions=True,
        )
    finally:
        await connection.close()
    assert answers[0:2] == [[Submitted("first")], [Submitted("good")]]
    assert isinstance(answers[2], SubmitConflictError)
    assert answers[3] == [Submitted("fine")]


async def test_a_job_that_the_store_cannot_keep_does_not_fail_its_neighbours(
    queue_url: str,
) -> None:
    connection = Connection(queue_url)
    try:
        await connection.open()
        answers = await asyncio.gather(
            connection.submit([NewJob(id="first", function="f")]),
            connection.submit([NewJob(id="good", function="f")]),
            connection.submit([NewJob(id="bad", function="f", priority=10**40)]),
            connection.submit([NewJob(id="fine", function="f")]),
            return_exceptions=True,
        )
    finally:
        await connection.close()
    kept = [[Submitted(job_id)] for job_id in ("first", "good", "fine")]
    assert [answers[0], answers[1], answers[3]] == kept
    assert isinstance(answers[2], Exception)


async def test_a_submit_cancelled_while_it_waits_is_not_sent(worker: Worker, queue: Queue) -> None:
    handle = worker.task(anything)
    await handle.submit("connected")
    first, given_up = (asyncio.create_task(handle.submit(n)) for n in (1, 2))
    await asyncio.sleep(0)
    given_up.cancel()
    last = await handle.submit(3)
    page = await queue.find(JobFilter())
    assert {job.id for job in page.items} >= {(await first).job_id, last.job_id}
    assert page.total == 3


async def test_a_connection_that_could_not_be_opened_is_tried_again(
    worker: Worker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "later"
    folder.write_text("in the way of the folder")
    monkeypatch.setenv("CONDUIT_QUEUE_URL", f"sqlite:///{folder}/queue.db")
    handle = worker.task(anything)
    with pytest.raises(QueueUnavailableError):
        await handle.submit()
    folder.unlink()
    await handle.submit()
    assert (folder / "queue.db").exists()


async def test_timeout_none_lifts_the_limit_of_the_task(worker: Worker, queue: Queue) -> None:
    handle = worker.task(timeout=30)(double)
    lifted = await handle.options(timeout=None).submit(1)
    declared = await handle.options(priority=1).submit(1)
    jobs = await queue.get([lifted.job_id, declared.job_id])
    assert [job and job.timeout_ms for job in jobs] == [NO_TIMEOUT, None]


async def test_a_queue_that_the_tasks_worker_does_not_take_from_is_warned_of_once(
    worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    handle = worker.task(name="double_elsewhere")(double)
    for _ in range(2):
        handle.options(queue="nosuch")
    handle.options(queue="default")
    (warning,) = [each for each in caplog.records if each.name == "conduit.client"]
    assert "jobs of double_elsewhere go to queue 'nosuch'" in warning.getMessage()
    assert "takes jobs from default only" in warning.getMessage()
