"""Middleware around submits: every way that a program submits passes it, on both stores."""

from __future__ import annotations

import asyncio
import contextvars
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import conduit
from conduit import (
    ArgumentError,
    ConfigurationError,
    InvalidOptionError,
    InvalidTaskError,
    JobNotFoundError,
    Origin,
    Submission,
    SubmitConflictError,
    SubmitNext,
    SubmitRefusedError,
    TaskHandle,
    Worker,
    add_middleware,
)
from conduit.core.model import Job
from conduit.queue import open_queue
from conduit.queue.base import JobFilter, Submitted

pytestmark = pytest.mark.usefixtures("store_url")

TENANT: contextvars.ContextVar[str] = contextvars.ContextVar("TENANT", default="nobody")


class Passed:
    """A middleware that notes what passes."""

    def __init__(self) -> None:
        self.submissions: list[tuple[Origin, list[str]]] = []
        self.answers: list[list[Submitted | None]] = []
        self.errors: list[str] = []
        self.tenants: list[str] = []

    async def __call__(self, submission: Submission, call_next: SubmitNext) -> None:
        self.submissions.append((submission.origin, [job.function for job in submission.jobs]))
        self.tenants.append(TENANT.get())
        try:
            self.answers.append([*await call_next()])
        except Exception as error:
            self.errors.append(type(error).__name__)
            raise


async def double(number: int) -> int:
    return 2 * number


def changing(change: Callable[[conduit.JobDraft], object]) -> Any:
    async def middleware(submission: Submission, call_next: SubmitNext) -> None:
        for job in submission.jobs:
            change(job)
        await call_next()

    return middleware


@asynccontextmanager
async def looked_at(store_url: str) -> AsyncIterator[Callable[[str], Awaitable[Job | None]]]:
    async with open_queue(store_url) as queue:

        async def look(job_id: str) -> Job | None:
            return (await queue.get([job_id]))[0]

        yield look


async def nothing_kept(store_url: str) -> bool:
    async with open_queue(store_url) as queue:
        return (await queue.find(JobFilter())).total == 0


# --- every way passes ------------------------------------------------------------------------

Way = Callable[[TaskHandle[..., int], Worker], Any]

WAYS: dict[str, tuple[Way, list[int]]] = {
    "submit": (lambda task, _: task.submit(1), [1]),
    "submit_sync": (lambda task, _: task.submit_sync(1), [1]),
    "wait": (lambda task, _: task.wait(1), [1]),
    "submit_many": (lambda task, _: conduit.submit_many(task, [1, 2, 3]), [3]),
    "submit_many_sync": (lambda task, _: conduit.submit_many_sync(task, [1, 2, 3]), [3]),
    "map_tasks": (lambda task, _: conduit.map_tasks(task, [1, 2, 3]), [3]),
    "map_tasks with a window": (lambda task, _: conduit.map_tasks(task, [1, 2], 1), [1, 1]),
    "execute": (lambda _, worker: worker.execute("double", {"number": 1}), [1]),
    "options": (lambda task, _: task.options(priority=3).submit(1), [1]),
}


@pytest.mark.parametrize("way", WAYS)
async def test_a_call_passes_the_middleware_once_with_all_its_jobs(way: str) -> None:
    call, sizes = WAYS[way]
    passed = Passed()
    worker = Worker("w", submit_middleware=[passed])
    task = worker.task(double)
    async with worker:
        called = call(task, worker)
        if asyncio.iscoroutine(called):
            await called
    assert passed.submissions == [(Origin.SDK, ["double"] * size) for size in sizes]
    assert all(isinstance(each, Submitted) for answers in passed.answers for each in answers)


