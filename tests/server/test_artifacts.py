"""What jobs keep: copied out of the queue, served as downloads, removed with their rows."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec import structs
from sqlalchemy import select, update

from conduit.core.model import Artifact, JobStatus, Lease, NewJob
from conduit.queue import open_queue
from conduit.queue.base import Claim, Note, Outcome, OutcomeKind, Queue, Retention
from conduit.server.artifacts import FileStore
from conduit.server.copying import GONE, Copier
from conduit.server.db import tables
from conduit.server.db.database import Database
from conduit.server.db.rows import ArtifactRow
from conduit.server.retention import Keep, forget
from tests.server.db.jobs import a_job, insert
from tests.server.http.conftest import (  # noqa: F401
    Serve,
    client_of,
    empty_history,
    history,
    queue,
    queue_url,
    serve,
    until,
)
from tests.servers.fixtures import StartRedis

PAGE = b"<script>alert(1)</script>"
NAMES = ["page.html", "../../../../etc/passwd", "/etc/hostname", "a/b c\u00e9.txt", "..", "%2e%2e"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "artifacts"


@pytest.fixture
def store(folder: Path) -> FileStore:
    return FileStore(folder, "this history")


@pytest.fixture
def copier(queue: Queue, database: Database, store: FileStore) -> Copier:  # noqa: F811
    return Copier(queue, database, store)


def described(name: str, data: bytes) -> Artifact:
    return Artifact(name, "text/html", len(data), sha256(data).hexdigest())


async def keep(queue: Queue, job_id: str, **files: bytes) -> None:  # noqa: F811
    """Run a job that keeps some files."""
    await queue.submit([NewJob(id=job_id, function="f")])
    claim = Claim(worker_id="w", queues=("default",), functions=("f",), limit=1, lease_ms=60_000)
    (job,) = await queue.claim(claim)
    lease = Lease(job.id, job.token or "")
    await queue.record(
        [
            Note(lease=lease, artifact=described(name, data), data=data)
            for name, data in files.items()
        ]
    )
    await queue.finish([Outcome(lease=lease, kind=OutcomeKind.COMPLETE, result=b"null")])


async def forget_in_queue(queue: Queue, job_id: str) -> None:  # noqa: F811
    """Let the queue forget a finished job, as it does some time after its end."""
    while (await queue.get([job_id])) != [None]:
        await queue.sweep(Retention(results_ms=0))


async def tell(database: Database, job_id: str, **files: bytes) -> None:
    """Describe files in the history, as the ingest does."""
    rows = [
        ArtifactRow(job_id=job_id, at=1, **structs.asdict(described(name, data)))
        for name, data in files.items()
    ]
    async with database.begin() as connection:
        values = [structs.asdict(row) for row in rows]
        await connection.execute(tables.artifacts.insert(), values)


async def locations(database: Database) -> list[str | None]:
    async with database.read() as connection:
        return list(await connection.scalars(select(tables.artifacts.c.location)))


async def all_copied(database: Database, many: int) -> None:
    async def look() -> bool:
        found = await locations(database)
        return len(found) == many and None not in found

    await until(look)


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def make_old(folder: Path) -> None:
    for path in files(folder):
        os.utime(path, (1, 1))


# --- the server ---------------------------------------------------------------------------------


@pytest.fixture
async def api(serve: Serve) -> AsyncIterator[httpx.AsyncClient]:  # noqa: F811
    async with client_of(await serve()) as client:
        yield client


async def test_what_a_job_kept_can_be_had_when_the_queue_has_forgotten_the_job(
    api: httpx.AsyncClient,
    queue: Queue,  # noqa: F811
    history: str,  # noqa: F811
    folder: Path,
) -> None:
    await keep(queue, "j", **{name: PAGE + name.encode() for name in NAMES})
    async with Database(history) as database:
        await all_copied(database, len(NAMES))
    await forget_in_queue(queue, "j")

    listed = (await api.get("/jobs/j/artifacts")).json()["items"]
    assert {each["name"] for each in listed} == set(NAMES)
    root = str(api.base_url.copy_with(path="/"))
    for each in listed:
        if each["name"] in ("..", "%2e%2e"):
            continue  # clients take these for steps in the path before they ask
        answer = await api.get(root.rstrip("/") + each["href"])
        assert answer.content == PAGE + each["name"].encode(), each
    assert len(files(folder)) == len(NAMES)
    assert all(path.name.isalnum() and len(path.name) == 32 for path in files(folder))


async def test_a_page_that_a_job_kept_is_saved_and_never_shown(
    api: httpx.AsyncClient,
    queue: Queue,  # noqa: F811
    history: str,  # noqa: F811
) -> None:
    await keep(queue, "j", **{"page.html": PAGE})
    async with Database(history) as database:
        await all_copied(database, 1)
    await forget_in_queue(queue, "j")
    headers = (await api.get("/jobs/j/artifacts/page.html")).headers
    assert headers["content-disposition"] == "attachment; filename*=UTF-8''page.html"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"] == "sandbox; default-src 'none'"


async def test_what_was_copied_can_be_had_while_the_queue_is_away(
    serve: Serve,  # noqa: F811
    start_redis: StartRedis,
    history: str,  # noqa: F811
) -> None:
    redis = start_redis()
    async with client_of(await serve(queue_url=redis.url)) as api:
        async with open_queue(redis.url) as there:
            await keep(there, "j", report=b"rows")
        async with Database(history) as database:
            await all_copied(database, 1)
        redis.stop()
        assert (await api.get("/jobs/j/artifacts/report")).content == b"rows"
        assert (await api.get("/jobs/j/artifacts/other")).status_code == 503


async def test_a_store_that_cannot_be_written_is_told_and_waited_for(
    serve: Serve,  # noqa: F811
    queue: Queue,  # noqa: F811
    history: str,  # noqa: F811
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    taken = tmp_path / "taken"
    taken.write_text("a file where the folder should be")
    async with client_of(await serve(artifacts_dir=taken)) as api:
        await keep(queue, "j", report=b"rows")

        async def told() -> bool:
            return "artifacts aren't copied out of the queue" in caplog.text

        await until(told)
        assert (await api.get("/jobs/j/artifacts/report")).content == b"rows"
        taken.unlink()
        async with Database(history) as database:
            await all_copied(database, 1)


# --- copying ------------------------------------------------------------------------------------


async def test_bytes_are_copied_once_and_for_their_owner_alone(
    copier: Copier,
    queue: Queue,  # noqa: F811
    database: Database,
    store: FileStore,
    folder: Path,
) -> None:
    await keep(queue, "j", a=b"1", b=b"")
    await tell(database, "j", a=b"1", b=b"")
    await copier.copy_all()
    await copier.copy_all()
    assert copier.copied == len(files(folder)) == 2
    kept = {await store.read(location or "") for location in await locations(database)}
    assert kept == {b"1", b""}
    if os.name == "posix":
        assert all(path.stat().st_mode & 0o077 == 0 for path in files(folder))


async def test_what_the_queue_had_forgotten_already_is_not_asked_for_again(
    copier: Copier,
    queue: Queue,  # noqa: F811
    database: Database,
    folder: Path,
) -> None:
    await tell(database, "j", a=b"1")
    await copier.copy_all()
    await copier.copy_all()
    assert (copier.copied, copier.gone) == (0, 1)
    assert await locations(database) == [GONE]
    assert files(folder) == []


async def test_bytes_that_are_not_those_the_history_tells_of_wait_for_its_word(
    copier: Copier,
    queue: Queue,  # noqa: F811
    database: Database,
) -> None:
    await keep(queue, "j", a=b"new")
    await tell(database, "j", a=b"old")
    await copier.copy_all()
    assert await locations(database) == [None]
    async with database.begin() as connection:
        digest = sha256(b"new").hexdigest()
        await connection.execute(update(tables.artifacts).values(sha256=digest))
    await copier.copy_all()
    assert copier.copied == 1


async def test_servers_side_by_side_leave_one_file_for_each_artifact(
    queue: Queue,  # noqa: F811
    database: Database,
    store: FileStore,
    folder: Path,
) -> None:
    kept = {f"file-{n}": str(n).encode() for n in range(20)}
    await keep(queue, "j", **kept)
    await tell(database, "j", **kept)
    copiers = [Copier(queue, database, store) for _ in range(3)]
    await asyncio.gather(*(copier.copy_all() for copier in copiers))
    assert sum(copier.copied for copier in copiers) == len(files(folder)) == len(kept)
    found = await locations(database)
    assert {await store.read(location or "") for location in found} == set(kept.values())


# --- removing -----------------------------------------------------------------------------------


async def test_files_go_with_the_rows_of_jobs_that_are_forgotten(
    copier: Copier,
    queue: Queue,  # noqa: F811
    database: Database,
    store: FileStore,
    folder: Path,
) -> None:
    for job_id, finished_at in (("old", 1), ("young", 1_000_000)):
        await insert(database, a_job(job_id, status=JobStatus.COMPLETED, finished_at=finished_at))
        await keep(queue, job_id, a=job_id.encode())
        await tell(database, job_id, a=job_id.encode())
    await tell(database, "old", gone=b"")
    await copier.copy_all()
    assert len(files(folder)) == 2
    await forget(database, Keep(jobs_ms=1000), 1_000_000, store)
    assert [path.read_bytes() for path in files(folder)] == [b"young"]
    await forget(database, Keep(jobs_ms=1000), 2_000_000, store)
    assert files(folder) == []


async def test_files_that_no_row_names_are_removed_once_none_will(
    copier: Copier,
    queue: Queue,  # noqa: F811
    database: Database,
    store: FileStore,
    folder: Path,
) -> None:
    await keep(queue, "j", a=b"named")
    await tell(database, "j", a=b"named")
    await copier.copy_all()
    lost = await store.keep(b"its server was killed")
    elsewhere = FileStore(folder, "another history")
    theirs = await elsewhere.keep(b"theirs")

    make_old(folder)
    young = await store.keep(b"young")
    assert await copier.tidy() == 1
    assert await store.read(lost) is None
    assert await store.read(young) == b"young"
    assert await elsewhere.read(theirs) == b"theirs"
    (named,) = await locations(database)
    assert await store.read(named or "") == b"named"


async def test_what_was_begun_and_never_ended_is_removed(
    copier: Copier, store: FileStore, folder: Path
) -> None:
    location = await store.keep(b"whole")
    begun = files(folder)[0].with_suffix(".begun")
    begun.write_bytes(b"half")
    await copier.tidy()
    assert begun.exists()
    os.utime(begun, (1, 1))
    await copier.tidy()
    assert not begun.exists()
    assert await store.read(location) == b"whole"


async def test_much_that_is_left_over_is_removed_in_steps(
    copier: Copier, store: FileStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("conduit.server.artifacts._AT_ONCE", 7)
    monkeypatch.setattr(os, "fsync", lambda _: None)
    for _ in range(30):
        await store.keep(b"x")
    make_old(folder)
    assert await copier.tidy() == 30
    assert files(folder) == []


# --- the store ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "location",
    [
        "",
        "../secret",
        "/etc/passwd",
        "0" * 16 + "/../../../secret",
        "s3://bucket/x",
        "a" * 16 + "/",
    ],
)
async def test_only_locations_that_the_store_made_up_lead_anywhere(
    store: FileStore, tmp_path: Path, location: str
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    await store.keep(b"x")
    assert await store.read(location) is None
    await store.remove([location])
    assert secret.exists()


async def test_a_full_disk_leaves_nothing_half_written(
    store: FileStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        await store.keep(b"x")
    assert files(folder) == []
