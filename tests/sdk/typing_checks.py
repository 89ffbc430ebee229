"""What type checkers and editors know of a service; pyright reads this file, nothing runs it."""

# pyright: strict, reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, assert_type

import conduit
from conduit.sdk.task import AsyncTaskHandle, PlainTaskHandle

worker = conduit.Worker("orders")
placed = worker.event("order.placed")


@worker.task
async def charge(order_id: str, cents: int = 0) -> float:
    return cents / 100


@worker.task(retries=3, timeout=1.5)
def thumbnail(path: str) -> bytes:
    return b""


@worker.cron("@daily", timezone="UTC")
async def report() -> None: ...


@placed.on(retries=2)
async def mail(order_id: str) -> int:
    return 1


async def submits_keep_parameters_and_results() -> None:
    assert_type(await charge.submit("a", cents=1), conduit.Future[float])
    assert_type(await charge.wait("a"), conduit.TaskResult[float])
    assert_type(thumbnail.submit_sync("a"), conduit.Future[bytes])
    assert_type(thumbnail.wait_sync("a"), conduit.TaskResult[bytes])
    assert_type(await report.submit(), conduit.Future[None])
    assert_type(await mail.submit("a"), conduit.Future[int])
    await charge.submit(1)  # pyright: ignore[reportArgumentType]
    await charge.submit("a", "b")  # pyright: ignore[reportArgumentType]
    await charge.submit()  # pyright: ignore[reportCallIssue]
    await charge.submit("a", euros=1)  # pyright: ignore[reportCallIssue]
    thumbnail.submit_sync(7)  # pyright: ignore[reportArgumentType]


async def a_call_gives_what_the_function_gives() -> None:
    coroutine = assert_type(charge("a"), Coroutine[Any, Any, float])
    assert_type(await coroutine, float)
    assert_type(thumbnail("a"), bytes)
    thumbnail(7)  # pyright: ignore[reportArgumentType]


async def options_keep_the_handles_type() -> None:
    assert_type(await charge.options(delay=1).submit("a"), conduit.Future[float])
    await charge.options(delay=1).submit(7)  # pyright: ignore[reportArgumentType]
    first = await charge.submit("a")
    charge.options(after=first).options(after=[first, "id"]).options(after="id")
    charge.options(after=7)  # pyright: ignore[reportArgumentType]
    charge.options(rate_limit=1)  # pyright: ignore[reportCallIssue]


async def futures_know_their_value() -> None:
    future = await charge.submit("a")
    assert_type(await future.result(), conduit.TaskResult[float])
    assert_type(await future.value(), float)
    assert_type(await future, float)
    assert_type(future.value_sync(), float)
    assert_type(conduit.Future.of("id", charge), conduit.Future[float])
    assert_type(conduit.Future.of("id"), conduit.Future[Any])


async def helpers_know_their_values() -> None:
    futures = await conduit.submit_many(thumbnail, ["a"])
    assert_type(futures, list[conduit.Future[bytes]])
    assert_type(await conduit.gather(*futures), list[bytes])
    assert_type(await conduit.map_tasks(charge, ["a"]), list[float])
    assert_type(await conduit.first_completed(*futures), bytes)
    async for future in conduit.as_completed(futures):
        assert_type(future, conduit.Future[bytes])


def handles_fit_the_general_type(
    one: AsyncTaskHandle[[int], str], other: PlainTaskHandle[[int], str]
) -> list[conduit.TaskHandle[[int], str]]:
    return [one, other]


worker.task(rate_limit=1)  # pyright: ignore[reportCallIssue]
