"""`conduit queues`, `crons`, `workers`, `doctor`: the state of things, and switches."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from tests.cli import stock
from tests.cli.conftest import Cli


@pytest.fixture
def stocked(cli: Cli) -> Cli:
    cli.with_queue(stock.fill)
    return cli


def test_queues_are_listed_paused_and_resumed(stocked: Cli) -> None:
    assert stocked("queues", "pause", "mail").stdout == "mail paused\n"
    listed = json.loads(stocked("queues", "list", "--json").stdout)
    assert [(each["name"], each["paused"]) for each in listed] == [
        ("default", False),
        ("mail", True),
    ]
    assert listed[0]["running"] == 1
    table = stocked("queues", "list").stdout.splitlines()
    assert table[2].split()[:3] == ["mail", "paused", "1"]
    assert stocked("queues", "resume", "mail").returncode == 0
    assert "paused" not in stocked("queues", "list").stdout
    unused = stocked("queues", "pause", "mial")
    assert unused.returncode == 0
    assert "no job or worker uses queue 'mial' yet; did you mean 'mail'?" in unused.stderr
    nameless = stocked("queues", "pause", "")
    assert nameless.returncode == 2
    assert "the queue's name='' must be text" in nameless.stderr


def test_crons_show_their_next_tick_and_can_be_triggered_and_paused(stocked: Cli) -> None:
    daily, often = json.loads(stocked("crons", "list", "--json").stdout)
    assert (daily["schedule"], often["schedule"]) == ("0 9 * * *", "@every 90s")
    assert datetime.fromisoformat(daily["next_tick"]) > datetime.now(UTC)
    assert daily["next_tick"].endswith(":00:00.000Z")
    job_id = stocked("crons", "trigger", "daily").stdout.strip()
    job = json.loads(stocked("jobs", "show", job_id, "--json").stdout)
    assert (job["function"], job["status"]) == ("report", "queued")
    assert stocked("crons", "pause", "daily").returncode == 0
    assert json.loads(stocked("crons", "list", "--json").stdout)[0]["next_tick"] is None
    assert "paused" in stocked("crons", "list").stdout
    assert stocked("crons", "resume", "daily").returncode == 0
    unknown = stocked("crons", "trigger", "dayly")
    assert unknown.returncode == 2
    assert "did you mean 'daily'? known: daily, often" in unknown.stderr


def test_workers_are_listed(stocked: Cli) -> None:
    (worker,) = json.loads(stocked("workers", "list", "--json").stdout)
    assert (worker["id"], worker["queues"]) == ("orders-1", ["default", "mail"])
    assert "here:1" in stocked("workers", "list").stdout


def test_doctor_says_what_is_well_and_what_is_not(stocked: Cli) -> None:
    stocked("queues", "pause", "mail")
    healthy = stocked("doctor", "--json")
    checks = {check["name"]: check for check in json.loads(healthy.stdout)}
    assert healthy.returncode == 0
    assert checks["queue"]["detail"].startswith("sqlite ")
    assert checks["workers"]["detail"] == "1 running (orders), 3 functions"
    assert (checks["paused"]["verdict"], checks["disk"]["verdict"]) == ("warning", "ok")
    assert "longest-waiting" in checks["backlog"]["detail"]
    assert "queue" in stocked("doctor").stdout


def test_doctor_ends_with_4_without_a_queue_and_with_3_for_a_wrong_setting(cli: Cli) -> None:
    unmade = cli("doctor")
    assert unmade.returncode == 4
    assert "there is no queue at .conduit/queue.db yet" in unmade.stdout
    secret = cli("doctor", CONDUIT_QUEUE_URL="carrier://me:secret@pigeon")
    assert secret.returncode == 3
    assert "carrier://me:***@pigeon" in secret.stdout
    assert "secret" not in secret.stdout


@pytest.mark.parametrize("group", ["jobs", "queues", "crons", "workers"])
def test_looking_makes_no_queue(cli: Cli, group: str) -> None:
    looked = cli(group, "list")
    assert (looked.returncode, looked.stdout) == (4, "")
    assert "conduit run FILE" in looked.stderr
    assert not (cli.folder / ".conduit").exists()


def test_a_file_that_is_no_queue_ends_with_3(cli: Cli) -> None:
    cli.write("notes.txt", "not a database, but long enough to look like something else\n" * 20)
    refused = cli("jobs", "list", "--queue-url", "sqlite:///notes.txt")
    assert refused.returncode == 3
    assert "notes.txt" in refused.stderr
