"""What the history forgets, and what it never does."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Table, func, select

from conduit.core.errors import ConfigurationError
from conduit.core.model import JobStatus
from conduit.server.artifacts.files import FileStore
from conduit.server.db import retention, tables
from conduit.server.db.database import Database
from conduit.server.db.retention import Forgetting, Forgotten, Keep, Limit, forget, parse_keep
from tests.server.db.jobs import a_job, insert

NOW = 1_000_000
KEEP = Keep(
    jobs=Limit(age_ms=1000), changes_ms=100, deleted_ms=100, replayed_ms=100, requests_ms=100
)


async def add(database: Database, table: Table, **values: Any) -> None:
    async with database.begin() as connection:
        await connection.execute(table.insert().values(values))


async def count(database: Database, table: Table) -> int:
    async with database.read() as connection:
        statement = select(func.count()).select_from(table)
        return (await connection.execute(statement)).scalar_one()


async def ids(database: Database) -> set[str]:
    async with database.read() as connection:
        return set((await connection.execute(select(tables.jobs.c.id))).scalars())


async def test_only_jobs_that_finished_long_ago_are_forgotten(database: Database) -> None:
    await insert(
        database,
        a_job("old", status=JobStatus.FAILED, finished_at=NOW - 1001),
        a_job("young", status=JobStatus.FAILED, finished_at=NOW - 1000),
        a_job("waits for ever", submitted_at=0),
        a_job("runs for ever", status=JobStatus.RUNNING, submitted_at=0, started_at=0),
    )
    assert (await forget(database, KEEP, NOW)).jobs == 1
    assert await ids(database) == {"young", "waits for ever", "runs for ever"}


async def test_all_that_belongs_to_a_job_goes_with_it(database: Database) -> None:
    await insert(
        database,
        a_job("old", status=JobStatus.COMPLETED, finished_at=1),
        a_job("young", status=JobStatus.COMPLETED, finished_at=NOW),
    )
    for job_id in ("old", "young"):
        of_job = {"job_id": job_id, "at": 1}
        started = {"job_id": job_id, "fence": 1, "generation": 1, "attempt": 1, "claimed_at": 1}
        line = {"number": 1, "attempt": 1, "level": "info", "logger": "x", "message": "x"}
        file = {"name": "x", "content_type": "text/plain", "size": 1, "sha256": "0" * 64}
        await add(database, tables.dependencies, job_id=job_id, after_id="other")
        await add(database, tables.attempts, **started)
        await add(database, tables.logs, **of_job, **line)
        await add(database, tables.artifacts, **of_job, **file)
        await add(database, tables.parked_events, **of_job, seq=9, body="{}", parked_at=1)
    await forget(database, KEEP, NOW)
    for table in retention._OF_A_JOB:
        assert await count(database, table) == 1


async def test_what_is_no_job_has_a_time_of_its_own(database: Database) -> None:
    for at in (NOW - 101, NOW):
        change = {"topic": "job", "subject": "x", "kind": "x", "data": "{}", "at": at}
        letter = {"number": at, "reason": "x", "body": "{}", "deliveries": 5, "at": 1}
        requests = {"api": "x", "method": "GET", "route": "/", "status": 200, "minute": at}
        person = {"token_hash": str(at).encode(), "role": "admin", "key_hash": b"x"}
        await add(database, tables.changes, **change)
        await add(database, tables.deleted_jobs, id=str(at), deleted_at=at)
        await add(database, tables.dead_letters, position="x", **letter, replayed_at=at)
        await add(database, tables.api_requests, **requests, count=1, total_ms=1.0, buckets="[]")
        await add(database, tables.sessions, **person, expires_at=at)
    await add(database, tables.dead_letters, position="y", **letter)
    assert await forget(database, KEEP, NOW) == Forgotten(jobs=0, others=5)
    assert await count(database, tables.dead_letters) == 2
    assert await forget(database, KEEP, NOW) == Forgotten()


async def test_much_is_forgotten_in_small_steps(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH", 10)
    await insert(
        database,
        *(a_job(f"j{n}", status=JobStatus.COMPLETED, finished_at=n) for n in range(35)),
    )
    assert (await forget(database, KEEP, NOW)).jobs == 35
    assert await ids(database) == set()


async def test_servers_share_the_work(database: Database) -> None:
    await insert(
        database,
        *(a_job(f"j{n}", status=JobStatus.COMPLETED, finished_at=n) for n in range(2000)),
    )
    async with Database(database.url) as other:
        done = await asyncio.gather(forget(database, KEEP, NOW), forget(other, KEEP, NOW))
    assert sum(forgotten.jobs for forgotten in done) == 2000


async def test_numbers_of_changes_are_never_given_again(database: Database) -> None:
    change = {"topic": "job", "subject": "x", "kind": "x", "data": "{}", "at": 1}
    await add(database, tables.changes, **change)
    await forget(database, KEEP, NOW)
    await add(database, tables.changes, **change)
    async with database.read() as connection:
        assert (await connection.execute(select(tables.changes.c.id))).scalar_one() == 2


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("30d", Limit(age_ms=30 * 86_400_000)),
        ("12h, 500", Limit(age_ms=12 * 3_600_000, count=500)),
        ("1000000", Limit(count=1_000_000)),
    ],
)
def test_a_limit_is_an_age_a_number_or_both(text: str, limit: Limit) -> None:
    assert parse_keep({"logs": text}) == Keep(logs=limit)


@pytest.mark.parametrize("text", ["0", "0d", "-1", "30d,30d", "5,5", "30 days", "d", "1.5h", ","])
def test_a_limit_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="what is kept of jobs can't be"):
        parse_keep({"jobs": text})


async def test_of_finished_jobs_the_newest_are_kept_as_many_as_was_said(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH", 10)
    await insert(
        database,
        *(a_job(f"j{n:02}", status=JobStatus.COMPLETED, finished_at=n) for n in range(35)),
        a_job("waits", submitted_at=0),
    )
    few, many = Keep(jobs=Limit(count=3)), Keep(jobs=Limit(count=36))
    assert (await forget(database, many, NOW)).jobs == 0
    async with Database(database.url) as other:
        done = await asyncio.gather(forget(database, few, NOW), forget(other, few, NOW))
    assert sum(forgotten.jobs for forgotten in done) == 32
    assert await ids(database) == {"j32", "j33", "j34", "waits"}


async def test_an_age_from_before_all_time_keeps_everything(database: Database) -> None:
    await insert(database, a_job("old", status=JobStatus.COMPLETED, finished_at=0))
    keep = parse_keep(dict.fromkeys(("jobs", "logs", "artifacts"), "999999999999d"))
    assert await forget(database, keep, NOW) == Forgotten()
    assert await ids(database) == {"old"}


async def test_what_any_server_has_forgotten_is_known_at_once(
    database: Database, tmp_path: Path
) -> None:
    keep = Keep(jobs=Limit(count=2))
    forgetting = Forgetting(database, FileStore(tmp_path, "history"), keep)
    finished = [a_job(f"j{n}", status=JobStatus.COMPLETED, finished_at=n) for n in range(5)]
    await insert(database, *finished[:1])
    assert await forgetting.kept_since() == 0
    await insert(database, *finished[1:3])
    assert await forgetting.kept_since() == 1
    async with Database(database.url) as other:
        await insert(other, *finished[3:])
        await forget(other, keep, NOW)
    assert await forgetting.kept_since() == 3


async def test_of_a_job_that_stays_old_lines_and_artifacts_go(database: Database) -> None:
    await insert(database, a_job("runs", status=JobStatus.RUNNING, started_at=0))
    for n in range(5):
        at = NOW - 40 + 10 * n
        line = {"number": n, "attempt": 1, "level": "info", "logger": "x", "message": "x"}
        file = {"name": str(n), "content_type": "text/plain", "size": 1, "sha256": "0" * 64}
        await add(database, tables.logs, job_id="runs", at=at, **line)
        await add(database, tables.artifacts, job_id="runs", at=at, **file)
    keep = Keep(logs=Limit(age_ms=20), artifacts=Limit(age_ms=1000, count=2))
    assert await forget(database, keep, NOW) == Forgotten(others=5)
    async with database.read() as connection:
        lines = (await connection.scalars(select(tables.logs.c.number))).all()
        files = (await connection.scalars(select(tables.artifacts.c.name))).all()
    assert (sorted(lines), sorted(files)) == ([2, 3, 4], ["3", "4"])
    assert await ids(database) == {"runs"}
