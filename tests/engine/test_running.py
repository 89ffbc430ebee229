"""Jobs of each kind run to their end."""

from __future__ import annotations

import asyncio
import contextvars
import threading

from conduit.core.events import EventKind
from conduit.core.model import JobStatus, Reason
from conduit.engine.context import current_job
from tests.engine.bench import Bench, process_task, task
from tests.engine.process_jobs import die, double, headers_here, refuse, tell_all

colour: contextvars.ContextVar[str] = contextvars.ContextVar("colour", default="none")


async def add(left: int, right: int = 1) -> int:
    return left + right


async def test_an_async_job_runs_on_the_event_loop(bench: Bench) -> None:
    threads: list[int] = []

    async def where() -> None:
        threads.append(threading.get_ident())

    await bench.start(task(where))
    await bench.run("where")
    assert threads == [threading.get_ident()]


async def test_an_async_jobs_return_value_is_stored(bench: Bench) -> None:
    await bench.start(task(add))
    job = await bench.run("add", args=b'{"left":2,"right":3}')
    assert (job.status, job.result, job.attempt) == (JobStatus.COMPLETED, b"5", 1)


async def test_a_plain_function_runs_in_another_thread(bench: Bench) -> None:
    threads: list[int] = []

    def where() -> str:
        threads.append(threading.get_ident())
        return "there"

    await bench.start(task(where))
    job = await bench.run("where")
    assert job.result == b'"there"'
    assert threads != [threading.get_ident()]


async def test_a_plain_function_runs_in_a_process(bench: Bench) -> None:
    await bench.start(process_task(double), processes=1)
    job = await bench.run("double", args=b'{"number":21}')
    assert (job.status, job.result) == (JobStatus.COMPLETED, b"42")


async def test_an_error_in_a_process_ends_the_job_with_its_words(bench: Bench) -> None:
    await bench.start(process_task(refuse), processes=1)
    job = await bench.run("refuse")
    assert job.status is JobStatus.FAILED
    assert job.error is not None
    assert (job.error.type, job.error.message) == ("ValueError", "not today")
    assert "process_jobs.py" in (job.error.traceback or "")


async def test_a_process_that_dies_fails_its_own_job_only(bench: Bench) -> None:
    await bench.start(process_task(die), process_task(double), processes=1)
    dead = await bench.run("die")
    assert dead.status is JobStatus.FAILED
    assert dead.error is not None
    assert "exit code 7" in dead.error.message
    alive = await bench.run("double", args=b'{"number":4}')
    assert alive.result == b"8"


async def test_a_job_reads_its_headers_wherever_it_runs(bench: Bench) -> None:
    async def on_the_loop() -> dict[str, str]:
        return current_job().headers

    await bench.start(task(on_the_loop), process_task(headers_here), processes=1)
    for function in ("on_the_loop", "headers_here"):
        job = await bench.run(function, headers={"trace": "ab"})
        assert (job.status, job.result) == (JobStatus.COMPLETED, b'{"trace":"ab"}'), job.error


async def test_a_process_tells_the_queue_what_a_coroutine_could(bench: Bench) -> None:
    await bench.start(process_task(tell_all), processes=1)
    job = await bench.run("tell_all", metadata=b'{"size":1}')
    assert (job.status, job.result) == (JobStatus.COMPLETED, b"1"), job.error
    assert job.metadata == b'{"size":1,"colour":"green"}'
    assert job.checkpoint == b'{"page":3}'
    assert (job.progress, job.progress_message) == (0.5, "half")
    logged = [line.message for line in await bench.queue.logs(job.id)]
    assert logged == ["from the job's logger", "from a module's logger"]


async def test_a_plain_function_that_hands_out_a_coroutine_has_it_awaited(bench: Bench) -> None:
    def indirectly(left: int):
        return add(left)

    await bench.start(task(indirectly))
    job = await bench.run("indirectly", args=b'{"left":1}')
    assert job.result == b"2"


async def test_an_error_is_stored_with_its_traceback_from_the_users_code_on(bench: Bench) -> None:
    async def charge() -> None:
        raise LookupError("no such order")

    await bench.start(task(charge))
    job = await bench.run("charge")
    assert (job.status, job.reason) == (JobStatus.FAILED, Reason.ERROR)
    assert job.error is not None
    assert (job.error.type, job.error.message) == ("LookupError", "no such order")
    assert 'raise LookupError("no such order")' in (job.error.traceback or "")
    assert "attempt.py" not in (job.error.traceback or "")


async def test_an_error_whose_words_cannot_be_shown_still_ends_its_job(bench: Bench) -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    async def charge() -> None:
        raise Mute

    await bench.start(task(charge))
    job = await bench.run("charge")
    assert job.status is JobStatus.FAILED
    assert job.error is not None
    assert job.error.type == "Mute"


async def test_arguments_that_do_not_fit_fail_the_job_without_running_it(bench: Bench) -> None:
    await bench.start(task(add))
    job = await bench.run("add", args=b'{"left":"two"}', retries=3)
    assert (job.status, job.reason, job.attempt) == (JobStatus.FAILED, Reason.BAD_PAYLOAD, 1)


async def test_a_thread_that_calls_sys_exit_ends_its_job_and_not_the_worker(bench: Bench) -> None:
    def leave() -> None:
        raise SystemExit(3)

    worker = await bench.start(task(leave), task(add))
    assert (await bench.run("leave")).status is JobStatus.FAILED
    assert (await bench.run("add", args=b'{"left":1}')).status is JobStatus.COMPLETED
    await worker.stop()
    await worker.wait()


async def test_a_coroutine_that_calls_sys_exit_ends_its_job_and_not_the_worker(
    bench: Bench,
) -> None:
    async def leave() -> None:
        raise SystemExit(3)

    await bench.start(task(leave), task(add))
    assert (await bench.run("leave")).status is JobStatus.FAILED
    assert (await bench.run("add", args=b'{"left":1}')).status is JobStatus.COMPLETED


async def test_a_job_that_cancels_itself_has_failed(bench: Bench) -> None:
    async def give_up() -> None:
        raise asyncio.CancelledError

    await bench.start(task(give_up))
    job = await bench.run("give_up")
    assert (job.status, job.reason) == (JobStatus.FAILED, Reason.ERROR)


async def test_a_thread_sees_the_context_variables_of_its_job(bench: Bench) -> None:
    async def middleware(ctx, call_next):
        colour.set("green")
        return await call_next()

    def look() -> str:
        return f"{colour.get()} in {current_job().function}"

    await bench.start(task(look), middleware=[middleware])
    assert (await bench.run("look")).result == b'"green in look"'


async def test_what_a_job_sets_in_a_context_variable_is_gone_in_the_next_one(
    bench: Bench,
) -> None:
    async def paint() -> str:
        before = colour.get()
        colour.set("red")
        return before

    jobs = [await bench.submit("paint") for _ in range(5)]
    await bench.start(task(paint), concurrency=1, prefetch=5)
    assert [(await bench.finished(job)).result for job in jobs] == [b'"none"'] * 5


async def test_a_jobs_events_tell_its_whole_life(bench: Bench) -> None:
    await bench.start(task(add))
    job = await bench.run("add", args=b'{"left":1}')
    assert await bench.kinds(job.id) == [
        EventKind.SUBMITTED,
        EventKind.STARTED,
        EventKind.COMPLETED,
    ]
