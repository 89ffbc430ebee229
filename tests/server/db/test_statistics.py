"""Statistics and trends: counts are exact, percentiles are those of the definition."""

from __future__ import annotations

import random
import statistics as of_python
from typing import Any

import pytest

from conduit.core.model import JobStatus
from conduit.server.db import statistics
from conduit.server.db.database import Database
from conduit.server.db.rows import JobRow
from conduit.server.db.statistics import NO_PERCENTILES, Bucket, Series, Statistics, Window
from tests.server.db.jobs import a_job, insert

WINDOW = Window(after=1000, before=2000)


def ended(id: str, status: JobStatus, *, at: int, wait: int, run: int, **fields: Any) -> JobRow:
    started_at = at - run
    return a_job(
        id,
        status=status,
        finished_at=at,
        started_at=started_at,
        run_at=started_at - wait,
        submitted_at=started_at - wait,
        **fields,
    )


async def of(database: Database, window: Window = WINDOW) -> Statistics:
    async with database.read() as connection:
        return await statistics.statistics(connection, window)


async def over_time(database: Database, window: Window, bucket_ms: int) -> list[Bucket]:
    async with database.read() as connection:
        return await statistics.trends(connection, window, bucket_ms)


async def test_an_empty_history_has_statistics_too(database: Database) -> None:
    found = await of(database)
    assert found.submitted == 0
    assert set(found.statuses) == set(JobStatus)
    assert set(found.statuses.values()) == {0}
    assert (found.overall.total, found.overall.error_rate, found.functions) == (0, None, {})
    assert found.overall.run == NO_PERCENTILES


async def test_what_ended_in_the_window_is_counted_per_function_and_overall(
    database: Database,
) -> None:
    await insert(
        database,
        ended("a", JobStatus.COMPLETED, at=1000, wait=10, run=100, function="f"),
        ended("b", JobStatus.COMPLETED, at=1999, wait=30, run=300, function="f"),
        ended("c", JobStatus.FAILED, at=1500, wait=20, run=200, function="g"),
        ended("before", JobStatus.FAILED, at=999, wait=1, run=1, function="f"),
        ended("after", JobStatus.FAILED, at=2000, wait=1, run=1, function="g"),
        a_job("d", status=JobStatus.CANCELLED, finished_at=1200, function="g", submitted_at=1),
        a_job("e", status=JobStatus.RUNNING, started_at=1300, submitted_at=1300),
    )
    found = await of(database)
    assert found.statuses[JobStatus.FAILED] == 3
    assert found.statuses[JobStatus.RUNNING] == 1
    overall = found.overall
    assert (overall.completed, overall.failed, overall.cancelled, overall.total) == (2, 1, 1, 4)
    assert overall.error_rate == pytest.approx(1 / 3)
    assert (overall.run.p50, overall.run.of) == (200, 3)
    assert overall.wait.p50 == 20
    f, g = found.functions["f"], found.functions["g"]
    assert (f.completed, f.failed, f.error_rate, f.run.p50) == (2, 0, 0, 200)
    assert (g.completed, g.failed, g.cancelled, g.error_rate) == (0, 1, 1, 1)
    assert (g.run.p50, g.run.p99, g.run.of) == (200, 200, 1)


async def test_percentiles_are_those_of_the_definition(database: Database) -> None:
    chosen = random.Random(7)
    runs = [chosen.randrange(1, 900) for _ in range(201)]
    waits = [chosen.randrange(0, 90) for _ in runs]
    await insert(
        database,
        *(
            ended(f"j{number}", JobStatus.COMPLETED, at=1100, wait=wait, run=run)
            for number, (run, wait) in enumerate(zip(runs, waits, strict=True))
        ),
    )
    overall = (await of(database)).overall
    for found, values in ((overall.run, runs), (overall.wait, waits)):
        hundredths = of_python.quantiles(values, n=100, method="inclusive")
        expected = [hundredths[place] for place in (49, 94, 98)]
        assert [found.p50, found.p95, found.p99] == pytest.approx(expected)
        assert found.of == 201


