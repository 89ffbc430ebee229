"""Artifacts in an S3-compatible store: what is refused, what is waited for, what is never shown."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from conduit.core.errors import ConfigurationError
from conduit.queue.base import Queue
from conduit.server.artifacts import objects
from conduit.server.artifacts.address import open_store, shown
from conduit.server.db.database import Database
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
from tests.server.test_artifacts import all_copied, forget_in_queue, keep, locations
from tests.servers.objects import KEY, SECRET, ObjectServer
from tests.servers.process import free_port

TOLD = "artifacts aren't copied out of the queue"


def start_server(folder: Path, artifacts_url: str, before: str = "") -> tuple[int, str]:
    """Start a server that must not come up; its exit code and all that it said."""
    code = f"{before}\nimport sys\nfrom conduit.cli import main\nsys.exit(main())"
    command = [sys.executable, "-c", code, "server", "start", "--port", "0"]
    environment = os.environ | {"CONDUIT_ARTIFACTS_URL": artifacts_url, "COLUMNS": "1000"}
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


# --- refused at the start -----------------------------------------------------------------------


async def test_a_server_does_not_start_with_a_bucket_that_is_not_there(
    object_server: ObjectServer, aws_environment: None, tmp_path: Path
) -> None:
    url = object_server.url("nowhere-at-all")
    code, said = await asyncio.to_thread(start_server, tmp_path, url)
    assert code == 3
    assert "NoSuchBucket" in said
    assert "s3://nowhere-at-all/a/prefix" in said
    assert SECRET not in said


@pytest.mark.parametrize(("key", "secret"), [("nobody", "hidden"), (KEY, "hidden")])
async def test_a_server_does_not_start_with_wrong_credentials(
    serve: Serve,  # noqa: F811
    objects_url: str,
    monkeypatch: pytest.MonkeyPatch,
    key: str,
    secret: str,
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
    with pytest.raises(ConfigurationError, match=r"InvalidAccessKeyId|SignatureDoesNotMatch") as it:
        await serve(artifacts_url=objects_url)
    assert "AWS_ACCESS_KEY_ID" in it.value.__notes__[0]
    assert secret not in str(it.value)


def test_a_server_does_not_start_without_the_client(tmp_path: Path) -> None:
    without = "import sys; sys.modules['obstore'] = None"
    code, said = start_server(tmp_path, "s3://KEY:hidden@bucket/prefix", without)
    assert code == 3
    assert "pip install 'conduit[s3]'" in said
    assert "hidden" not in said


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("s3:///prefix?endpoint=http://127.0.0.1:9", "names no bucket"),
        ("s3://KEY:hidden@bucket?endpoints=http://127.0.0.1:9", "'endpoints' isn't an option"),
        ("s3://bucket?secret_key=hidden", "'secret_key' isn't an option"),
        ("s3://KEY:hidden@bucket?endpoint=127.0.0.1:9", "the endpoint must be like"),
        ("s3://KEY:hidden@bucket?endpoint=http://h:port", "the endpoint must be like"),
        ("s3://KEY@bucket", "credentials are s3://KEY:SECRET@bucket"),
        ("s3://bucket?endpoint=http://127.0.0.1:9", "set AWS_ACCESS_KEY_ID"),
        ("gs://KEY:hidden@bucket", "the URL is file:///folder or s3://"),
        ("file://relative/folder", "isn't a folder's URL"),
        ("file:///folder?x=1", "isn't a folder's URL"),
        ("/srv/artifacts", "the URL is file:///folder or s3://"),
        ("s3://KEY:hidden@[bucket", "can't be read"),
        ("KEY:hidden@bucket", "the URL is file:///folder or s3://"),
        ("s3:KEY:hidden@bucket", "'***@bucket' names no bucket"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_without_its_secret(
    monkeypatch: pytest.MonkeyPatch, url: str, words: str
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    with pytest.raises(ConfigurationError) as refused:
        open_store(url, "history")
    assert words in str(refused.value)
    assert "hidden" not in str(refused.value)


def test_a_url_is_shown_without_its_secret() -> None:
    assert shown("s3://KEY:a%2Fb@bucket/x?region=eu") == "s3://KEY:***@bucket/x?region=eu"
    assert shown("s3://bucket/x") == "s3://bucket/x"


async def test_credentials_may_be_in_the_url(
    object_server: ObjectServer, objects_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    credentials = f"{KEY}:{SECRET.replace('/', '%2F').replace('+', '%2B')}"
    store = open_store(objects_url.replace("s3://", f"s3://{credentials}@"), "history")
    await store.check()
    assert await store.read(await store.keep(b"x")) == b"x"


# --- away ---------------------------------------------------------------------------------------


async def test_a_store_that_is_away_is_told_once_and_waited_for(
    own_object_server: ObjectServer,
    serve: Serve,  # noqa: F811
    queue: Queue,  # noqa: F811
    history: str,  # noqa: F811
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = await serve(artifacts_url=own_object_server.url("bucket"))
    async with client_of(server) as api, Database(history) as database:
        await keep(queue, "j", report=b"rows")

        async def told() -> bool:
            return TOLD in caplog.text and len(await locations(database)) == 1

        await until(told)
        assert (await api.get("/jobs/j/artifacts/report")).content == b"rows"
        await asyncio.to_thread(own_object_server.start)
        await asyncio.to_thread(own_object_server.make_bucket, "bucket")
        await all_copied(database, 1)
        assert caplog.text.count(TOLD) == 1

        await forget_in_queue(queue, "j")
        assert (await api.get("/jobs/j/artifacts/report")).content == b"rows"
        own_object_server.kill()
        answer = await api.get("/jobs/j/artifacts/report")
        assert answer.status_code == 503
        assert answer.json()["type"].endswith("artifacts-unavailable")
        assert (await api.get("/jobs/j/artifacts")).status_code == 200


async def test_a_store_that_says_nothing_is_given_up_after_a_while(
    own_object_server: ObjectServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(objects._TIMEOUTS, "read_timeout", "1s")
    await asyncio.to_thread(own_object_server.start)
    await asyncio.to_thread(own_object_server.make_bucket, "bucket")
    store = open_store(own_object_server.url("bucket"), "history")
    own_object_server.pause()
    try:
        with pytest.raises(OSError, match="s3://bucket"):
            await store.keep(b"x")
        monkeypatch.setattr(objects, "_CHECK_S", 0.01)
        with pytest.raises(OSError, match=r"s3://bucket.* doesn't answer within 0\.01 seconds"):
            await store.check()
    finally:
        own_object_server.resume()


async def test_a_bucket_that_was_removed_is_not_an_artifact_that_is_gone(
    objects_url: str, object_server: ObjectServer
) -> None:
    store = open_store(objects_url, "history")
    location = await store.keep(b"x")
    elsewhere = open_store(object_server.url("removed-since"), "history")
    with pytest.raises(OSError, match="NoSuchBucket"):
        await elsewhere.read(location)
    assert await store.read(location.replace(location[-4:], "0000")) is None


async def test_nothing_listens_and_the_server_starts_all_the_same(
    serve: Serve,  # noqa: F811
    aws_environment: None,
) -> None:
    url = f"s3://bucket?endpoint=http://127.0.0.1:{free_port()}"
    async with client_of(await serve(artifacts_url=url)) as api:
        assert (await api.get("/jobs")).json()["total"] == 0