async def test_a_submit_inside_a_job_passes_and_knows_its_parent() -> None:
    parents: list[str | None] = []
    middleware = changing(lambda job: parents.append(job.parent_id))
    worker = Worker("w", submit_middleware=[middleware])
    task = worker.task(double)

    @worker.task
    async def outer() -> int:
        return await (await task.submit(2)).value()

    @worker.task
    def in_thread() -> int:
        return task.submit_sync(2).value_sync()

    async with worker:
        outers = [await outer.submit(), await in_thread.submit()]
        assert [await each.value() for each in outers] == [4, 4]
    assert sorted(filter(None, parents)) == sorted(each.job_id for each in outers)


async def test_an_event_is_one_submission_with_all_its_handlers() -> None:
    passed = Passed()
    worker = Worker("w", submit_middleware=[passed])
    event = worker.event("numbers.new")
    event.on(double)
    event.on(name="again")(double)
    await event.publish(number=1)
    event.publish_sync(number=1)
    assert passed.submissions == [(Origin.EVENT, ["double", "again"])] * 2


async def test_many_jobs_in_several_steps_are_one_submission() -> None:
    passed = Passed()
    task = Worker("w", submit_middleware=[passed]).task(double)
    futures = await conduit.submit_many(task, range(5001))
    assert [len(jobs) for _, jobs in passed.submissions] == [5001]
    assert [each.job_id for each in passed.answers[0] if each] == [each.job_id for each in futures]


async def test_the_callers_context_is_the_middlewares_too() -> None:
    passed = Passed()
    task = Worker("w", submit_middleware=[passed]).task(double)
    TENANT.set("acme")
    await task.submit(1)
    task.submit_sync(1)
    assert passed.tenants == ["acme", "acme"]


# --- what it may do --------------------------------------------------------------------------


async def test_what_a_middleware_sets_is_what_the_queue_keeps(store_url: str) -> None:
    def change(job: conduit.JobDraft) -> None:
        job.arguments["number"] += 1
        job.metadata["tenant"] = "acme"
        job.headers["trace"] = "00-1"
        job.queue, job.priority, job.key, job.retries, job.delay = "slow", 50, "k", 2, 60

    task = Worker("w", submit_middleware=[changing(change)]).task(double)
    future = await task.options(metadata={"own": 1}, headers={"own": "1"}).submit(20)
    async with looked_at(store_url) as look:
        job = await look(future.job_id)
    assert job is not None
    assert json.loads(job.args) == {"number": 21}
    assert json.loads(job.metadata) == {"own": 1, "tenant": "acme"}
    assert job.headers == {"own": "1", "trace": "00-1"}
    assert (job.queue, job.priority, job.key, job.retries) == ("slow", 50, "k", 2)
    assert job.run_at - job.submitted_at == 60_000


async def test_changed_arguments_that_do_not_fit_are_refused_at_submit(store_url: str) -> None:
    wrong = changing(lambda job: job.arguments.update(number="many"))
    task = Worker("w", submit_middleware=[wrong]).task(double)
    with pytest.raises(ArgumentError, match="number"):
        await task.submit(1)
    assert await nothing_kept(store_url)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("priority", 1000),
        ("queue", ""),
        ("key", "\n"),
        ("retries", -1),
        ("delay", -1),
        ("metadata", [1]),
        ("headers", {"trace": 1}),
        ("arguments", "text"),
    ],
)
async def test_a_value_that_cannot_be_is_refused(store_url: str, field: str, value: object) -> None:
    middleware = changing(lambda job: setattr(job, field, value))
    task = Worker("w", submit_middleware=[middleware]).task(double)
    with pytest.raises(InvalidOptionError, match=field):
        await task.submit(1)
    assert await nothing_kept(store_url)


async def test_a_refusal_reaches_the_caller_and_nothing_is_kept(store_url: str) -> None:
    async def full(submission: Submission, call_next: SubmitNext) -> None:
        raise SubmitRefusedError("acme has used up its quota")

    async def broken(submission: Submission, call_next: SubmitNext) -> None:
        raise ZeroDivisionError

    for middleware, error in ((full, SubmitRefusedError), (broken, ZeroDivisionError)):
        task = Worker("w", submit_middleware=[middleware]).task(double)
        with pytest.raises(error):
            await task.submit(1)
        with pytest.raises(error):
            conduit.submit_many_sync(task, [1, 2])
    assert await nothing_kept(store_url)