async def test_of_very_many_jobs_the_latest_stand_for_all(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statistics, "SAMPLES", {"postgresql": 3, "sqlite": 3})
    await insert(
        database,
        *(
            ended(f"j{at}", JobStatus.COMPLETED, at=at, wait=0, run=at - 1000)
            for at in range(1001, 1011)
        ),
    )
    overall = (await of(database)).overall
    assert overall.completed == 10
    assert (overall.run.of, overall.run.p50) == (3, 9)


async def test_a_clock_that_jumped_back_makes_no_negative_times(database: Database) -> None:
    await insert(database, ended("a", JobStatus.COMPLETED, at=1500, wait=-5, run=-7))
    overall = (await of(database)).overall
    assert (overall.wait.p50, overall.run.p50) == (0, 0)


async def test_a_window_may_be_of_one_function_and_queue(database: Database) -> None:
    await insert(
        database,
        ended("a", JobStatus.COMPLETED, at=1100, wait=1, run=1, function="f", queue="fast"),
        ended("b", JobStatus.COMPLETED, at=1100, wait=1, run=1, function="f", queue="slow"),
        ended("c", JobStatus.FAILED, at=1100, wait=1, run=1, function="g", queue="fast"),
    )
    window = Window(after=1000, before=2000, functions=("f",), queues=("fast",))
    found = await of(database, window)
    assert (found.submitted, found.overall.total) == (1, 1)
    assert found.statuses[JobStatus.COMPLETED] == 1
    assert list(found.functions) == ["f"]


async def test_trends_have_a_bucket_for_each_span_also_where_nothing_happened(
    database: Database,
) -> None:
    await insert(
        database,
        ended("a", JobStatus.COMPLETED, at=1010, wait=0, run=5),
        ended("b", JobStatus.FAILED, at=1399, wait=0, run=50),
        a_job("c", submitted_at=1234),
    )
    buckets = await over_time(database, Window(after=1000, before=1400), 100)
    assert [bucket.at for bucket in buckets] == [1000, 1100, 1200, 1300]
    assert [bucket.submitted for bucket in buckets] == [1, 0, 1, 1]
    assert [bucket.ended.completed for bucket in buckets] == [1, 0, 0, 0]
    assert [bucket.ended.failed for bucket in buckets] == [0, 0, 0, 1]
    assert [bucket.ended.run.p95 for bucket in buckets] == [5, None, None, 50]


async def test_activity_is_told_by_function_and_by_queue(database: Database) -> None:
    await insert(
        database,
        ended("a", JobStatus.COMPLETED, at=1010, wait=0, run=5, function="f", queue="p"),
        ended("b", JobStatus.FAILED, at=1150, wait=0, run=5, function="f", queue="q"),
        ended("c", JobStatus.FAILED, at=1199, wait=0, run=5, function="g", queue="q"),
        ended("d", JobStatus.CANCELLED, at=1200, wait=0, run=5, function="g", queue="q"),
        ended("e", JobStatus.COMPLETED, at=1300, wait=0, run=5, function="late"),
        a_job("waits", function="waits"),
    )
    window = Window(after=1000, before=1300)
    async with database.read() as connection:
        functions = await statistics.activity(connection, window, 100, by="function")
        queues = await statistics.activity(connection, window, 100, by="queue")
    assert functions == {
        "f": Series(completed=[1, 0, 0], failed=[0, 1, 0], cancelled=[0, 0, 0]),
        "g": Series(completed=[0, 0, 0], failed=[0, 1, 0], cancelled=[0, 0, 1]),
    }
    assert queues == {
        "p": Series(completed=[1, 0, 0], failed=[0, 0, 0], cancelled=[0, 0, 0]),
        "q": Series(completed=[0, 0, 0], failed=[0, 2, 0], cancelled=[0, 0, 1]),
    }


async def test_trends_of_too_many_buckets_are_refused(database: Database) -> None:
    for bucket_ms in (0, 1):
        with pytest.raises(ValueError, match="buckets"):
            await over_time(database, Window(after=0, before=10_000), bucket_ms)
