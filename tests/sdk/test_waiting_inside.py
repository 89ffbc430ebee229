"""Jobs that wait for other jobs, and for themselves."""

from __future__ import annotations

import asyncio

import pytest

import conduit
from conduit import Future, TaskFailedError, Worker, current_job
from conduit.engine.attempts.waits import WAITS
from tests.sdk import waiting_jobs

PATIENCE = 30.0


async def itself(timeout: float | None = None) -> int:
    return await Future.of(current_job().job_id).value(timeout)


def itself_in_a_thread() -> int:
    return Future.of(current_job().job_id).value_sync()


async def gathers_itself() -> list[int]:
    return await conduit.gather(Future.of(current_job().job_id))


async def error_of(future: Future[object]) -> str:
    with pytest.raises(TaskFailedError) as failed:
        await future.value(PATIENCE)
    return str(failed.value)


@pytest.mark.parametrize("function", [itself, itself_in_a_thread, gathers_itself])
async def test_a_job_that_waits_for_itself_fails_at_once(worker: Worker, function: object) -> None:
    handle = worker.task(function)  # type: ignore[arg-type]
    async with worker:
        words = await error_of(await handle.submit())
    assert "DeadlockError" in words
    assert "waits for itself" in words


async def test_a_timeout_makes_no_sense_of_waiting_for_oneself(worker: Worker) -> None:
    handle = worker.task(itself)
    async with worker:
        assert "waits for itself" in await error_of(await handle.submit(PATIENCE))


async def test_a_job_that_submits_its_own_key_and_waits_is_told_of_the_key(worker: Worker) -> None:
    @worker.task
    async def again(key: str) -> str:
        return await (await again.options(key=key).submit(key)).value()

    async with worker:
        words = await error_of(await again.options(key="k").submit("k"))
    assert "waits for itself" in words
    assert "the key of that submit is this job's own" in words


async def test_a_child_that_waits_for_the_parent_that_waits_for_it_fails_at_once(
    worker: Worker,
) -> None:
    @worker.task
    def child(parent: str) -> int:
        return Future.of(parent, root).value_sync()

    @worker.task
    async def between(parent: str) -> int:
        return await (await child.submit(parent)).value()

    @worker.task
    async def root() -> int:
        return await (await between.submit(current_job().job_id)).value()

    async with worker:
        words = await error_of(await root.submit())
    assert "which waits for job" in words
    assert "none of them would ever end" in words


async def test_a_child_may_wait_for_a_parent_that_does_not_wait_for_it(worker: Worker) -> None:
    submitted: list[Future[int]] = []

    @worker.task
    async def child(parent: str) -> int:
        return 2 * await Future.of(parent, root).value()

    @worker.task
    async def root() -> int:
        submitted.append(await child.submit(current_job().job_id))
        return 21

    async with worker:
        await (await root.submit()).value(PATIENCE)
        assert await submitted[0].value(PATIENCE) == 42


async def test_a_parent_that_gives_up_waiting_may_be_waited_for(worker: Worker) -> None:
    submitted: list[Future[str]] = []

    @worker.task
    async def child(parent: str) -> str:
        return await Future.of(parent, root).value()

    @worker.task
    async def root() -> str:
        submitted.append(await child.submit(current_job().job_id))
        with pytest.raises(TimeoutError):
            await submitted[0].value(timeout=0.5)
        return "went on"

    async with worker:
        assert await (await root.submit()).value(PATIENCE) == "went on"
        assert await submitted[0].value(PATIENCE) == "went on"


async def test_waiting_for_a_job_that_starts_only_after_oneself_fails_at_once(
    worker: Worker,
) -> None:
    @worker.task
    async def step(number: int) -> int:
        return number

    @worker.task
    async def first() -> int:
        second = await step.options(after=current_job().job_id).submit(2)
        third = await step.options(after=second).submit(3)
        return await third.value()

    async with worker:
        words = await error_of(await first.submit())
    assert "starts only after it, because of after=" in words


async def test_a_job_may_submit_what_starts_after_it(worker: Worker) -> None:
    submitted: list[Future[int]] = []

    @worker.task
    async def step(number: int) -> int:
        return number

    @worker.task
    async def first() -> None:
        submitted.append(await step.options(after=current_job().job_id).submit(2))

    async with worker:
        await (await first.submit()).value(PATIENCE)
        assert await submitted[0].value(PATIENCE) == 2


async def test_in_worker_processes_a_job_that_waits_for_itself_fails_at_once() -> None:
    async with waiting_jobs.worker:
        words = await error_of(await waiting_jobs.heavy_itself.submit())
        assert "waits for itself" in words
        words = await error_of(await waiting_jobs.heavy_parent.submit())
        assert "none of them would ever end" in words


async def test_nothing_is_remembered_of_waits_that_are_over(worker: Worker) -> None:
    gone = asyncio.Event()

    @worker.task
    async def child() -> None:
        await gone.wait()

    @worker.task
    async def parent() -> None:
        await (await child.submit()).value()

    async with worker:
        future = await parent.submit()
        while not WAITS.of(future.job_id):  # noqa: ASYNC110 - a count can only be asked
            await asyncio.sleep(0.01)
        gone.set()
        await future.value(PATIENCE)
        assert not WAITS.of(future.job_id)