async def test_one_that_does_not_call_the_next_is_named(store_url: str) -> None:
    async def forgetful(submission: Submission, call_next: SubmitNext) -> None:
        pass

    task = Worker("w", submit_middleware=[Passed(), forgetful]).task(double)
    with pytest.raises(SubmitRefusedError, match=r"forgetful ended without calling call_next"):
        await task.submit(1)
    assert await nothing_kept(store_url)


async def test_it_sees_duplicates_and_the_queues_errors() -> None:
    passed = Passed()
    worker = Worker("w", submit_middleware=[passed])
    task, other = worker.task(double), worker.task(double, name="other")
    first = await task.options(key="k").submit(1)
    await task.options(key="k").submit(1)
    with pytest.raises(SubmitConflictError):
        await other.options(key="k").submit(1)
    assert passed.answers == [
        [Submitted(first.job_id)],
        [Submitted(first.job_id, duplicate=True)],
    ]
    assert passed.errors == ["SubmitConflictError"]


async def test_what_it_returns_counts_for_nothing_and_a_second_call_makes_no_second_job(
    store_url: str,
) -> None:
    async def insists(submission: Submission, call_next: SubmitNext) -> str:
        await call_next()
        await call_next()
        return "nonsense"

    task = Worker("w", submit_middleware=[insists]).task(double)
    future = await task.submit(1)
    assert await future.status() == "queued"
    async with open_queue(store_url) as queue:
        assert (await queue.find(JobFilter())).total == 1


# --- whose it is -----------------------------------------------------------------------------


def named(name: str, seen: list[str]) -> Any:
    async def middleware(submission: Submission, call_next: SubmitNext) -> Sequence[Any]:
        seen.append(f"> {name}")
        answers = await call_next()
        seen.append(f"< {name}")
        return answers

    return middleware


