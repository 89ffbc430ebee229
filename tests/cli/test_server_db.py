"""`conduit server db`, and a server whose tables aren't right."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from conduit.cli import main
from conduit.core.model import NewJob
from conduit.queue import Queue
from tests.cli.conftest import Cli
from tests.servers.postgres import execute


@pytest.fixture
def told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Runs a command of `conduit server db` here: its exit code, data and messages."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(["server", "db", *arguments])
        return code, *capsys.readouterr()

    return run


def test_a_postgresql_is_refused_until_it_is_upgraded(
    cli: Cli, postgres_url: str, told: Callable[..., tuple[int, str, str]]
) -> None:
    refused = cli("server", "start", "--port", "0", "--database-url", postgres_url)
    assert refused.returncode == 3
    assert "no tables of Conduit yet: run `conduit server db upgrade`" in refused.stderr
    assert "secret" not in refused.stderr

    at = ("--database-url", postgres_url)
    code, _, messages = told("check", *at)
    assert (code, "run `conduit server db upgrade`" in messages) == (3, True)
    code, data, _ = told("upgrade", *at)
    assert (code, "upgraded from nothing to conduit_" in data) == (0, True)
    assert "is up to date" in told("upgrade", *at)[1]
    state = json.loads(told("current", "--json", *at)[1])
    assert (state["standing"], state["revision"]) == ("current", state["head"])
    assert told("check", *at)[0] == 0

    execute(postgres_url, "INSERT INTO job_counts VALUES ('queue', 'default', 'queued', 7)")
    code, data, _ = told("check", *at)
    assert (code, "1 counts of jobs are wrong: run `conduit server db rebuild`" in data) == (
        3,
        True,
    )

    execute(postgres_url, "ALTER TABLE jobs DROP COLUMN reason")
    code, _, messages = told("check", *at)
    assert (code, "reason" in messages) == (3, True)


def test_a_server_that_may_migrate_starts_on_an_empty_postgresql(
    cli: Cli, postgres_url: str
) -> None:
    server = cli.start(
        *("server", "start", "--port", "0", "--migrate"), CONDUIT_DATABASE_URL=postgres_url
    )
    server.until("http://")
    assert server.stop() == 0
    assert execute(postgres_url, "SELECT count(*) FROM alembic_version") == [(1,)]


def test_looking_at_a_history_makes_none(
    told: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    for command in ("current", "check"):
        code, _, messages = told(command)
        assert code == 4
        assert "there is no history at .conduit/history.db yet" in messages
    assert list(tmp_path.iterdir()) == []


def test_a_lost_history_is_filled_from_the_queue(
    cli: Cli, told: Callable[..., tuple[int, str, str]]
) -> None:
    async def submit(queue: Queue) -> None:
        await queue.submit([NewJob(id=f"job-{number}", function="f") for number in range(3)])

    cli.with_queue(submit)
    assert told("rebuild") == (0, "3 jobs put right, 0 found lost\n", "")
