"""Lists of jobs: each filter, each order, pages by cursor, and totals that are exact."""

from __future__ import annotations

from typing import Any

import pytest

from conduit.core.model import JobStatus
from conduit.server.db import queries
from conduit.server.db.database import Database
from conduit.server.db.queries import JobPage, JobQuery, Sort
from tests.server.db.jobs import a_job, insert


async def found(database: Database, query: JobQuery, **options: Any) -> JobPage:
    async with database.read() as connection:
        return await queries.list_jobs(connection, query, **options)


async def ids(database: Database, **filter: Any) -> list[str]:
    page = await found(database, JobQuery(**filter), sort=Sort.OLDEST)
    assert page.total == len(page.items)
    return [job.id for job in page.items]


@pytest.fixture
async def some_jobs(database: Database) -> Database:
    await insert(
        database,
        a_job("a", submitted_at=1, status=JobStatus.RUNNING, worker_id="w1", started_at=5),
        a_job("b", submitted_at=2, status=JobStatus.FAILED, worker_id="w2", reason="error"),
        a_job("c", submitted_at=3, function="thumbnail", queue="slow", key="order-7"),
        a_job("d", submitted_at=4, status=JobStatus.COMPLETED, parent_id="a", root_id="a"),
        a_job("e", submitted_at=5, parent_id="d", root_id="a", args='{"order":"ORD-9_%"}'),
    )
    return database


@pytest.mark.parametrize(
    ("filter", "expected"),
    [
        ({}, "abcde"),
        ({"statuses": (JobStatus.RUNNING,)}, "a"),
        ({"statuses": (JobStatus.RUNNING, JobStatus.FAILED)}, "ab"),
        ({"functions": ("thumbnail",)}, "c"),
        ({"functions": ("thumbnail", "charge")}, "abcde"),
        ({"worker_ids": ("w1",)}, "a"),
        ({"worker_ids": ("w1", "w2")}, "ab"),
        ({"queues": ("slow",)}, "c"),
        ({"key": "order-7"}, "c"),
        ({"parent_id": "d"}, "e"),
        ({"root_id": "a"}, "de"),
        ({"submitted_after": 3}, "cde"),
        ({"submitted_before": 3}, "ab"),
        ({"submitted_after": 2, "submitted_before": 4}, "bc"),
        ({"submitted_after": 2**70}, ""),
        ({"submitted_before": 2**70}, "abcde"),
        ({"q": "THUMB"}, "c"),
        ({"q": "der-7"}, "c"),
        ({"q": "ord-9_%"}, "e"),
        ({"q": "_%"}, "e"),
        ({"q": "w2"}, "b"),
        ({"q": "nothing of that"}, ""),
        ({"q": ""}, "abcde"),
        ({"statuses": (JobStatus.QUEUED,), "root_id": "a"}, "e"),
        ({"statuses": (JobStatus.RUNNING,), "worker_ids": ("w2",)}, ""),
        ({"q": "\\"}, ""),
        ({"q": "a\0"}, ""),
        ({"key": "\ud800"}, ""),
    ],
)
async def test_filters_combine(some_jobs: Database, filter: dict[str, Any], expected: str) -> None:
    assert await ids(some_jobs, **filter) == list(expected)


async def test_the_total_is_exact_whatever_the_page(some_jobs: Database) -> None:
    page = await found(some_jobs, JobQuery(functions=("charge",)), limit=2, offset=1)
    assert [job.id for job in page.items] == ["d", "b"]
    assert page.total == 4


async def test_a_page_beyond_the_end_is_empty_and_says_the_total(some_jobs: Database) -> None:
    page = await found(some_jobs, JobQuery(), offset=2**70)
    assert (page.items, page.total, page.next_cursor) == ([], 5, None)


async def test_statuses_are_counted_under_all_filters_but_their_own(some_jobs: Database) -> None:
    query = JobQuery(statuses=(JobStatus.FAILED,), functions=("charge",))
    page = await found(some_jobs, query, limit=1, by_status=True)
    assert page.total == 1
    assert page.statuses == {"running": 1, "failed": 1, "completed": 1, "queued": 1}

    none = await found(some_jobs, JobQuery(statuses=(JobStatus.BLOCKED,)), by_status=True)
    assert none.total == 0
    assert none.statuses == {"running": 1, "failed": 1, "completed": 1, "queued": 2}
    assert (await found(some_jobs, query)).statuses is None


async def test_payloads_are_left_out_of_lists_and_told_of_one_job(database: Database) -> None:
    args = '{"x":"' + "é" * 300 + '"}'
    await insert(database, a_job("a", args=args, result="2", metadata='{"m":1}'))
    (listed,) = (await found(database, JobQuery())).items
    assert (listed.args, listed.result, listed.metadata) == (args[:200], None, "{}")
    async with database.read() as connection:
        job = await queries.get_job(connection, "a")
    assert job is not None
    assert (job.args, job.result, job.metadata) == (args, "2", '{"m":1}')


@pytest.mark.parametrize("sort", Sort)
async def test_pages_by_cursor_show_every_job_once_in_order(database: Database, sort: Sort) -> None:
    times = (None, 3, 1, 3, None, 2, 1, 2**40)
    await insert(
        database,
        *(
            a_job(
                f"j{number}",
                submitted_at=1000 + number % 3,
                run_at=2000 + number % 2,
                started_at=None if time is None else 10,
                finished_at=None if time is None else 10 + time,
            )
            for number, time in enumerate(times)
        ),
    )
    whole = [job.id for job in (await found(database, JobQuery(), sort=sort)).items]
    paged: list[str] = []
    page = await found(database, JobQuery(), sort=sort, limit=1)
    paged += [job.id for job in page.items]
    while page.next_cursor:
        page = await found(database, JobQuery(), sort=sort, limit=3, cursor=page.next_cursor)
        assert page.total == len(times)
        paged += [job.id for job in page.items]
    assert paged == whole
    assert len(set(paged)) == len(times)
    if sort.optional:
        assert set(whole[-2:]) == {"j0", "j4"}


async def test_sorting_by_duration_puts_the_longest_first(database: Database) -> None:
    await insert(
        database,
        a_job("short", started_at=1, finished_at=2),
        a_job("unfinished", started_at=1),
        a_job("long", started_at=1, finished_at=9),
    )
    page = await found(database, JobQuery(), sort=Sort.LONGEST)
    assert [job.id for job in page.items] == ["long", "short", "unfinished"]


async def test_jobs_submitted_meanwhile_neither_repeat_nor_hide_others(
    some_jobs: Database,
) -> None:
    first = await found(some_jobs, JobQuery(), limit=2)
    await insert(some_jobs, a_job("new", submitted_at=99))
    rest = await found(some_jobs, JobQuery(), cursor=first.next_cursor)
    assert [job.id for job in (*first.items, *rest.items)] == list("edcba")
    assert rest.total == 6


async def test_cursors_that_no_list_gave_are_refused(database: Database) -> None:
    await insert(database, a_job("a"), a_job("b"))
    other = (await found(database, JobQuery(), limit=1, sort=Sort.OLDEST)).next_cursor
    for cursor in ("", "x", "é", "AAAA", "W10", other):
        with pytest.raises(ValueError, match="cursor"):
            await found(database, JobQuery(), cursor=cursor)


async def test_text_searched_for_is_never_a_pattern(database: Database) -> None:
    await insert(database, a_job("a", key="100%"), a_job("b", key="100/1"), a_job("c", key="1000"))
    assert await ids(database, q="100%") == ["a"]
    assert await ids(database, q="100/") == ["b"]
