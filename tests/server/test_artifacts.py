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
from conduit.server.artifacts import cleaner as tidying
from conduit.server.artifacts.address import open_store
from conduit.server.artifacts.cleaner import tidy
from conduit.server.artifacts.copier import GONE, Copier
from conduit.server.artifacts.files import FileStore
from conduit.server.artifacts.store import Store
from conduit.server.db import tables
from conduit.server.db.database import Database
from conduit.server.db.retention import Keep, Limit, forget
from conduit.server.db.rows import ArtifactRow
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
from tests.servers.process import free_port

PAGE = b"<script>alert(1)</script>"
NAMES = ["page.html", "../../../../etc/passwd", "/etc/hostname", "a/b c\u00e9.txt", "..", "%2e%2e"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "artifacts"


@pytest.fixture(params=["files", "objects"])
def artifacts_url(request: pytest.FixtureRequest, folder: Path) -> str:
    """Where the server copies to: a folder, and a bucket of a real store."""
    if request.param == "objects":
        return request.getfixturevalue("objects_url")
    return folder.as_uri()


@pytest.fixture
def store(artifacts_url: str) -> Store:
    return open_store(artifacts_url, "this history")


@pytest.fixture
def file_store(folder: Path) -> FileStore:
    return FileStore(folder, "this history")


@pytest.fixture
def copier(queue: Queue, database: Database, store: Store) -> Copier:  # noqa: F811
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


async def contents(store: Store) -> list[bytes]:
    """All that a store has of its history, sorted."""
    found = [one async for some in store.older_than(-3600) for one in some]
    return sorted([await store.read(each) or b"" for each in found])


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


# --- the server ---------------------------------------------------------------------------------


@pytest.fixture
async def api(serve: Serve, artifacts_url: str) -> AsyncIterator[httpx.AsyncClient]:  # noqa: F811
    async with client_of(await serve(artifacts_url=artifacts_url)) as client:
        yield client


async def test_what_a_job_kept_can_be_had_when_the_queue_has_forgotten_the_job(
    api: httpx.AsyncClient,
    queue: Queue,  # noqa: F811
    history: str,  # noqa: F811
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
    artifacts_url: str,
) -> None:
    redis = start_redis()
    server = await serve(queue_url=redis.url, artifacts_url=artifacts_url)
    async with client_of(server) as api:
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
    async with client_of(await serve(artifacts_url=taken.as_uri())) as api:
        await keep(queue, "j", report=b"rows")

        async def told() -> bool:
            return "artifacts aren't copied out of the queue" in caplog.text

        await until(told)
        assert (await api.get("/jobs/j/artifacts/report")).content == b"rows"
        taken.unlink()
        async with Database(history) as database:
            await all_copied(database, 1)


async def test_a_server_tidies_its_store_while_the_queue_is_away(
    serve: Serve,  # noqa: F811
    history: str,  # noqa: F811
    artifacts_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with Database(history) as database:
        store = open_store(artifacts_url, database.identity)
    await store.keep(b"its server was killed")
    monkeypatch.setattr(tidying, "_UNNAMED_S", -3600)
    monkeypatch.setattr(tidying, "_EVERY_S", 0.1)
    await serve(queue_url=f"redis://127.0.0.1:{free_port()}", artifacts_url=artifacts_url)

    async def is_empty() -> bool:
        return not await contents(store)

    await until(is_empty)


# --- copying ------------------------------------------------------------------------------------


async def test_bytes_are_copied_once_and_for_their_owner_alone(
    copier: Copier,
    queue: Queue,  # noqa: F811
    database: Database,
    store: Store,
) -> None:
    await keep(queue, "j", a=b"1", b=b"")
    await tell(database, "j", a=b"1", b=b"")
    await copier.copy_all()
    await copier.copy_all()
    assert copier.copied == 2
    kept = [await store.read(location or "") for location in await locations(database)]
    assert sorted(kept) == [b"", b"1"] == await contents(store)


async def test_what_the_queue_had_forgotten_already_is_not_asked_for_again(
    copier: Copier,
    queue: Queue,  # noqa: F811
    database: Database,
    store: Store,
) -> None:
    await tell(database, "j", a=b"1")
    await copier.copy_all()
    await copier.copy_all()
    assert (copier.copied, copier.gone) == (0, 1)
    assert await locations(database) == [GONE]
    assert await contents(store) == []


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
    store: Store,
) -> None:
    kept = {f"file-{n}": str(n).encode() for n in range(20)}
    await keep(queue, "j", **kept)
    await tell(database, "j", **kept)
    copiers = [Copier(queue, database, store) for _ in range(3)]
    await asyncio.gather(*(copier.copy_all() for copier in copiers))
    assert sum(copier.copied for copier in copiers) == len(kept)
    assert await contents(store) == sorted(kept.values())
    found = await locations(database)
    assert {await store.read(location or "") for location in found} == set(kept.values())


# --- removing -----------------------------------------------------------------------------------


async def test_files_go_with_the_rows_of_jobs_that_are_forgotten(
    copier: Copier,
    queue: Queue,  # noqa: F811
    database: Database,
    store: Store,
) -> None:
    for job_id, finished_at in (("old", 1), ("young", 1_000_000)):
        await insert(database, a_job(job_id, status=JobStatus.COMPLETED, finished_at=finished_at))
        await keep(queue, job_id, a=job_id.encode())
        await tell(database, job_id, a=job_id.encode())
    await tell(database, "old", gone=b"")
    await copier.copy_all()
    assert await contents(store) == [b"old", b"young"]
    await forget(database, Keep(jobs=Limit(age_ms=1000)), 1_000_000, store)
    assert await contents(store) == [b"young"]
    await forget(database, Keep(jobs=Limit(age_ms=1000)), 2_000_000, store)
    assert await contents(store) == []


async def test_files_that_no_row_names_are_removed_once_none_will(
    copier: Copier,
    queue: Queue,  # noqa: F811
    database: Database,
    store: Store,
    artifacts_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await keep(queue, "j", a=b"named")
    await tell(database, "j", a=b"named")
    await copier.copy_all()
    lost = await store.keep(b"its server was killed")
    elsewhere = open_store(artifacts_url, "another history")
    theirs = await elsewhere.keep(b"theirs")

    assert await tidy(database, store) == 0  # all of it is young
    monkeypatch.setattr(tidying, "_UNNAMED_S", -3600)
    assert await tidy(database, store) == 1
    assert await store.read(lost) is None
    assert await contents(elsewhere) == [await elsewhere.read(theirs)] == [b"theirs"]
    (named,) = await locations(database)
    assert await store.read(named or "") == b"named"


async def test_what_was_begun_and_never_ended_is_removed(
    database: Database, file_store: FileStore, folder: Path
) -> None:
    location = await file_store.keep(b"whole")
    begun = files(folder)[0].with_suffix(".begun")
    begun.write_bytes(b"half")
    await tidy(database, file_store)
    assert begun.exists()
    os.utime(begun, (1, 1))
    await tidy(database, file_store)
    assert not begun.exists()
    assert await file_store.read(location) == b"whole"


async def test_much_that_is_left_over_is_removed_in_steps(
    database: Database, store: Store, artifacts_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = artifacts_url.partition(":")[0].replace("s3", "object")
    monkeypatch.setattr(f"conduit.server.artifacts.{kind}s.AT_ONCE", 7)
    monkeypatch.setattr(tidying, "_UNNAMED_S", -3600)
    monkeypatch.setattr(os, "fsync", lambda _: None)
    for _ in range(30):
        await store.keep(b"x")
    assert max([len(some) async for some in store.older_than(-3600)]) == 7
    assert await tidy(database, store) == 30
    assert await contents(store) == []


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
    store: Store, tmp_path: Path, location: str
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    await store.keep(b"x")
    assert await store.read(location) is None
    await store.remove([location])
    assert secret.exists()


async def test_files_have_names_of_their_own_and_are_for_their_owner_alone(
    file_store: FileStore, folder: Path
) -> None:
    for _ in range(2):
        await file_store.keep(b"x")
    assert len(files(folder)) == 2
    assert all(path.name.isalnum() and len(path.name) == 32 for path in files(folder))
    if os.name == "posix":
        assert all(path.stat().st_mode & 0o077 == 0 for path in files(folder))


async def test_old_files_are_told_from_young_ones(file_store: FileStore, folder: Path) -> None:
    old = await file_store.keep(b"old")
    for path in files(folder):
        os.utime(path, (1, 1))
    await file_store.keep(b"young")
    assert [each async for each in file_store.older_than(60)] == [[old]]


async def test_a_full_disk_leaves_nothing_half_written(
    file_store: FileStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        await file_store.keep(b"x")
    assert files(folder) == []
