"""Settings of the command line: where they come from, and what is wrong with them."""

from __future__ import annotations

import pytest

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
