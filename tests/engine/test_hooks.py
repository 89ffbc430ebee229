"""Hooks and middleware around a job."""

from __future__ import annotations

import asyncio
from typing import Any

from conduit.core.model import JobStatus
from conduit.core.retry import RetryPolicy
from conduit.engine.attempts.function import Hooks, Next
from conduit.engine.context import Context
from tests.engine.bench import Bench, task


class Heard:
    """Keeps what hooks are told."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []

    def hooks(self) -> Hooks:
        return Hooks(
            on_start=lambda ctx: self.calls.append(("start", ctx.attempt)),
            on_success=lambda ctx, value: self.calls.append(("success", value)),
            on_failure=lambda ctx, error: self.calls.append(("failure", repr(error))),
            on_retry=lambda ctx, error: self.calls.append(("retry", repr(error))),
            on_complete=lambda ctx: self.calls.append(("complete", ctx.attempt)),
        )


async def fine() -> str:
    return "fine"


async def test_hooks_hear_of_a_timeout_as_the_queue_does(bench: Bench) -> None:
    heard = Heard()

    async def hang() -> None:
        await asyncio.Event().wait()

    retry = RetryPolicy(retries=1, delay=0)
    await bench.start(task(hang, timeout=0.1, retry=retry, hooks=heard.hooks()))
    job = await bench.run("hang")
    assert job.error is not None
    assert job.error.type == "TimeoutError"
    told = f"TimeoutError('{job.error.message}')"
    assert heard.calls == [
        ("start", 1),
        ("retry", told),
        ("start", 2),
        ("failure", told),
        ("complete", 2),
    ]


async def test_async_hooks_run_after_a_timeout(bench: Bench) -> None:
    heard: list[str] = []

    async def on_failure(ctx: Context, error: BaseException) -> None:
        await asyncio.sleep(0)
        heard.append(type(error).__name__)

    async def deaf() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return

    await bench.start(task(deaf, timeout=0.1, hooks=Hooks(on_failure=on_failure)))
    assert (await bench.run("deaf")).status is JobStatus.FAILED
    assert heard == ["TimeoutError"]


async def test_a_hook_that_fails_in_any_way_changes_nothing_about_its_job(bench: Bench) -> None:
    class Odd(BaseException):
        pass

    def broken(*args: object) -> None:
        raise Odd

    async def cancelled(*args: object) -> None:
        raise asyncio.CancelledError

    hooks = Hooks(on_start=broken, on_success=cancelled, on_complete=broken)
    await bench.start(task(fine, hooks=hooks))
    job = await bench.completed(await bench.submit("fine"))
    assert job.result == b'"fine"'
    logged = [line.message for line in await bench.queue.logs(job.id)]
    assert len(logged) == 3
    assert all(line.startswith("a hook of this job failed") for line in logged)


async def test_the_first_middleware_is_the_outermost(bench: Bench) -> None:
    order: list[str] = []

    def named(name: str):
        async def middleware(ctx: Context, call_next: Next) -> Any:
            order.append(f"into {name}")
            value = await call_next()
            order.append(f"out of {name}")
            return f"{name}({value})"

        return middleware

    await bench.start(task(fine), middleware=[named("first"), named("second")])
    job = await bench.run("fine")
    assert job.result == b'"first(second(fine))"'
    assert order == ["into first", "into second", "out of second", "out of first"]
