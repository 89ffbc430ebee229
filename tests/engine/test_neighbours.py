"""Workers of one name that aren't the same worker."""

from __future__ import annotations

import pytest

from tests.engine.bench import Bench, task


async def charge(order_id: str) -> None: ...


async def refund(order_id: str) -> None: ...


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if "another running" in each.getMessage()]


async def test_a_worker_warns_when_one_of_its_name_runs_with_other_functions(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    await bench.start(task(charge))
    await bench.start(task(refund))
    (warning,) = warnings_of(caplog)
    assert warning.startswith("another running worker 'orders' has other functions (")
    assert "give one of them another name" in warning


async def test_a_worker_warns_when_one_of_its_name_has_another_signature(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    async def other(order_id: str, cents: int) -> None: ...

    await bench.start(task(charge))
    await bench.start(task(other, name="charge"))
    (warning,) = warnings_of(caplog)
    assert "(order_id: str, cents: int)" in warning


async def test_the_same_worker_twice_and_workers_of_other_names_are_no_news(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    await bench.start(task(charge))
    await bench.start(task(charge))
    await bench.start(task(refund), name="refunds")
    assert not warnings_of(caplog)


async def test_a_worker_that_has_stopped_is_no_neighbour(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    await (await bench.start(task(charge))).stop()
    await bench.start(task(refund))
    assert not warnings_of(caplog)
