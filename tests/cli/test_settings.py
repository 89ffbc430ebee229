"""Settings of the command line: where they come from, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from conduit.core.errors import ConfigurationError
from conduit.queue import open_queue
from conduit.settings import load_settings
from tests.cli.conftest import Cli


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[tool.conduit\n", "pyproject.toml can't be read"),
        ("[tool.conduit]\nqueue_url = 5\n", "queue_url isn't a setting with text"),
        ("[tool.conduit]\nque_url = 'x'\n", "the settings are queue_url, data_dir"),
        ("[tool]\nconduit = 5\n", "[tool.conduit] must be a table, not 5"),
        ("tool = 5\n", "[tool] must be a table, not 5"),
    ],
)
def test_a_wrong_pyproject_ends_with_3_and_says_what_is_wrong(
    cli: Cli, content: str, words: str
) -> None:
    cli.write("pyproject.toml", content)
    refused = cli("jobs", "list")
    assert (refused.returncode, refused.stdout) == (3, "")
    assert words in refused.stderr
    assert "Traceback" not in refused.stderr


def test_an_empty_queue_url_is_not_taken_for_the_default(cli: Cli) -> None:
    refused = cli("jobs", "list", "--queue-url", "")
    assert refused.returncode == 3
    assert "URL is empty" in refused.stderr


FUNCTION = "import conduit\nworker = conduit.Worker('w')\n@worker.task\ndef f(): ...\n"


def test_a_namespace_is_a_queue_file_of_its_own(cli: Cli) -> None:
    cli.write("service.py", FUNCTION)
    run = cli.start("run", "service.py", CONDUIT_NAMESPACE="blue")
    run.until("queue-blue.db")
    assert cli("submit", "f", CONDUIT_NAMESPACE="blue").returncode == 0
    assert run.stop() == 0
    assert (cli.folder / ".conduit/queue-blue.db").exists()
    assert not (cli.folder / ".conduit/queue.db").exists()
    assert cli("jobs", "list").returncode == 4


def test_run_waits_for_a_server_that_is_away_no_longer_than_it_is_told(cli: Cli) -> None:
    cli.write("service.py", FUNCTION)
    server = ("--queue-url", "redis://127.0.0.1:1/0")
    gone = cli("run", "service.py", *server, "--connect-timeout", "0")
    assert gone.returncode == 4
    assert "the queue is unavailable" not in gone.stderr
    waiting = cli.start("run", "service.py", *server, "--connect-timeout", "600")
    waiting.until("the queue is unavailable")
    assert waiting.stop() == 0


def test_a_connect_timeout_is_a_number_of_seconds(cli: Cli) -> None:
    cli.write("service.py", FUNCTION)
    refused = cli("run", "service.py", "--connect-timeout", "-1")
    assert refused.returncode == 2
    assert "--connect-timeout" in refused.stderr


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("CONDUIT_NAMESPACE", "../elsewhere", "the namespace '../elsewhere' must be"),
        ("CONDUIT_NAMESPACE", "a b", "the namespace 'a b' must be"),
        ("CONDUIT_DURABILITY", "most", "'most' isn't one of none, aof, replica, fsync"),
    ],
)
def test_a_namespace_and_a_durability_that_mean_nothing_are_refused(
    cli: Cli, variable: str, value: str, words: str
) -> None:
    environment: dict[str, Any] = {variable: value}
    refused = cli("jobs", "list", **environment)
    assert refused.returncode == 3
    assert words in refused.stderr


def test_namespace_and_durability_become_options_of_a_redis_url(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CONDUIT_NAMESPACE", "blue")
    monkeypatch.setenv("CONDUIT_DURABILITY", "replica")
    plain = load_settings(queue_url="redis://host/0").queue_url
    assert plain == "redis://host/0?namespace=blue&durability=replica"
    own = load_settings(queue_url="redis+cluster://host?namespace=red").queue_url
    assert own == "redis+cluster://host?namespace=red&durability=replica"
    assert load_settings(queue_url="sqlite:///q.db").queue_url == "sqlite:///q.db"


def test_the_environment_wins_over_pyproject_and_a_flag_over_both(cli: Cli) -> None:
    cli.write("pyproject.toml", '[tool.conduit]\nnamespace = "file"\n')
    assert "queue-file.db" in cli("jobs", "list").stderr
    assert "queue-environment.db" in cli("jobs", "list", CONDUIT_NAMESPACE="environment").stderr
    flag = cli("jobs", "list", "--queue-url", "sqlite:///flag.db", CONDUIT_NAMESPACE="environment")
    assert "flag.db" in flag.stderr


@pytest.mark.parametrize("url", ["redis://[::1", "sqlite://[half"])
def test_an_address_that_cannot_be_read_is_a_setting_that_is_wrong(url: str) -> None:
    with pytest.raises(ConfigurationError, match="can't be read as a queue's URL"):
        load_settings(queue_url=url)
    with pytest.raises(ConfigurationError, match="can't be read as a queue's URL"):
        open_queue(url)


def test_what_the_history_keeps_comes_from_arguments_environment_and_pyproject_in_that_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_settings().keep == {}
    (tmp_path / "pyproject.toml").write_text(
        "[tool.conduit]\nkeep_jobs = '1d'\nkeep_logs = '2d'\nkeep_artifacts = '3d'\n"
    )
    monkeypatch.setenv("CONDUIT_KEEP_LOGS", "20")
    monkeypatch.setenv("CONDUIT_KEEP_ARTIFACTS", "30")
    kept = load_settings(keep={"artifacts": "300", "jobs": None}).keep
    assert kept == {"jobs": "1d", "logs": "20", "artifacts": "300"}


def test_a_server_that_cannot_know_what_to_keep_does_not_start(cli: Cli) -> None:
    refused = cli("server", "start", "--port", "0", "--keep-logs", "long")
    assert refused.returncode == 3
    assert "what is kept of logs can't be 'long': give an age such as 30d" in refused.stderr
