"""The command as a whole: help, version, init, pipes, colours."""

from __future__ import annotations

import pytest

import conduit
from conduit.core.model import NewJob
from conduit.queue import Queue
from tests.cli import stock
from tests.cli.conftest import Cli


def test_version_and_help_go_to_stdout(cli: Cli) -> None:
    assert cli("version").stdout == f"conduit {conduit.__version__}\n"
    for helped in (cli(), cli("--help")):
        assert helped.returncode == 0
        assert "Exit codes: 0 fine" in helped.stdout
        assert "submit: Submit a job" in helped.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["jbos"], 'Did you mean "jobs"?'),
        (["jobs", "list", "--limt", "3"], "--limit"),
        (["jobs", "list", "--limit", "0"], "--limit"),
        (["jobs", "show"], "--job-id"),
        (["run"], "conduit run service.py"),
    ],
)
def test_wrong_usage_ends_with_2_on_stderr(cli: Cli, arguments: list[str], words: str) -> None:
    refused = cli(*arguments)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert words in refused.stderr
    assert "Traceback" not in refused.stderr


def test_init_writes_a_service_that_runs_and_overwrites_nothing(cli: Cli) -> None:
    assert cli("init", "shop").stdout == "shop/service.py\n"
    run = cli.start("run", "shop/service.py")
    assert "hello · 2 functions: greet, heartbeat" in run.until("  stop ")
    greeted = cli("submit", "greet", "--args", '["world"]', "--wait")
    assert (greeted.returncode, greeted.stdout) == (0, '"Hello, world!"\n')
    assert run.stop() == 0
    before = (cli.folder / "shop/service.py").read_text("utf-8")
    again = cli("init", "shop")
    assert again.returncode == 1
    assert "shop/service.py is there already" in again.stderr
    assert (cli.folder / "shop/service.py").read_text("utf-8") == before


def test_a_reader_that_goes_away_ends_a_listing_quietly(cli: Cli) -> None:
    async def fill(queue: Queue) -> None:
        # more than a pipe holds
        await queue.submit([NewJob(id=f"job-{n}", function="f") for n in range(500)])

    cli.with_queue(fill)
    listing = cli.start("jobs", "list", "--limit", "500", "--json")
    assert listing.process.stdout is not None
    listing.process.stdout.close()
    listing.process.stdout = None
    assert listing.end() == 0
    assert listing.seen == ""


def test_a_terminal_gets_colours_unless_no_color_is_set(cli: Cli) -> None:
    cli.with_queue(stock.fill)
    green = "\x1b[32m"
    assert green in cli.on_terminal("queues", "list")[1]
    assert green not in cli.on_terminal("queues", "list", NO_COLOR="1")[1]