async def test_the_settings_are_outermost_then_what_was_added_then_the_workers_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = f"of_{tmp_path.name}"
    (tmp_path / f"{module}.py").write_text(
        "seen = []\n"
        "async def one(submission, call_next):\n    seen.append('> one'); await call_next()\n"
        "class Holder:\n"
        "    async def __call__(self, submission, call_next):\n"
        "        seen.append('> two'); await call_next()\n"
        "holder = Holder()\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("CONDUIT_SUBMIT_MIDDLEWARE", f"{module}:one, {module}:holder")
    worker = Worker("w")
    task = worker.task(double)
    await task.submit(1)
    seen: list[str] = sys.modules[module].seen
    assert seen == ["> one", "> two"]
    worker = Worker("w", submit_middleware=[named("own", seen), named("inner", seen)])
    task = worker.task(double)
    seen.clear()
    with add_middleware(submit=named("added", seen)):
        await task.submit(1)
    inwards = ["> one", "> two", "> added", "> own", "> inner"]
    assert seen == [*inwards, "< inner", "< own", "< added"]
    seen.clear()
    await task.submit(1)
    assert seen[2] == "> own"


async def test_added_middleware_is_around_jobs_of_workers_that_start_then() -> None:
    seen: list[str] = []

    async def run(ctx: conduit.Context, call_next: Any) -> Any:
        seen.append(f"run {ctx.function}")
        return await call_next()

    worker = Worker("w")
    task = worker.task(double)
    with add_middleware(run=run):
        async with worker:
            assert (await task.wait(4)).value == 8
    assert seen == ["run double"]


@pytest.mark.parametrize("given", [7, "text", [7]])
def test_what_is_no_list_of_functions_is_refused(given: Any) -> None:
    with pytest.raises(InvalidTaskError, match="submit_middleware"):
        Worker("w", submit_middleware=given)
    with pytest.raises(InvalidTaskError, match="submit"):
        add_middleware(submit=given)


@pytest.mark.parametrize(
    ("ref", "words"),
    [
        ("tracing", "write module:name"),
        ("tracing:", "write module:name"),
        ("no_such_module:f", "there is no module 'no_such_module'"),
        ("breaks:f", "ZeroDivisionError"),
        ("json:dump_s", "did you mean 'dumps'"),
        ("json:__name__", "isn't a function"),
    ],
)
async def test_a_wrong_name_in_the_settings_is_told(
    ref: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "breaks.py").write_text("1 / 0\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("CONDUIT_SUBMIT_MIDDLEWARE", ref)
    worker = Worker("w")
    task = worker.task(double)
    with pytest.raises(ConfigurationError, match=words):
        await task.submit(1)
    with pytest.raises(ConfigurationError, match=words):
        await worker.start()


# --- schedules -------------------------------------------------------------------------------


async def test_a_tick_passes_the_middleware(store_url: str) -> None:
    passed = Passed()
    marks = changing(lambda job: job.metadata.update(tenant="acme"))
    worker = Worker("w", submit_middleware=[passed, marks])
    ran: asyncio.Queue[str] = asyncio.Queue()

    @worker.cron(timedelta(seconds=1))
    async def tick() -> None:
        ran.put_nowait(conduit.current_job().job_id)

    async with worker:
        job_id = await asyncio.wait_for(ran.get(), 30)
    assert passed.submissions[0] == (Origin.SCHEDULE, ["tick"])
    assert passed.answers[0] == [Submitted(job_id)]
    async with looked_at(store_url) as look:
        job = await look(job_id)
    assert job is not None
    assert json.loads(job.metadata) == {"tenant": "acme"}


async def test_a_refused_tick_is_let_pass_and_others_go_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def refuses(submission: Submission, call_next: SubmitNext) -> None:
        if submission.jobs[0].function == "refused":
            raise SubmitRefusedError("not on Sundays")
        await call_next()

    worker = Worker("w", submit_middleware=[refuses])
    ran: list[str] = []
    twice = asyncio.Event()

    @worker.cron(timedelta(seconds=1))
    async def refused() -> None:
        ran.append("refused")

    @worker.cron(timedelta(seconds=1))
    async def allowed() -> None:
        ran.append("allowed")
        if len(ran) > 2:
            twice.set()

    async with worker:
        await asyncio.wait_for(twice.wait(), 30)
    assert set(ran) == {"allowed"}
    said = [each.getMessage() for each in caplog.records if "is let pass" in each.getMessage()]
    assert said
    assert all(each.startswith("refused at ") and "not on Sundays" in each for each in said)


async def test_a_tick_whose_middleware_fails_is_tried_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    failures = iter([True, True, False])

    async def unsteady(submission: Submission, call_next: SubmitNext) -> None:
        if next(failures, False):
            raise ConnectionError("the tracer is away")
        await call_next()

    worker = Worker("w", submit_middleware=[unsteady])
    ran = asyncio.Event()

    @worker.cron(timedelta(seconds=1))
    async def tick() -> None:
        ran.set()

    async with worker:
        await asyncio.wait_for(ran.wait(), 30)
    failed = [each for each in caplog.records if "submit middleware failed" in each.getMessage()]
    assert len(failed) == 1


async def test_a_job_that_was_refused_is_not_there() -> None:
    ids: list[str] = []

    async def refuses(submission: Submission, call_next: SubmitNext) -> None:
        ids.extend(job.id for job in submission.jobs)
        raise SubmitRefusedError("no")

    task = Worker("w", submit_middleware=[refuses]).task(double)
    with pytest.raises(SubmitRefusedError):
        await task.submit(1)
    with pytest.raises(JobNotFoundError):
        await conduit.Future.of(ids[0], task).status()
